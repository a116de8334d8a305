package conformance

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Engine is a consensus plugin with the capability engine, as ConsensusEngine tests it.
type Engine struct {
	Subject // a process: nodes are killed
	// Configure is the configuration of a node. The list has all nodes, this one among them.
	Configure func(self EngineNode, all []EngineNode) []byte
	// Twin is that of a second node with the key of a validator; NodeKey is a file with a key of its own. nil: there are no tests with one.
	Twin func(self EngineNode, all []EngineNode) []byte
}

// EngineNode is a node of a network of engines.
type EngineNode struct {
	Key     ed25519.PublicKey // of its connections
	KeyFile string            // of the validator: PEM, PKCS #8, mode 0600
	NodeKey string            // file with the key of its connections: of a twin another one
	Address string            // host:port for its connections
}

// engineChain is the chain id of Subject.configuration.
const engineChain = "SN_SEPOLIA"

// engineNode is a plugin's process with its core.
type engineNode struct {
	*engineCore
	engine   Engine
	config   []byte
	data     string
	instance *Instance
}

// engineNodes makes a network of validators; with twin there is one more node, with the key of the first. Nothing runs yet.
func engineNodes(t *testing.T, e Engine, count int, twin bool) (nodes []*engineNode) {
	t.Helper()
	if e.path == "" {
		t.Skip("needs a process")
	}
	dir := t.TempDir()
	var list []EngineNode
	var validators []*ordov1.Validator
	keys := make([][]byte, count)
	for k := range count {
		seed := sha256.Sum256(fmt.Appendf(nil, "validator %d", k))
		key := ed25519.NewKeyFromSeed(seed[:])
		keys[k] = key.Public().(ed25519.PublicKey)
		file := writeKey(t, filepath.Join(dir, fmt.Sprintf("%d.pem", k)), key)
		list = append(list, EngineNode{Key: keys[k], KeyFile: file, NodeKey: file, Address: freeAddress(t)})
		validators = append(validators, &ordov1.Validator{Key: keys[k], Power: 1, Address: bytes.Repeat([]byte{byte(k)}, 32)})
	}
	slices.SortFunc(validators, func(a, b *ordov1.Validator) int { return bytes.Compare(a.Key, b.Key) })
	if twin {
		seed := sha256.Sum256([]byte("twin"))
		key := ed25519.NewKeyFromSeed(seed[:])
		list = append(list, EngineNode{Key: key.Public().(ed25519.PublicKey), KeyFile: list[0].KeyFile, NodeKey: writeKey(t, filepath.Join(dir, "twin.pem"), key), Address: freeAddress(t)})
		keys = append(keys, keys[0])
	}
	for k, one := range list {
		config := e.Configure
		if k >= count {
			config = e.Twin
		}
		data := filepath.Join(dir, fmt.Sprintf("data-%d", k))
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, &engineNode{engineCore: newEngineCore(t, keys[k], validators), engine: e, config: config(one, list), data: data})
		nodes[k].nonce = uint64(k) << 32 // no two nodes build the same block
	}
	return nodes
}

func writeKey(t *testing.T, path string, key ed25519.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err == nil {
		err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// freeAddress is one that nothing listens at, below the ports that systems give to clients.
func freeAddress(t *testing.T) string {
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

// launch starts the process and configures it.
func (n *engineNode) launch() {
	n.t.Helper()
	n.instance = n.engine.Start(n.t)
	request := n.engine.configuration(n.t)
	request.Config, request.DataDir = n.config, n.data
	resp, err := n.instance.plugin().Configure(within(n.t), request)
	if err != nil {
		n.t.Fatalf("configure: %v", err)
	}
	for _, d := range resp.GetDiagnostics() {
		if d.GetSeverity() == ordov1.Diagnostic_ERROR {
			n.t.Fatalf("configure: %s: %s (%s)", d.GetPath(), d.GetSummary(), d.GetDetail())
		}
	}
	described, err := n.instance.plugin().Describe(within(n.t), &ordov1.DescribeRequest{})
	if err != nil {
		n.t.Fatal(err)
	}
	if !slices.Contains(described.GetCapabilities(), sdk.CapEngine) {
		n.t.Skipf("the plugin has no capability %s", sdk.CapEngine)
	}
}

func (n *engineNode) client() ordov1.ConsensusClient {
	return ordov1.NewConsensusClient(n.instance.Conn)
}

// start starts the process and its stream.
func (n *engineNode) start() {
	n.t.Helper()
	n.launch()
	n.connect(n.client())
}

// strike sends the process the signal that ends it at once, and kill waits for the end.
func (n *engineNode) strike() { _ = syscall.Kill(-n.instance.process.cmd.Process.Pid, syscall.SIGKILL) }

func (n *engineNode) kill() {
	n.strike()
	<-n.instance.process.ended
}

// reconnect opens another stream to the same process. An engine may take a moment to end the one before: it refuses until then.
func (n *engineNode) reconnect() {
	n.t.Helper()
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(10 * time.Millisecond) {
		n.connect(n.client())
		n.until("an answer to Start", func() bool { return n.answered > 0 || n.ended != nil })
		n.mu.Lock()
		refused := n.answered == 0
		n.mu.Unlock()
		if !refused {
			return
		}
	}
	n.t.Fatalf("no new stream within %s: %v", patience, n.ended)
}

// add puts a transaction into the pool.
func (n *engineNode) add(tx int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pool[tx] = true
	switch {
	case n.stream == nil || n.ended != nil || n.halted != "":
	case n.open != nil:
		n.build()
	default:
		n.ready()
	}
}

// demand is the wish of an operator for a block.
func (n *engineNode) demand() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_CreateBlock_{CreateBlock: &ordov1.ConsensusEvent_CreateBlock{}}})
}

// tell sends an event.
func (n *engineNode) tell(e *ordov1.ConsensusEvent) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.send(e)
}

// until waits for something of this node.
func (n *engineNode) until(what string, wish func() bool) {
	n.t.Helper()
	expired := false
	timer := time.AfterFunc(patience, func() {
		n.mu.Lock()
		expired = true
		n.changed.Broadcast()
		n.mu.Unlock()
	})
	defer timer.Stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	for !wish() {
		if expired {
			n.t.Fatalf("not within %s: %s; height %d, halted %q, stream %v", patience, what, n.height(), n.halted, n.ended)
		}
		n.changed.Wait()
	}
}

// blocks waits until the chain has so many blocks.
func (n *engineNode) blocks(count int) {
	n.t.Helper()
	n.until(fmt.Sprintf("block %d", count), func() bool { return len(n.chain) >= count || n.halted != "" })
	if n.halted != "" {
		n.t.Fatalf("it halts: %s", n.halted)
	}
}

// snapshot is the chain as it is now.
func (n *engineNode) snapshot() []engineBlock {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.chain)
}

// traffic adds a transaction to each node again and again until the answer is called.
func traffic(nodes []*engineNode) (quiet func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tx := 1; ctx.Err() == nil; tx++ {
			for _, n := range nodes {
				n.add(tx)
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() { cancel(); <-done }
}

// agree compares the chains as far as all have them, and says how far that is.
func agree(t *testing.T, nodes []*engineNode) (heights int) {
	t.Helper()
	first := nodes[0].snapshot()
	heights = len(first)
	for k, n := range nodes[1:] {
		chain := n.snapshot()
		heights = min(heights, len(chain))
		for i := range min(len(first), len(chain)) {
			if !bytes.Equal(first[i].value, chain[i].value) {
				t.Fatalf("height %d: node 0 has %x, node %d %x", i+1, first[i].value, k+1, chain[i].value)
			}
		}
	}
	return heights
}
