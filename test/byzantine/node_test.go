package byzantine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/cmd/ordo/verify/check"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// shipped is the plugin that the proxy stands before.
var shipped = map[string]string{"ordering": "fee", "execution": "blockifier", "storage": "badger", "consensus": "solo"}

// buildProxy builds the plugin that injects faults.
func buildProxy(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "proxy")
	if out, err := exec.Command("go", "build", "-o", path, "./plugin").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// fault is what the proxy does wrong; see plugin/main.go.
type fault struct {
	Real, Method string
	After        int
	Do           string
	Once         bool
	Marker       string
	Crash        map[string][]byte
}

// node is a running `ordo dev` with one faulty plugin.
type node struct {
	*nodetest.Process
	dir     string
	data    string // the folder of its chain
	refusal string // what its answers must say; "": it must not refuse

	mu       sync.Mutex
	accepted client.Block // the newest that a client was told to be accepted
}

// begin starts the node. It may end at once, where the fault is injected at the start.
func begin(t *testing.T, program, stage string, f fault, args ...string) *node {
	t.Helper()
	bin, dir := need.Binaries(t), t.TempDir()
	plugin := filepath.Join(dir, "plugin")
	if err := os.Link(program, plugin); err != nil {
		t.Fatal(err)
	}
	f.Real, f.Marker = filepath.Join(bin, "plugins", "ordo-"+stage+"-"+shipped[stage]), filepath.Join(dir, "marker")
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plugin+".fault", raw, 0o600); err != nil {
		t.Fatal(err)
	}
	all := append([]string{"dev", "--port", "0", "--accounts", "4", "--data-dir", filepath.Join(dir, "data"), "--" + stage, plugin,
		"--plugin-call-timeout", "2s", "--plugin-health-timeout", "3s", "--plugin-restarts", "3"}, args...)
	if i := slices.Index(args, "--data-dir"); i >= 0 {
		all[slices.Index(all, "--data-dir")+1] = args[i+1]
	}
	if stage == "consensus" { // its settings have defaults only for the shipped name; solo's own default is the same mode
		all = append(all, "--block-generation-on", "transaction")
	}
	cmd := exec.Command(filepath.Join(bin, "ordo"), all...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.Getenv("TMPDIR"), "GOMEMLIMIT=1GiB"}
	n := &node{Process: nodetest.Run(t, cmd, stopLimit), dir: dir, data: all[slices.Index(all, "--data-dir")+1]}
	t.Cleanup(func() {
		if text := n.Out.String(); strings.Contains(text, "panic:") || strings.Contains(text, "goroutine 1 [") {
			t.Errorf("the node panicked:\n%s", tail(text))
		}
	})
	return n
}

// injected tells how many times the fault was injected.
func (n *node) injected() int {
	text, _ := os.ReadFile(filepath.Join(n.dir, "marker"))
	return strings.Count(string(text), "\n")
}

// stopLimit is for the end of a node; startLimit for its start, on a machine that has other work.
const (
	stopLimit  = 30 * time.Second
	startLimit = time.Minute
)

// outcome waits for one of the two ends that are allowed: "" when the node serves all that is asked, else what it said when
// it stopped. A node that must stop is asked more and more: how many blocks hold the same transactions, and so how often a fault is
// injected, depends on the speed of the machine.
func (n *node) outcome(t *testing.T, want, says string) string {
	t.Helper()
	if want == refuses {
		n.refusal = says
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		err := n.work(ctx, 0)
		for nonce := uint64(rounds); want == stops && err == nil && nonce < 10*rounds; nonce += rounds {
			err = n.work(ctx, nonce)
		}
		served <- err
	}()
	select {
	case <-n.Done():
	case err := <-served:
		if err == nil {
			return ""
		}
		select { // it may be about to stop
		case <-n.Done():
		case <-time.After(5 * time.Second):
			return "refuses: " + err.Error()
		}
	}
	if n.Err() == nil {
		t.Error("the node stopped without an error")
	}
	return last(n.Out.String())
}

// head is the newest block whose root is known.
func (n *node) head(ctx context.Context) (head client.Block, err error) {
	err = n.insist(ctx, func() (err error) { head, err = n.Block(ctx, "latest"); return err })
	return head, err
}

// replay executes the stored chain again with honest plugins, which compares every root and hash, and returns the hash of its head.
func (n *node) replay(t *testing.T) (number uint64, hash string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(need.Binaries(t), "ordo"), "replay", "--data-dir", n.data)
	cmd.Env = n.Cmd.Env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, "", fmt.Errorf("ordo replay: %w: %s", err, last(string(out)))
	}
	m := replayed.FindStringSubmatch(string(out))
	if m == nil {
		return 0, "", fmt.Errorf("ordo replay printed %s", out)
	}
	number, err = strconv.ParseUint(m[1], 10, 64)
	return number, m[2], err
}

var replayed = regexp.MustCompile(`(?m)^head +(\d+) (0x[0-9a-f]+)$`)

// rounds is how many transfers of each account one call of work sends.
const rounds = 3

// work asks everything that makes each stage speak, until the transfers of three accounts, with nonces from first on, are in blocks.
func (n *node) work(ctx context.Context, first uint64) error {
	if err := n.Serving(ctx); err != nil {
		return err
	}
	strk := genesis.STRKAddress()
	var hashes []string
	for nonce := first; nonce < first+rounds; nonce++ {
		var sent errgroup.Group
		round := make([]string, 3)
		for i, a := range genesis.Accounts(0, len(round)) {
			sent.Go(func() error {
				tx := client.NewAccount(a, "SN_SEPOLIA").Invoke(nonce, client.Transfer(strk, felt.FromUint64(77), 1))
				return n.insist(ctx, func() (err error) { round[i], err = n.Submit(ctx, tx); return err })
			})
		}
		if err := sent.Wait(); err != nil {
			return err
		}
		hashes = append(hashes, round...)
		if err := n.proof(ctx); err != nil {
			return err
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
		if err := n.insist(ctx, func() error { _, err := n.Wait(ctx, hash, "ACCEPTED_ON_L2"); return err }); err != nil {
			return err
		}
		head, err := n.head(ctx)
		if err != nil {
			return err
		}
		n.mu.Lock()
		n.accepted = head
		n.mu.Unlock()
	}
	return nil
}

// proof asks for a proof until there is one, which must verify as `ordo verify --proof` does it.
func (n *node) proof(ctx context.Context) error {
	params := map[string]any{"block_id": "latest", "contract_addresses": []string{genesis.STRKAddress().Hex(), "0x5"},
		"contracts_storage_keys": []any{map[string]any{"contract_address": genesis.STRKAddress().Hex(), "storage_keys": []string{"0x1", "0x2"}}}}
	var result json.RawMessage
	if err := n.insist(ctx, func() error { return n.Call(ctx, "starknet_getStorageProof", params, &result) }); err != nil {
		return err
	}
	file, err := json.Marshal(map[string]any{"params": params, "result": result})
	if err != nil {
		return err
	}
	if s := check.Summarize([]*check.File{check.Proof("the node", file, nil)}); s.ExitCode() != 0 {
		return fmt.Errorf("the node serves a wrong proof: %s", file)
	}
	return nil
}

func selector(name string) string { return keccak.Selector(name).Hex() }

// insist repeats what fails while a stage is away. A node that must refuse has done so when its answer said why, twice.
func (n *node) insist(ctx context.Context, do func() error) error {
	var answer error // the node's own
	for told := 0; ; {
		err := do()
		if err == nil {
			return nil
		}
		if _, ok := errors.AsType[*client.Error](err); ok || answer == nil {
			answer = err
		}
		if n.refusal != "" && strings.Contains(err.Error(), n.refusal) {
			if told++; told == 2 {
				return err
			}
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
