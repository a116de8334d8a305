package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKeyFile: a missing file is made, with mode 0600; it is never written over, and what is in it must be one ed25519 key that others cannot read.
func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "node")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	key, created, err := LoadOrCreate(path)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	again, created, err := LoadOrCreate(path)
	if err != nil || created || !again.Equal(key) {
		t.Errorf("%v, %v", created, err)
	}
	if err := write(path, key); !errors.Is(err, os.ErrExist) {
		t.Errorf("written over: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadOrCreate(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v", err)
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(other.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("my key"), "public": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		"damaged": pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: []byte{1, 2}}), "large": make([]byte, 1<<15),
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := LoadOrCreate(path); err == nil || !strings.Contains(err.Error(), "node key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestIdentityText: an identity reads back, and nothing else is one.
func TestIdentityText(t *testing.T) {
	id := ID{0xab, 1}
	if again, err := Parse(id.String()); err != nil || again != id || id.Short() != "ab0100000000" {
		t.Errorf("%v, %v", again, err)
	}
	for _, text := range []string{"", "ab", id.String() + "00", strings.Repeat("xy", 32)} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// connected are the two ends of a connection.
func connected(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// TestTLS: both sides know the key of the other, and a key that one of them does not accept gets no connection.
func TestTLS(t *testing.T) {
	var keys []ed25519.PrivateKey
	for range 2 {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	only := func(i int) func(ID) error {
		return func(id ID) error {
			if id != Of(keys[i]) {
				return ErrUnknown
			}
			return nil
		}
	}
	for _, c := range []struct {
		server, client func(ID) error
		ok             bool
	}{{only(1), only(0), true}, {only(0), only(0), false}, {only(1), only(1), false}} {
		a, b := connected(t)
		server, err := Config(keys[0], c.server)
		if err != nil {
			t.Fatal(err)
		}
		client, err := Config(keys[1], c.client)
		if err != nil {
			t.Fatal(err)
		}
		s, d := tls.Server(a, server), tls.Client(b, client)
		done := make(chan error, 1)
		go func() {
			err := s.Handshake()
			if err == nil {
				_, err = s.Write([]byte{1})
			}
			_ = a.Close()
			done <- err
		}()
		_, clientErr := io.ReadFull(d, make([]byte, 1))
		_ = b.Close()
		if serverErr := <-done; (serverErr == nil && clientErr == nil) != c.ok {
			t.Errorf("%v, %v, want %v", serverErr, clientErr, c.ok)
		}
		if !c.ok {
			continue
		}
		for i, conn := range []*tls.Conn{d, s} {
			state := conn.ConnectionState()
			if id, err := Peer(state); err != nil || id != Of(keys[i]) || state.Version != tls.VersionTLS13 {
				t.Errorf("%v, %v, TLS %x", id, err, state.Version)
			}
		}
	}
	if _, err := idOf([][]byte{{1}}); err == nil {
		t.Error("garbage is a certificate")
	}
	if _, err := idOf(nil); err == nil {
		t.Error("no certificate is taken")
	}
}
