package comet_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

const chainID = "SN_TEST"

// The test binary, called with this argument, is the plugin.
const serve = "serve-the-plugin"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == serve {
		sdk.Serve(comet.Service())
		return
	}
	os.Exit(m.Run())
}

func newKey(seed string) ed25519.PrivateKey {
	h := sha256.Sum256([]byte(seed))
	return ed25519.NewKeyFromSeed(h[:])
}

func public(key ed25519.PrivateKey) []byte { return key.Public().(ed25519.PublicKey) }

func writeKey(t *testing.T, path string, key ed25519.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// freePort is an address that nothing listens at. It is below the ports that the system gives to connections, which would take it before
// the node does.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// node is a plugin's process with its core.
type node struct {
	*core
	t      *testing.T
	dir    string
	config map[string]any

	log    *safeBuffer
	cmd    *exec.Cmd
	conn   *grpc.ClientConn
	cancel context.CancelFunc
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// launch starts a process, not yet configured.
func (n *node) launch() {
	n.t.Helper()
	socket := filepath.Join(n.dir, "s")
	_ = os.Remove(socket)
	n.cmd = exec.Command(os.Args[0], serve)
	n.cmd.Env = append(os.Environ(), sdk.EnvListen+"=unix://"+socket)
	n.cmd.Stderr = n.log
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) { // a connection that is refused is tried again after a second only
		if probe, err := net.Dial("unix", socket); err == nil {
			probe.Close()
			break
		} else if time.Now().After(end) {
			n.t.Fatal(err)
		}
	}
	conn, err := sdk.Dial(socket)
	if err != nil {
		n.t.Fatal(err)
	}
	n.conn = conn
}

func (n *node) client() ordov1.ConsensusClient { return ordov1.NewConsensusClient(n.conn) }

// configure answers what is wrong.
func (n *node) configure() []*ordov1.Diagnostic {
	n.t.Helper()
	text, err := json.Marshal(n.config)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	resp, err := ordov1.NewPluginClient(n.conn).Configure(ctx, &ordov1.ConfigureRequest{Config: text, Chain: &ordov1.Chain{ChainId: chainID},
		DataDir: n.dir, RunDir: n.dir, Generation: 1}, grpc.WaitForReady(true))
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.GetDiagnostics()
}

// start starts a process and its stream.
func (n *node) start() {
	n.t.Helper()
	n.launch()
	if d := n.configure(); len(d) > 0 {
		n.t.Fatal(d)
	}
	var ctx context.Context
	ctx, n.cancel = context.WithCancel(context.Background())
	n.connect(ctx, n.client())
}

// kill ends the process at once.
func (n *node) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.conn.Close()
	n.cmd = nil
}

func newNode(t *testing.T, key ed25519.PrivateKey, validators []*ordov1.Validator, config map[string]any) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "comet-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	n := &node{core: newCore(t, public(key), validators), t: t, dir: dir, config: config, log: &safeBuffer{}}
	config["key_file"] = writeKey(t, filepath.Join(dir, "key.pem"), key)
	t.Cleanup(func() {
		n.kill()
		if t.Failed() {
			t.Logf("the log of %x:\n%s", n.self[:4], n.log)
		}
		os.RemoveAll(dir)
	})
	return n
}

// network makes nodes of so many validators, and room for a twin of the first one.
func network(t *testing.T, count int) (nodes []*node, twin *node) {
	t.Helper()
	var keys []ed25519.PrivateKey
	var validators []*ordov1.Validator
	for i := range count {
		key := newKey(fmt.Sprint("validator ", i))
		keys = append(keys, key)
		validators = append(validators, &ordov1.Validator{Key: public(key), Power: 1, Address: bytes.Repeat([]byte{byte(i)}, 32)})
	}
	slices.SortFunc(validators, func(a, b *ordov1.Validator) int { return bytes.Compare(a.Key, b.Key) })
	twinKey := newKey("twin")
	var peers, addresses []string
	for _, key := range append(slices.Clone(keys), twinKey) {
		address := freePort(t)
		addresses = append(addresses, address)
		peers = append(peers, hex.EncodeToString(public(key))+"@"+address)
	}
	for i, key := range keys {
		nodes = append(nodes, newNode(t, key, validators, map[string]any{"listen": addresses[i], "peers": peers, "log_level": "error"}))
	}
	twin = newNode(t, keys[0], validators, map[string]any{"listen": addresses[count], "peers": peers, "log_level": "error"})
	twin.config["node_key_file"] = writeKey(t, filepath.Join(twin.dir, "node.pem"), twinKey)
	return nodes, twin
}

func unmarshal(t *testing.T, text []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}
