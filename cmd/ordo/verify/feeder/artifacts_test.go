package feeder

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/need"
)

// TestPublishedClasses computes the class hashes of the artifacts that the crate starknet-devnet-core ships, where cargo
// has unpacked it. The hashes are those of the classes on the public networks.
func TestPublishedClasses(t *testing.T) {
	home := os.Getenv("CARGO_HOME")
	if home == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		home = filepath.Join(user, ".cargo")
	}
	dirs, _ := filepath.Glob(filepath.Join(home, "registry", "src", "*", "starknet-devnet-core-0.10.1", "contracts"))
	if len(dirs) == 0 {
		need.Absent(t, "starknet-devnet-core 0.10.1 is not among cargo's sources", "run make test, which has cargo fetch it")
	}
	for name, want := range map[string]string{
		"system_artifacts/UDC_OZ_0.5.0.json":                                 "0x7b3e05f48f0c69e4a65ce5e076a66271a527aff2c34ce1083ec6e1526997a69",
		"system_artifacts/udc_2.sierra":                                      "0x1b2df6d8861670d4a8ca4670433b2418d78169c2947f46dc614e69f333745c8",
		"system_artifacts/erc20_eth.sierra":                                  "0xb45dbc3714180381c5680e41931172d67194d77d504413465390e0bef194ec",
		"system_artifacts/erc20_strk.sierra":                                 "0x2e77ee61d4df3d988ee1f42ea5442e913862cc82c2584d212ecda76666498fc",
		"accounts_artifacts/OpenZeppelin/0.5.1/Account.cairo/Account.json":   "0x4d07e40e93398ed3c76981e72dd1fd22557a78ce36c0515f679e27f0bb5bc5f",
		"accounts_artifacts/OpenZeppelin/1.0.0/Account.cairo/Account.sierra": "0x5b4b537eaa2399e3aa99c4e2e0208ebd6c71bc1467938cd52c798c601e43564",
	} {
		data, err := os.ReadFile(filepath.Join(dirs[0], name))
		if err != nil {
			t.Error(err)
			continue
		}
		f, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got felt.Felt
		if f.Deprecated != nil {
			got, err = f.Deprecated.Hash()
		} else {
			got, err = f.Sierra.Hash()
		}
		if err != nil || got.Hex() != want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, want)
		}
	}
}
