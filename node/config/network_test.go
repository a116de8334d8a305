package config

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// TestNetworkFile: what is written is read again, sorted by key.
func TestNetworkFile(t *testing.T) {
	want := &Validators{ChainID: "ORDO_LOCAL", GenesisTime: 1764547200}
	for k := range uint64(4) {
		want.Members = append(want.Members, &ordov1.Validator{Key: bytes.Repeat([]byte{byte(9 - k)}, 32), Power: k + 1, Address: felt.FromUint64(0xa0 + k).Append(nil)})
	}
	got, err := parseNetwork(want.Format())
	if err != nil {
		t.Fatal(err)
	}
	if got.ChainID != want.ChainID || got.GenesisTime != want.GenesisTime || len(got.Members) != 4 {
		t.Fatalf("%+v", got)
	}
	for i, m := range got.Members {
		if !proto.Equal(m, want.Members[3-i]) {
			t.Errorf("validator %d is %v", i, m)
		}
	}
	if again := got.Format(); !bytes.Equal(again, want.Format()) {
		t.Errorf("written again: %s", again)
	}
}

// TestNetworkFileErrors: each fault is named.
func TestNetworkFileErrors(t *testing.T) {
	key := strings.Repeat("ab", 32)
	member := func(key, power, address string) string {
		return "[[validators]]\nkey = \"" + key + "\"\npower = " + power + "\naddress = \"" + address + "\"\n"
	}
	head := "chain_id = \"C\"\ngenesis_time = 5\n"
	for text, want := range map[string]string{
		"": "chain_id is missing",
		"chain_id = \"C\"\n" + member(key, "1", "0x1"): "genesis_time",
		head: "0 validators",
		head + "color = 3\n" + member(key, "1", "0x1"):           "line 3: unknown key color",
		head + "[[validators]]\nkey = 3\n":                       "line 4",
		head + member("abc", "1", "0x1"):                         "64 hexadecimal digits",
		head + member(key, "0", "0x1"):                           "power 0",
		head + member(key, "99999999999999", "0x1"):              "power 99999999999999",
		head + member(key, "1", "0xzz"):                          "address",
		head + member(key, "1", "0x1") + member(key, "1", "0x2"): "is there twice",
	} {
		if _, err := parseNetwork([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestChangedReadsBack: the short file has the same settings as the long one.
func TestChangedReadsBack(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"nothing":  func(*Config) {},
		"some":     func(c *Config) { c.Port, c.Devnet, c.Network.Twins = 7, true, true },
		"settings": func(c *Config) { c.Consensus.Settings = map[string]any{"peers": []any{"a", "b"}, "n": int64(3)} },
		"tables": func(c *Config) {
			c.Execution.Settings = map[string]any{"workers": int64(1), "block": map[string]any{"max_transactions": int64(5), "deep": map[string]any{"x": "y"}}}
			c.Consensus.Settings = map[string]any{"only": map[string]any{"tables": true}}
		},
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
