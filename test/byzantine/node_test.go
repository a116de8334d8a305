package byzantine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// shipped is the plugin that the liar stands before.
var shipped = map[string]string{"ordering": "fee", "execution": "blockifier", "storage": "badger", "consensus": "solo"}

// binaries is the folder that make build fills.
func binaries(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ORDO_E2E_BIN")
	if dir == "" {
		dir = "../../bin"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ordo")); err != nil {
		t.Skipf("no %s: run make build first", filepath.Join(dir, "ordo"))
	}
	return dir
}

// liar builds the misbehaving plugin once for all tests.
func liar(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "liar")
	if out, err := exec.Command("go", "build", "-o", path, "./plugin").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// deed is what to do wrong; see plugin/main.go.
type deed struct {
	Real, Method string
	After        int
	Do, Once     string
	Crash        map[string][]byte
}

// node is a running `ordo dev` with one misbehaving plugin.
type node struct {
	client.Node
	cmd    *exec.Cmd
	out    *transcript
	exited chan error
	dir    string
}

// begin starts the node. It may end at once, where the deed is done at the start.
func begin(t *testing.T, program, stage string, d deed, once bool, args ...string) *node {
	t.Helper()
	n := &node{out: new(transcript), exited: make(chan error, 1), dir: t.TempDir()}
	plugin := filepath.Join(n.dir, "plugin")
	if err := os.Link(program, plugin); err != nil {
		t.Fatal(err)
	}
	d.Real = filepath.Join(binaries(t), "plugins", "ordo-"+stage+"-"+shipped[stage])
	if once {
		d.Once = filepath.Join(n.dir, "done")
	}
	raw, _ := json.Marshal(d)
	if err := os.WriteFile(plugin+".deed", raw, 0o600); err != nil {
		t.Fatal(err)
	}
	all := append([]string{"dev", "--port", "0", "--accounts", "4", "--" + stage, plugin, "--plugin-call-timeout", "2s", "--plugin-health-timeout", "3s",
		"--plugin-restarts", "3"}, args...)
	if stage == "consensus" { // its settings have defaults only for the shipped name; solo's own default is the same mode
		all = append(all, "--block-generation-on", "transaction")
	}
	n.cmd = exec.Command(filepath.Join(binaries(t), "ordo"), all...)
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	n.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.Getenv("TMPDIR"), "GOMEMLIMIT=1GiB"}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { n.exited <- n.cmd.Wait() }()
	t.Cleanup(func() {
		if n.cmd.ProcessState == nil {
			_ = n.cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-n.exited:
			case <-time.After(30 * time.Second):
				t.Error("the node does not end on SIGTERM")
				_ = n.cmd.Process.Signal(syscall.SIGQUIT)
				<-n.exited
			}
		}
		if text := n.out.String(); strings.Contains(text, "panic:") || strings.Contains(text, "goroutine 1 [") {
			t.Errorf("the node panicked:\n%s", tail(text))
		}
		if t.Failed() {
			t.Logf("ordo %s printed\n%s", strings.Join(all, " "), tail(n.out.String()))
		}
	})
	return n
}

var listening = regexp.MustCompile(`listening on (http://\S+)`)

// outcome waits for one of the two ends that are allowed: "" when the node serves all that is asked, else what it said when
// it stopped.
func (n *node) outcome(t *testing.T, limit time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- n.work(ctx) }()
	select {
	case err := <-n.exited:
		n.exited <- err
		if err == nil {
			t.Error("the node stopped without an error")
		}
		return last(n.out.String())
	case err := <-served:
		if err == nil {
			return ""
		}
		select { // it may be about to stop
		case exit := <-n.exited:
			n.exited <- exit
			return last(n.out.String())
		case <-time.After(10 * time.Second):
		}
		return "refuses: " + err.Error()
	}
}

// serving waits until the node listens.
func (n *node) serving(ctx context.Context) error {
	for n.URL == "" {
		if m := listening.FindStringSubmatch(n.out.String()); m != nil {
			n.URL = m[1]
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// work asks everything that makes each stage speak, until the transfers of three accounts are in blocks.
func (n *node) work(ctx context.Context) error {
	if err := n.serving(ctx); err != nil {
		return err
	}
	strk := genesis.STRKAddress()
	var hashes []string
	for nonce := range uint64(3) {
		for _, a := range genesis.Accounts(0, 3) {
			tx := client.NewAccount(a, "SN_SEPOLIA").Invoke(nonce, client.Transfer(strk, felt.FromUint64(77), 1))
			var hash string
			if err := insist(ctx, func() (err error) { hash, err = n.Submit(ctx, tx); return err }); err != nil {
				return err
			}
			hashes = append(hashes, hash)
		}
		// Reads: a call, past and present state, a class, a block and a transaction by their hashes. Their answers may be
		// errors; the node has to go on.
		for _, q := range [][2]any{
			{"starknet_call", map[string]any{"block_id": "latest", "request": map[string]any{"contract_address": strk.Hex(), "entry_point_selector": selector("totalSupply"), "calldata": []string{}}}},
			{"starknet_getStorageAt", map[string]any{"block_id": map[string]any{"block_number": 0}, "contract_address": strk.Hex(), "key": "0x1"}},
			{"starknet_getClassAt", map[string]any{"block_id": "latest", "contract_address": strk.Hex()}},
			{"starknet_getBlockWithReceipts", map[string]any{"block_id": map[string]any{"block_number": 0}}},
			{"starknet_getStateUpdate", map[string]any{"block_id": "latest"}},
			{"starknet_getTransactionReceipt", map[string]any{"transaction_hash": hashes[0]}},
			// What the core has in memory is not looked for in storage; this is nowhere.
			{"starknet_getTransactionReceipt", map[string]any{"transaction_hash": "0xabc"}},
		} {
			asking, cancel := context.WithTimeout(ctx, 8*time.Second)
			_ = n.Call(asking, q[0].(string), q[1], nil)
			cancel()
		}
	}
	for _, hash := range hashes {
		if err := insist(ctx, func() error { _, err := n.Wait(ctx, hash, "ACCEPTED_ON_L2"); return err }); err != nil {
			return err
		}
	}
	return nil
}

// insist repeats what fails while a stage is away.
func insist(ctx context.Context, do func() error) error {
	var answer error // the node's own
	for {
		err := do()
		if err == nil {
			return nil
		}
		if _, ok := errors.AsType[*client.Error](err); ok || answer == nil {
			answer = err
		}
		select {
		case <-ctx.Done():
			return answer
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// last is the error with which the node ended.
func last(text string) string {
	text = "\n" + text
	if i := strings.LastIndex(text, "\nordo: "); i >= 0 {
		return strings.TrimSpace(text[i:])
	}
	return "(it said nothing) " + tail(text)
}

func tail(text string) string { return text[max(0, len(text)-6000):] }

// transcript keeps what a process prints.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
