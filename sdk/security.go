package sdk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// The environment of a plugin that is to serve mutual TLS: PEM files. A host that spawns the plugin makes them for one
// run; the operator of a plugin over TCP brings their own.
const (
	EnvTLSCA   = "ORDO_PLUGIN_TLS_CA"
	EnvTLSCert = "ORDO_PLUGIN_TLS_CERT"
	EnvTLSKey  = "ORDO_PLUGIN_TLS_KEY"
)

// TLSFiles names the PEM files of one side.
type TLSFiles struct{ CA, Cert, Key string }

func tlsFromEnv() TLSFiles {
	return TLSFiles{CA: os.Getenv(EnvTLSCA), Cert: os.Getenv(EnvTLSCert), Key: os.Getenv(EnvTLSKey)}
}

// Config reads the files: the other end has to show a certificate that the CA has signed. It fits both
// sides.
func (f TLSFiles) Config() (*tls.Config, error) {
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("tls: ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: ca: no certificate in %s: give a PEM file", f.CA)
	}
	own, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: cert and key: %w", err)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{own},
		RootCAs:      pool,
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}, nil
}

// serverCredentials are what every socket of a plugin demands: the same user on a unix socket, and with TLS the host's
// certificate.
func serverCredentials(files TLSFiles) (grpc.ServerOption, error) {
	base := insecure.NewCredentials()
	if files != (TLSFiles{}) {
		config, err := files.Config()
		if err != nil {
			return nil, err
		}
		base = credentials.NewTLS(config)
	}
	guest := -1
	if text := os.Getenv(EnvPeerUser); text != "" {
		var err error
		if guest, err = strconv.Atoi(text); err != nil || guest < 0 {
			return nil, fmt.Errorf("%s=%q: give the number of a user", EnvPeerUser, text)
		}
	}
	return grpc.Creds(sameUser{base, guest}), nil
}

// EnvPeerUser names one more user that may connect, for a plugin that runs as another user than its node.
const EnvPeerUser = "ORDO_PLUGIN_PEER_UID"

// sameUser refuses other users at the accept: the folder of the socket is private, but a plugin may be told another place.
type sameUser struct {
	credentials.TransportCredentials
	guest int // a user that may connect too; -1: none
}

func (c sameUser) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if unix, ok := conn.(*net.UnixConn); ok {
		uid, err := PeerUser(unix)
		if err == nil && uid != os.Getuid() && uid != c.guest {
			err = fmt.Errorf("a connection of user %d is refused: this plugin serves user %d", uid, os.Getuid())
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return c.TransportCredentials.ServerHandshake(conn)
}

func (c sameUser) Clone() credentials.TransportCredentials {
	return sameUser{c.TransportCredentials.Clone(), c.guest}
}

func (c sameUser) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("credentials of a server")
}
