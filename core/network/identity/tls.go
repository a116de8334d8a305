package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// ErrUnknown means that the other side showed a key that is not among the peers.
var ErrUnknown = errors.New("the key is not among the peers")

// Config is TLS 1.3 between two nodes. Both show a certificate that they signed themselves; nothing in it counts but its key, which
// accept must take. There is no authority, no name and no time: the list of peers is what is trusted.
func Config(key ed25519.PrivateKey, accept func(ID) error) (*tls.Config, error) {
	certificate, err := certificate(key)
	if err != nil {
		return nil, fmt.Errorf("node certificate: %w", err)
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{certificate},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // of names and authorities: VerifyPeerCertificate compares the key
		SessionTicketsDisabled: true, // a resumed session would not call VerifyPeerCertificate
		NextProtos:             []string{"h2"},
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			id, err := idOf(raw)
			if err != nil {
				return err
			}
			return accept(id)
		},
	}, nil
}

// Peer is the identity at the other end of a connection. TLS has verified that the other side holds the key.
func Peer(state tls.ConnectionState) (ID, error) {
	if len(state.PeerCertificates) != 1 {
		return ID{}, fmt.Errorf("%d certificates, want one", len(state.PeerCertificates))
	}
	return idOfCertificate(state.PeerCertificates[0])
}

func idOf(raw [][]byte) (ID, error) {
	if len(raw) != 1 {
		return ID{}, fmt.Errorf("%d certificates, want one", len(raw))
	}
	c, err := x509.ParseCertificate(raw[0])
	if err != nil {
		return ID{}, err
	}
	return idOfCertificate(c)
}

func idOfCertificate(c *x509.Certificate) (ID, error) {
	public, ok := c.PublicKey.(ed25519.PublicKey)
	if !ok {
		return ID{}, fmt.Errorf("a certificate of a %T, want ed25519", c.PublicKey)
	}
	return ID(public), nil
}

func certificate(key ed25519.PrivateKey) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: Of(key).String()},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280: no end
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
