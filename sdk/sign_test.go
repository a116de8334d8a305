package sdk

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"testing"
)

// TestSignedBytes holds the layout of the page.
func TestSignedBytes(t *testing.T) {
	got := hex.EncodeToString(SignedBytes("CHAIN", 258, 3, 1, []byte{0xab}))
	if want := hex.EncodeToString([]byte("ordo/sign/1")) + "05" + hex.EncodeToString([]byte("CHAIN")) + "0000000000000102" + "00000003" + "00000001" + "ab"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestVerifySignature: a signature is of one key, one message and one scheme.
func TestVerifySignature(t *testing.T) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, ed25519.SeedSize))
	key, message := []byte(private.Public().(ed25519.PublicKey)), []byte("message")
	for scheme, signature := range map[string][]byte{SchemeEd25519: ed25519.Sign(private, message), SchemeTest: TestSignature(key, message)} {
		if !VerifySignature(scheme, key, message, signature) {
			t.Errorf("%s: a good signature is refused", scheme)
		}
		for name, bad := range map[string]bool{
			"another message": VerifySignature(scheme, key, []byte("massage"), signature),
			"another key":     VerifySignature(scheme, bytes.Repeat([]byte{1}, 32), message, signature),
			"a short key":     VerifySignature(scheme, key[:31], message, signature),
			"no signature":    VerifySignature(scheme, key, message, nil),
			"no scheme":       VerifySignature("", key, message, signature),
		} {
			if bad {
				t.Errorf("%s: %s is taken", scheme, name)
			}
		}
	}
}
