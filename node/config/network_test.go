package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// TestNetworkFileReadsBack: what Format writes is what ReadNetwork reads, small addresses too.
func TestNetworkFileReadsBack(t *testing.T) {
	v := &Validators{ChainID: "SN_SEPOLIA", GenesisTime: 1_700_000_000}
	for i := range 3 {
		v.Members = append(v.Members, &ordov1.Validator{Key: bytes.Repeat([]byte{byte(i + 1)}, 32), Power: uint64(10 + i), Address: felt.FromUint64(uint64(i) << (20 * i)).Append(nil)})
	}
	path := filepath.Join(t.TempDir(), "network.toml")
	if err := os.WriteFile(path, v.Format(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadNetwork(path)
	if err != nil {
		t.Fatalf("%v\n%s", err, v.Format())
	}
	if !reflect.DeepEqual(got, v) {
		t.Errorf("got %+v\nwant %+v", got, v)
	}
}

// TestChangedReadsBack: the short file has the same settings as the long one.
func TestChangedReadsBack(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"nothing":  func(*Config) {},
		"some":     func(c *Config) { c.Port, c.Devnet, c.Network.Twins = 7, true, true },
		"settings": func(c *Config) { c.Consensus.Settings = map[string]any{"peers": []any{"a", "b"}, "n": int64(3)} },
	} {
		c := Default()
		change(&c)
		got := Default()
		if err := FromFile(&got, name, []byte(Changed(c))); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, Changed(c))
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%s: got %+v\nwant %+v\n%s", name, got, c, Changed(c))
		}
	}
	if text := Changed(Default()); text != "" {
		t.Errorf("a default configuration has changed: %s", text)
	}
}
