package host_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// standalone runs a role as a process that the node did not start.
func standalone(t *testing.T, role string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), roleEnv+"="+role), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// TestAttach: a plugin that the node did not start is used, lost, found again, and left running.
func TestAttach(t *testing.T) {
	t.Parallel()
	listen := "unix://" + filepath.Join(t.TempDir(), "s")
	owner := standalone(t, "good", sdk.EnvListen+"="+listen)
	s := host.Spec{Stage: ordov1.Stage_STAGE_ORDERING, Attach: listen, DataDir: t.TempDir()}
	p := start(t, host.Options{}, s)
	if _, err := score(p, ""); err != nil || p.Pid() != 0 || p.Name() != "ordering/good" {
		t.Fatal(p.Name(), p.Pid(), err)
	}
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.DataDir, "drained")); err == nil || !alive(owner.Process.Pid) {
		t.Fatal("a plugin that the node did not start was drained or ended")
	}
	// The node comes back; with other settings it is told to start the plugin again.
	s.Generation = 2
	p = start(t, host.Options{}, s)
	if _, err := score(p, ""); err != nil {
		t.Fatal(err)
	}
	other := s
	other.Config = []byte(`{"greeting":"hello"}`)
	if _, err := host.Start(context.Background(), host.Options{}, other); err == nil ||
		!strings.Contains(err.Error(), "configured already, with other settings, another chain or another folder (start the plugin again)") {
		t.Fatal(err)
	}
	// Its end is the end of the connection.
	_ = owner.Process.Kill()
	select {
	case <-p.Exited():
	case <-time.After(10 * time.Second):
		t.Fatal("the loss is not noticed")
	}
	if p.ExitReason() != "the connection to it is lost" {
		t.Fatal(p.ExitReason())
	}
	_ = owner.Wait() // before that its socket may still take connections, and reset them
	_, err := host.Start(context.Background(), host.Options{StartTimeout: 300 * time.Millisecond}, s)
	if err == nil || !strings.Contains(err.Error(), "ordering plugin "+listen+": no answer within 300ms: is it running there?") {
		t.Fatal(err)
	}
	standalone(t, "good", sdk.EnvListen+"="+listen)
	start(t, host.Options{}, s)
}

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(name, kind string, der []byte) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

func (a *authority) sign(name string) sdk.TLSFiles {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, _ := x509.MarshalPKCS8PrivateKey(key)
	return sdk.TLSFiles{CA: filepath.Join(a.dir, "ca.pem"), Cert: a.write(name+".pem", "CERTIFICATE", der), Key: a.write(name+".key", "PRIVATE KEY", keyDER)}
}

// TestAttachOverTCP: both sides show a certificate of the same authority, or nothing is said.
func TestAttachOverTCP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := "tcp://" + l.Addr().String()
	l.Close()
	ours := newAuthority(t)
	plugin := ours.sign("plugin")
	env := []string{sdk.EnvListen + "=" + listen}
	bare := exec.Command(os.Args[0])
	bare.Env = append(append(os.Environ(), roleEnv+"=good"), env...)
	if out, err := bare.CombinedOutput(); err == nil || !strings.Contains(string(out), "over tcp both sides show certificates") {
		t.Fatalf("a plugin serves tcp without tls: %v %s", err, out)
	}
	standalone(t, "good", append(env, sdk.EnvTLSCA+"="+plugin.CA, sdk.EnvTLSCert+"="+plugin.Cert, sdk.EnvTLSKey+"="+plugin.Key)...)
	s := host.Spec{Stage: ordov1.Stage_STAGE_ORDERING, Attach: listen, TLSFiles: ours.sign("core")}
	p := start(t, host.Options{}, s)
	if _, err := score(p, ""); err != nil {
		t.Fatal(err)
	}
	stranger := newAuthority(t)
	for want, files := range map[string]sdk.TLSFiles{
		"over tcp both sides show certificates": {},
		"certificates of both sides":            {CA: ours.sign("x").CA, Cert: stranger.sign("core").Cert, Key: filepath.Join(stranger.dir, "core.key")},
		"signed by unknown authority":           stranger.sign("core"),
	} {
		s.TLSFiles = files
		p, err := host.Start(context.Background(), host.Options{StartTimeout: 5 * time.Second}, s)
		if err == nil {
			p.Kill()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestTLS: a spawned plugin that is told to serve TLS refuses a client without a certificate of this instance.
func TestTLS(t *testing.T) {
	t.Parallel()
	run := t.TempDir()
	s := spec(t, "good")
	s.TLS = true
	p := start(t, host.Options{RunDir: run}, s)
	if _, err := score(p, ""); err != nil {
		t.Fatal(err)
	}
	found, _ := filepath.Glob(run + "/ord/s1/plugin[0-9]*")
	if len(found) != 1 {
		t.Fatalf("sockets: %v", found)
	}
	ask := func(extra ...grpc.DialOption) error {
		conn, err := sdk.Dial(found[0], extra...)
		if err != nil {
			return err
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "plugin"})
		return err
	}
	stranger, err := newAuthority(t).sign("core").Config()
	if err != nil {
		t.Fatal(err)
	}
	stranger.InsecureSkipVerify = true
	for name, option := range map[string][]grpc.DialOption{
		"plain":                     nil,
		"tls without certificate":   {grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}))},
		"certificate of a stranger": {grpc.WithTransportCredentials(credentials.NewTLS(stranger))},
	} {
		if ask(option...) == nil {
			t.Errorf("%s: answered", name)
		}
	}
	// A plugin that knows nothing of it is refused with a reason.
	s.Env = []string{roleEnv + "=foreign"}
	if _, err := host.Start(context.Background(), host.Options{}, s); err == nil || !strings.Contains(err.Error(), "tls is demanded of it, and it does not serve that") {
		t.Fatal(err)
	}
}

// TestOtherUser: another user of the machine that can reach the socket is turned away, unless named.
func TestOtherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run a process as another user")
	}
	t.Parallel()
	const nobody = 65534
	dir, err := os.MkdirTemp("", "ordo-peer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(dir, "stranger")
	binary, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(self, binary, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	ask := func(socket string) string {
		cmd := exec.Command(self)
		cmd.Dir = "/"
		cmd.Env = []string{roleEnv + "=stranger", "SOCKET=" + socket}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v %s", err, out)
		}
		return string(out)
	}
	for name, guest := range map[string]string{"closed": "", "open": sdk.EnvPeerUser + "=65534"} {
		socket := filepath.Join(dir, name)
		standalone(t, "good", sdk.EnvListen+"=unix://"+socket, guest)
		patiently(t, func() error { return os.Chmod(socket, 0o666) })
		answer := ask(socket)
		if answered := strings.Contains(answer, "SERVING"); answered != (guest != "") {
			t.Errorf("%s: %s", name, answer)
		}
	}
}
