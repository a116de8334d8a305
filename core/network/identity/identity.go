// Package identity is a node's ed25519 key: its file, the public key that names the node to its peers, and TLS with such keys alone.
package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ID names a node: its public ed25519 key.
type ID [ed25519.PublicKeySize]byte

// Of is the identity of a private key.
func Of(key ed25519.PrivateKey) (id ID) {
	copy(id[:], key[ed25519.SeedSize:])
	return id
}

// Parse reads an identity from its 64 hexadecimal digits.
func Parse(text string) (id ID, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("identity %q: want %d hexadecimal digits", text, 2*len(id))
	}
	return ID(raw), nil
}

// String is the identity in hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Short is the beginning of String, for the log.
func (id ID) Short() string { return hex.EncodeToString(id[:6]) }

// MarshalText and UnmarshalText are String and Parse.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = Parse(string(text))
	return err
}

const pemType = "PRIVATE KEY" // PKCS #8

// Load reads a key file. A file that others than its owner may read is an error.
func Load(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("node key: %s has mode %04o, so others may read it: chmod 600 it", path, info.Mode().Perm())
	}
	if info.Size() > 1<<14 {
		return nil, fmt.Errorf("node key: %s is no key file: %d bytes", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("node key: %s has no PEM block %q: delete it to get a new key, or restore it", path, pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("node key: %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("node key: %s holds a %T, want an ed25519 key", path, parsed)
	}
	return key, nil
}

// Create makes a key file with a new key. A file that is there is an error.
func Create(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err == nil {
		err = write(path, key)
	}
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	return key, nil
}

// LoadOrCreate reads a key file, and makes one with a new key when there is none; created tells which.
func LoadOrCreate(path string) (key ed25519.PrivateKey, created bool, err error) {
	key, err = Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	if key, err = Create(path); errors.Is(err, fs.ErrExist) { // another process was first
		key, err = Load(path)
		return key, false, err
	}
	return key, err == nil, err
}

// write makes the file as a whole or not at all, never over another, and readable for its owner only.
func write(path string, key ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = pem.Encode(f, &pem.Block{Type: pemType, Bytes: der})
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
