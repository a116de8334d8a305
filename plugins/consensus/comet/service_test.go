package comet_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet"
	"github.com/ordo-sequencer/ordo/sdk/conformance"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func TestConformance(t *testing.T) {
	config, err := json.Marshal(map[string]any{"listen": freePort(t), "key_file": writeKey(t, filepath.Join(t.TempDir(), "key.pem"), newKey("conformance"))})
	if err != nil {
		t.Fatal(err)
	}
	for name, subject := range map[string]conformance.Subject{
		"verifies only": conformance.InProcess(comet.Service),
		"process":       conformance.Process(os.Args[0], serve),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "process" {
				subject.Config = config
			}
			conformance.RunBase(t, subject)
			for _, rule := range []string{"stage is consensus", "verify takes no garbage"} { // the others are for hosted protocols; TestEngineConformance has those of engines
				t.Run(rule, func(t *testing.T) { conformance.Consensus[rule](t, subject) })
			}
		})
	}
}

// TestEngineConformance runs what every engine has to pass.
func TestEngineConformance(t *testing.T) {
	t.Parallel()
	config := func(self conformance.EngineNode, all []conformance.EngineNode, more map[string]any) []byte {
		settings := map[string]any{"listen": self.Address, "key_file": self.KeyFile, "log_level": "error"}
		peers := []string{}
		for _, n := range all {
			peers = append(peers, hex.EncodeToString(n.Key)+"@"+n.Address)
		}
		settings["peers"] = peers
		maps.Copy(settings, more)
		text, err := json.Marshal(settings)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	conformance.RunConsensusEngine(t, conformance.Engine{
		Subject: conformance.Process(os.Args[0], serve),
		Configure: func(self conformance.EngineNode, all []conformance.EngineNode) []byte {
			return config(self, all, nil)
		},
		Twin: func(self conformance.EngineNode, all []conformance.EngineNode) []byte {
			return config(self, all, map[string]any{"node_key_file": self.NodeKey})
		},
	})
}

// alone is the network of one validator: it needs no other to decide.
func alone(t *testing.T) *node {
	t.Helper()
	nodes, _ := network(t, 1)
	nodes[0].config["peers"] = []string{}
	return nodes[0]
}

// TestConfigurationIsRefused: what is wrong is said before the start, with its key.
func TestConfigurationIsRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	n := alone(t)
	open := writeKey(t, filepath.Join(n.dir, "open.pem"), newKey("x"))
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(n.dir, "text")
	if err := os.WriteFile(text, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := hex.EncodeToString(public(newKey("peer")))
	good := n.config
	n.launch()
	for _, c := range []struct {
		key   string
		value any
		path  string
		want  string
	}{
		{"listen", "nowhere", "listen", "not host:port"},
		{"listen", taken.Addr().String(), "listen", "address already in use"},
		{"listen", "", "listen", "not host:port"},
		{"key_file", filepath.Join(n.dir, "absent"), "key_file", "no such file"},
		{"key_file", "", "key_file", "no file"},
		{"key_file", open, "key_file", "chmod 600"},
		{"key_file", text, "key_file", "PEM"},
		{"node_key_file", text, "node_key_file", "PEM"},
		{"peers", []string{"127.0.0.1:1"}, "peers[0]", "key@host:port"},
		{"peers", []string{"abcd@127.0.0.1:1"}, "peers[0]", "64 hexadecimal digits"},
		{"peers", []string{key + "@127.0.0.1"}, "peers[0]", "not host:port"},
		{"peers", []string{key + "@127.0.0.1:1", key + "@127.0.0.1:2"}, "peers[1]", "already"},
		{"build_ms", 500, "build_ms", "timeout_propose_ms"},
		{"genesis_time", "yesterday", "genesis_time", "yesterday"},
		{"genesis_time", "2999-01-01T00:00:00Z", "genesis_time", "future"},
		{"max_block_bytes", 1, "max_block_bytes", "65536"},
		{"timeout", 1, "timeout", "unknown key"},
	} {
		n.config = map[string]any{}
		for k, v := range good {
			n.config[k] = v
		}
		n.config[c.key] = c.value
		d := n.configure()
		if len(d) != 1 || d[0].GetPath() != c.path || !strings.Contains(d[0].GetSummary()+d[0].GetDetail(), c.want) || d[0].GetSeverity() != ordov1.Diagnostic_ERROR {
			t.Errorf("%s=%v: %v, want %s: %s", c.key, c.value, d, c.path, c.want)
		}
	}
	n.config = good
	if d := n.configure(); len(d) > 0 {
		t.Error(d)
	}
}

// TestWithoutListenItVerifiesOnly: a full node asks a plugin that takes no part.
func TestWithoutListenItVerifiesOnly(t *testing.T) {
	n := alone(t)
	n.config = map[string]any{}
	n.launch()
	if d := n.configure(); len(d) > 0 {
		t.Fatal(d)
	}
	v, err := n.client().Verify(context.Background(), &ordov1.VerifyRequest{Certificate: []byte("garbage")})
	if err != nil || v.GetValid() || v.GetReason() == "" {
		t.Errorf("%v %v", v, err)
	}
	stream, err := n.client().Run(context.Background())
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "key_file") {
		t.Error(err)
	}
}

func (n *node) halts(want string) {
	n.t.Helper()
	n.until("the node halts", time.Minute, func() bool { return n.halted != "" })
	if !strings.Contains(n.halted, want) {
		n.t.Fatalf("%q, want %q", n.halted, want)
	}
	n.halted = ""
	n.kill()
}

// TestOneValidator: it decides alone, on demand too; after each kind of restart it goes on; and what does not fit together stops the
// node with what to do.
func TestOneValidator(t *testing.T) {
	t.Parallel()
	n := alone(t)
	n.start()
	n.createBlock()
	n.blocks(1)
	n.add(1)
	n.blocks(2)
	n.add(2)
	n.blocks(3)
	if n.halted != "" || len(n.reports) > 0 {
		t.Fatal(n.halted, n.reports)
	}
	if other, err := n.client().Run(context.Background()); err != nil {
		t.Error(err)
	} else if _, err := other.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a second stream: %v", err)
	}
	d, err := ordov1.NewPluginClient(n.conn).Describe(context.Background(), &ordov1.DescribeRequest{})
	if err != nil || d.GetCounters()["height"] < 3 {
		t.Errorf("%v %v", d.GetCounters(), err)
	}

	// The core comes again to the same process.
	n.cancel()
	n.until("the stream ends", time.Minute, func() bool { return n.ended != nil })
	for again := true; again; { // CometBFT takes a moment to stop
		var ctx context.Context
		ctx, n.cancel = context.WithCancel(context.Background())
		n.connect(ctx, n.client())
		n.until("an answer", time.Minute, func() bool { return n.answered > 0 || n.ended != nil })
		again = n.ended != nil
	}
	n.add(3)
	n.blocks(4)

	n.kill()
	n.add(4)
	n.start()
	n.blocks(5)

	// The core lost its newest blocks: CometBFT has them.
	n.kill()
	n.mu.Lock()
	kept := n.chain
	n.chain = n.chain[:2:2]
	n.mu.Unlock()
	n.start()
	n.blocks(5)
	for i, d := range n.chain {
		if string(d.value) != string(kept[i].value) {
			t.Errorf("height %d: %x, was %x", i+1, d.value, kept[i].value)
		}
	}
	n.kill()
	n.mu.Lock()
	n.chain = nil
	n.mu.Unlock()
	n.start()
	n.blocks(5)
	n.kill()

	folder := filepath.Join(n.dir, "comet")
	move := func(name string) (back func()) {
		from, to := filepath.Join(folder, name), filepath.Join(n.dir, "moved")
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		return func() {
			_ = os.RemoveAll(from)
			if err := os.Rename(to, from); err != nil {
				t.Fatal(err)
			}
		}
	}
	back := move("guard.json")
	n.start()
	n.halts("guard.json is missing")
	back()
	back = move("data")
	n.start()
	n.halts("restore this folder")
	back()

	n.config["max_block_bytes"] = 1 << 20
	n.start()
	n.halts("was made with max_block_bytes 22020096, now it is 1048576")
	delete(n.config, "max_block_bytes")
	n.config["genesis_time"] = "2025-02-02T00:00:00Z"
	n.start()
	n.halts("genesis_time")
	delete(n.config, "genesis_time")
	validators, self := n.validators, n.self
	n.validators = append(n.validators[:1:1], &ordov1.Validator{Key: public(newKey("new")), Power: 1})
	n.start()
	n.halts("was made with the validators")
	n.validators = nil
	n.start()
	n.halts("no validators")
	n.validators, n.self = validators, public(newKey("new"))
	n.start()
	n.halts("give both the same file")
	n.self = self
	certificate := n.chain[4].certificate
	n.chain[4].certificate = n.chain[3].certificate // only the height of CometBFT counts here
	n.start()
	n.add(5)
	n.blocks(6)
	n.kill()
	n.chain[5].certificate = certificate
	n.start()
	n.add(6)
	n.blocks(7)
	if _, err := ordov1.NewPluginClient(n.conn).Drain(context.Background(), &ordov1.DrainRequest{DeadlineMs: 2000}, grpc.WaitForReady(true)); err != nil {
		t.Error(err)
	}
}
