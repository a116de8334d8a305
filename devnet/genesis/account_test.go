package genesis

import (
	"testing"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func TestAccountsAreDevnets(t *testing.T) {
	for _, c := range []struct {
		seed                 uint32
		index                int
		address, private, pk string
	}{
		{0, 0, "0x64b48806902a367c8598f4f95c305e8c1a1acba5f082d294a43793113115691", "0x71d7bb07b9a64f6f78ac4c816aff4da9",
			"0x39d9e6ce352ad4530a0ef5d5a18fd3303c3606a7fa6ac5b620020ad681cc33b"},
		{0, 1, "0x78662e7352d062084b0010068b99288486c2d8b914f6e2a55ce945f8792c8b1", "0xe1406455b7d66b1690803be066cbe5e",
			"0x7a1bb2744a7dd29bffd44341dbd78008adb4bc11733601e7eddff322ada9cb"},
		{1, 0, "0x260a8311b4f1092db620b923e8d7d20e76dedcc615fb4b6fdf28315b81de201", "0xc10662b7b247c7cecf7e8a30726cff12", ""},
		{42, 0, "0x34ba56f92265f0868c57d3fe72ecab144fc96f97954bbbc4252cef8e8a979ba", "", ""},
	} {
		got := Accounts(c.seed, c.index+1)[c.index]
		if got.Address != felt.MustHex(c.address) {
			t.Errorf("seed %d, account %d: address %s, want %s", c.seed, c.index, got.Address, c.address)
		}
		if c.private != "" && got.PrivateKey != felt.MustHex(c.private) {
			t.Errorf("seed %d, account %d: private key %s, want %s", c.seed, c.index, got.PrivateKey, c.private)
		}
		if c.pk != "" && got.PublicKey != felt.MustHex(c.pk) {
			t.Errorf("seed %d, account %d: public key %s, want %s", c.seed, c.index, got.PublicKey, c.pk)
		}
	}
}

// More accounts must not change the first ones, also where the generator turns over (156 keys).
func TestAccountsArePrefixes(t *testing.T) {
	all := Accounts(7, 200)
	seen := make(map[felt.Felt]bool)
	for i, a := range all {
		if seen[a.Address] {
			t.Fatalf("account %d repeats", i)
		}
		seen[a.Address] = true
	}
	if few := Accounts(7, 3); few[2] != all[2] {
		t.Error("the third account depends on how many follow")
	}
}

func TestChargeableKeyPair(t *testing.T) {
	if c := chargeable(); PublicKey(c.PrivateKey) != c.PublicKey {
		t.Errorf("public key of the chargeable account: %s, want %s", PublicKey(c.PrivateKey), c.PublicKey)
	}
}
