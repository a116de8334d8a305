package host

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
)

// certificates makes an authority for one instance of one plugin, has it sign a certificate for each side, and forgets its key.
// The plugin's side lies in dir, which is private; ours never leaves this process. So no other process can talk to the plugin,
// another plugin least of all, and none can pass for it.
func certificates(dir string) (plugin sdk.TLSFiles, ours *tls.Config, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return plugin, nil, err
	}
	authority := certificate("ordo run")
	authority.IsCA, authority.KeyUsage = true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	if err != nil {
		return plugin, nil, err
	}
	sign := func(name string, use x509.ExtKeyUsage) (certPEM, keyPEM []byte, err error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		c := certificate(name)
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{use}
		c.DNSNames = []string{"localhost"}
		der, err := x509.CreateCertificate(rand.Reader, c, authority, &key.PublicKey, caKey)
		if err != nil {
			return nil, nil, err
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, nil, err
		}
		return pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", keyDER), nil
	}
	plugin = sdk.TLSFiles{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	serverCert, serverKey, err := sign("ordo plugin", x509.ExtKeyUsageServerAuth)
	if err != nil {
		return plugin, nil, err
	}
	for path, content := range map[string][]byte{plugin.CA: pemOf("CERTIFICATE", caDER), plugin.Cert: serverCert, plugin.Key: serverKey} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return plugin, nil, err
		}
	}
	clientCert, clientKey, err := sign("ordo core", x509.ExtKeyUsageClientAuth)
	if err != nil {
		return plugin, nil, err
	}
	own, err := tls.X509KeyPair(clientCert, clientKey)
	if err != nil {
		return plugin, nil, err
	}
	root, err := x509.ParseCertificate(caDER)
	if err != nil {
		return plugin, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return plugin, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, RootCAs: pool, ServerName: "localhost"}, nil
}

// certificate is a template; a run that lasts ten years has to be started again.
func certificate(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		serial = big.NewInt(time.Now().UnixNano())
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// probeTLS tells whether the plugin takes TLS at all, before gRPC tries to, which says less.
func probeTLS(socket string, config *tls.Config, timeout time.Duration) error {
	raw, err := net.DialTimeout("unix", socket, timeout)
	if err != nil {
		return err
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(timeout))
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		return fmt.Errorf("tls is demanded of it, and it does not serve that (the Go SDK does, those of Rust and Python do not yet): %w: set tls = false for this stage, or use another plugin", err)
	}
	return nil
}
