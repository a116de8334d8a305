package blake

import (
	"encoding/hex"
	"testing"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"golang.org/x/crypto/blake2s"
)

func TestEncoding(t *testing.T) {
	// Words by hand: 1 is small; 2^63-1 is the last small one; 2^63 is the first of eight words.
	for _, c := range []struct{ in, words string }{
		{"0x1", "00000000" + "01000000"},
		{"0x0", "00000000" + "00000000"},
		{"0x7fffffffffffffff", "ffffff7f" + "ffffffff"},
		{"0x8000000000000000", "00000080" + "00000000" + "00000000" + "00000000" + "00000000" + "00000000" + "00000080" + "00000000"},
		{"0x102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20", "04030281" + "08070605" + "0c0b0a09" + "100f0e0d" + "14131211" + "18171615" + "1c1b1a19" + "201f1e1d"},
	} {
		data, err := hex.DecodeString(c.words)
		if err != nil {
			t.Fatal(err)
		}
		digest := blake2s.Sum256(data)
		for i := range 16 {
			digest[i], digest[31-i] = digest[31-i], digest[i]
		}
		if got := HashMany(felt.MustHex(c.in)); got != felt.Reduce(digest[:]) {
			t.Errorf("%s: %s", c.in, got)
		}
	}
	if HashMany(felt.One(), felt.Zero()) == HashMany(felt.Zero(), felt.One()) || HashMany() == HashMany(felt.Zero()) {
		t.Error("order or length is lost")
	}
}
