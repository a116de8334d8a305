package sdk

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
)

// Schemes of keys and signatures, as Start names them.
const (
	SchemeEd25519 = "ed25519"
	SchemeTest    = "test" // every node can sign with any key: for runs in virtual time, which it makes many times faster
)

// SignedBytes is what the core signs for a Sign of this height; docs/spec/consensus.md has the layout.
func SignedBytes(chainID string, height uint64, kind, round uint32, data []byte) []byte {
	b := append([]byte("ordo/sign/1"), byte(len(chainID)))
	b = append(b, chainID...)
	b = binary.BigEndian.AppendUint64(b, height)
	b = binary.BigEndian.AppendUint32(b, kind)
	b = binary.BigEndian.AppendUint32(b, round)
	return append(b, data...)
}

// TestSignature is the signature of SchemeTest.
func TestSignature(key, message []byte) []byte {
	sum := sha256.Sum256(append(bytes.Clone(key), message...))
	return sum[:]
}

// VerifySignature says whether a signature over SignedBytes is of a key. A scheme that it does not know verifies nothing.
func VerifySignature(scheme string, key, message, signature []byte) bool {
	switch scheme {
	case SchemeEd25519:
		return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, signature)
	case SchemeTest:
		return bytes.Equal(signature, TestSignature(key, message))
	}
	return false
}
