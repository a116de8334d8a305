// Package contracts names the compiled Cairo contracts that ordo takes out of published crates, and reads their class files.
// None is kept in this repository: cmd/compile-contracts writes them beside the binary.
package contracts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Contract is one artifact in a published crate.
type Contract struct {
	Name      string // of the class file, without extension
	Crate     string // where it comes from; scripts/lib.sh fixes the version
	Path      string // inside the crate
	Kind      ordov1.Class_Kind
	ClassHash felt.Felt // what it must hash to; the build stops when it does not
}

const (
	devnet = "starknet-devnet-core"
	cairo  = "cairo-lang-starknet"
)

// Names of the contracts that genesis needs.
const (
	OpenZeppelinAccount = "account-openzeppelin"
	NativeAccount       = "account-native"
	STRK                = "erc20-strk"
	ETH                 = "erc20-eth"
	UDC                 = "udc"
	LegacyUDC           = "udc-legacy"
)

// Names of the contracts that only tests and benchmarks use.
const (
	ERC20    = "erc20"
	Hello    = "hello"
	Bridge   = "token-bridge"
	Mintable = "mintable"
)

// All lists every contract of the build.
func All() []Contract {
	return []Contract{
		sierra(OpenZeppelinAccount, devnet, "contracts/accounts_artifacts/OpenZeppelin/1.0.0/Account.cairo/Account.sierra",
			"0x5b4b537eaa2399e3aa99c4e2e0208ebd6c71bc1467938cd52c798c601e43564"),
		sierra(STRK, devnet, "contracts/system_artifacts/erc20_strk.sierra",
			"0x2e77ee61d4df3d988ee1f42ea5442e913862cc82c2584d212ecda76666498fc"),
		sierra(ETH, devnet, "contracts/system_artifacts/erc20_eth.sierra",
			"0xb45dbc3714180381c5680e41931172d67194d77d504413465390e0bef194ec"),
		sierra(UDC, devnet, "contracts/system_artifacts/udc_2.sierra",
			"0x1b2df6d8861670d4a8ca4670433b2418d78169c2947f46dc614e69f333745c8"),
		{Name: LegacyUDC, Crate: devnet, Path: "contracts/system_artifacts/UDC_OZ_0.5.0.json", Kind: ordov1.Class_CAIRO0,
			ClassHash: felt.MustHex("0x7b3e05f48f0c69e4a65ce5e076a66271a527aff2c34ce1083ec6e1526997a69")},
		sierra(NativeAccount, cairo, "test_data/account__account.contract_class.json",
			"0x7ccf241abe9a373bdada7e29b3cd8b053f7b876898133e4b92d7f2ec6958b80"),
		sierra(ERC20, cairo, "test_data/erc20__erc_20.contract_class.json",
			"0x2515042e5f7c6dec0ec478a6a92adb82e177dc72538a079c4eec30f9d23f4ab"),
		sierra(Hello, cairo, "test_data/hello_starknet__hello_starknet.contract_class.json",
			"0x2a9b57a9dd25f224e698fcce41df4a9e9d0696d1531e33a93f54cde4aede79c"),
		sierra(Bridge, cairo, "test_data/token_bridge__token_bridge.contract_class.json",
			"0x331d65cd26362ad78948f7ba2bb8811aef376db894cd9926564c5e6fdf2027"),
		sierra(Mintable, cairo, "test_data/mintable__mintable_erc20_ownable.contract_class.json",
			"0x78c9d571b0e6d01a992fdd2a928da69aa44a54cdf344577c3190c15589bf06e"),
	}
}

func sierra(name, crate, path, hash string) Contract {
	return Contract{Name: name, Crate: crate, Path: path, Kind: ordov1.Class_SIERRA, ClassHash: felt.MustHex(hash)}
}

// File is the class file of a contract.
func File(dir, name string) string { return filepath.Join(dir, name+".class.pb") }

// Read reads the class file of a contract, as the build wrote it.
func Read(dir, name string) (*ordov1.Class, error) {
	raw, err := os.ReadFile(File(dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("contracts: %s is missing: run make build, or name the folder that holds the class files", File(dir, name))
	case err != nil:
		return nil, fmt.Errorf("contracts: %w", err)
	}
	class := new(ordov1.Class)
	if err := proto.Unmarshal(raw, class); err != nil {
		return nil, fmt.Errorf("contracts: %s is damaged, run make build: %w", File(dir, name), err)
	}
	return class, nil
}
