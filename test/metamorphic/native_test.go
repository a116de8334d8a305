package metamorphic

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/test/need"
)

var (
	programs = flag.Int("programs", 40, "programs that are generated; more than 100 is the long form: every engine with every number of workers, and all of the protocol's gas")
	seed     = flag.Uint64("seed", 1, "of the programs; 0 takes one from the clock")
	shallow  = flag.Bool("shallow", false, "leave out the recursions that need more stack than most executors set aside")
)

const (
	chainID = "SN_SEPOLIA"
	senders = 8
	clients = 4
	full    = 300_000_000 // L2 gas of programs after which a block is made
)

// setting is how one of the compared nodes is configured.
type setting struct {
	native  string
	workers int
	cache   string // of machine code; in a fresh one there is none, so the class is on the VM first, and then it is not
}

func (s setting) String() string {
	name := fmt.Sprintf("native %s, %d workers", s.native, s.workers)
	if s.cache != "" {
		name += ", nothing compiled before"
	}
	return name
}

// TestEnginesAgree runs the same programs on nodes that differ in nothing but engine and workers. Answers of views and
// simulations, receipts, traces, changes of the state and roots are the same, and no process ends on the way.
func TestEnginesAgree(t *testing.T) {
	bin := need.Binaries(t, "plugins/ordo-execution-blockifier")
	artifacts := need.Env(t, "ORDO_E2E_CAIRO")
	long := *programs > 100
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("%d programs, seed %d", *programs, *seed)

	work := t.TempDir()
	class, err := client.CairoClass(bin, artifacts, work, "programs")
	if err != nil {
		t.Fatal(err)
	}
	// Into the user's cache, where the nodes look for it: made once, it is there the next time.
	began := time.Now()
	compiler := filepath.Join(bin, "plugins", "ordo-execution-blockifier")
	out, err := exec.Command(compiler, "native", filepath.Join(work, "programs.class.pb")).CombinedOutput()
	if err != nil {
		t.Skipf("the executor makes no machine code, so there is nothing to compare: %v: %s", err, out)
	}
	t.Logf("machine code after %s: %s", time.Since(began).Round(time.Millisecond), strings.TrimSpace(string(out)))

	callGas, most := uint64(110_000_000), uint64(5_000_000)
	settings := []setting{{"off", 1, ""}, {"wait", 8, ""}, {"auto", 1, ""}}
	if long {
		callGas, most = 1_100_000_000, 60_000_000
		settings = append(settings, setting{"off", 8, ""}, setting{"wait", 1, ""}, setting{"auto", 8, ""}, setting{"auto", 8, t.TempDir()})
	}
	hash := client.Felt(class.Hash)
	generator := NewGenerator(*seed, hash, most)
	var list, again []Program
	if !*shallow {
		list = Deep(hash, callGas*9/10, !long)
	}
	for i := range *programs {
		list = append(list, generator.Next(i))
	}
	if again = list; !long {
		again = list[len(list)-*programs:]
	}

	var first *record
	for _, s := range settings {
		began := time.Now()
		r := play(t, bin, s, callGas, class, list, again)
		if t.Failed() {
			return // what the node printed is with the failure
		}
		t.Logf("%s: %d answers, %s", s, len(r.keys), time.Since(began).Round(time.Second))
		if first == nil {
			first = r
			r.mixed(t, len(list))
			continue
		}
		first.compare(t, settings[0], s, r)
	}
}

// record is what a node answered, by question.
type record struct {
	mu      sync.Mutex
	keys    []string
	answers map[string]string
}

func (r *record) add(key string, answer any, err error) {
	var text string
	var refusal *client.Error
	switch raw, ok := answer.(json.RawMessage); {
	case errors.As(err, &refusal):
		text = "error " + refusal.Error()
	case err != nil:
		text = "no answer: " + err.Error()
	case ok:
		text = string(raw)
	default:
		text = fmt.Sprint(answer)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, key)
	r.answers[key] = text
}

// compare fails the test where other answered differently.
func (r *record) compare(t *testing.T, mine, others setting, other *record) {
	t.Helper()
	different := 0
	for _, key := range r.keys {
		a, b := r.answers[key], other.answers[key]
		if a == b {
			continue
		}
		if different++; different <= 10 {
			at := 0
			for at < min(len(a), len(b)) && a[at] == b[at] {
				at++
			}
			from := max(0, at-200)
			t.Errorf("%s differs, from byte %d on:\n%s: %.600s\n%s: %.600s", key, at, mine, a[from:], others, b[from:])
		}
	}
	if different > 0 || len(r.keys) != len(other.keys) {
		t.Errorf("%s and %s: %d of %d answers differ (%d there)", mine, others, different, len(r.keys), len(other.keys))
	}
}

// mixed fails the test when the programs have not done what they are for.
func (r *record) mixed(t *testing.T, programs int) {
	t.Helper()
	counts := make(map[string]int)
	for key, answer := range r.answers {
		kind, _, _ := strings.Cut(key, " ")
		counts[kind]++
		for _, word := range []string{"SUCCEEDED", "REVERTED", "error", "no answer"} {
			if strings.Contains(answer, word) {
				counts[kind+" "+word]++
			}
		}
	}
	t.Log(counts)
	if counts["receipt SUCCEEDED"] < programs/4 || counts["receipt REVERTED"] < programs/20 || counts["view error"] < programs/20 || counts["view no answer"] > 0 {
		t.Errorf("the programs are not mixed: %v", counts)
	}
}

// play runs the programs on a fresh node: as views, as simulations, as transactions of a few blocks, and some as views once
// more.
func play(t *testing.T, bin string, s setting, callGas uint64, class *ordov1.Class, list, again []Program) *record {
	t.Helper()
	n := run(t, bin, configuration(s, callGas, senders))
	defer n.stop(t)
	r := &record{answers: make(map[string]string)}

	var accounts []*client.Account
	for _, a := range genesis.Accounts(0, senders) {
		accounts = append(accounts, client.NewAccount(a, chainID))
	}
	nonces := make([]uint64, senders)
	invoke := func(i int, p Program) *client.Tx {
		a := *accounts[i%senders]
		a.Bounds.L2Gas.MaxAmount = p.Gas
		return a.Invoke(nonces[i%senders], call(class, p))
	}
	submit := func(key string, sender int, tx *client.Tx) {
		hash, err := n.Submit(within(t), tx)
		if r.add(key, hash, err); err == nil {
			nonces[sender]++
		}
	}
	seal := func() { n.call(t, "devnet_createBlock", map[string]any{}, nil) }
	submit("submit the class", 0, accounts[0].Declare(0, class))
	seal()
	submit("submit the contract", 0, accounts[0].Invoke(nonces[0], client.Deploy(client.Felt(class.Hash), felt.One())))
	seal()

	r.views(t, n, "view", class, list)
	each(len(list), func(i int) { // what a wallet sees before it sends
		if i%3 > 0 {
			return
		}
		var answer json.RawMessage
		err := n.Call(within(t), "starknet_simulateTransactions", map[string]any{
			"block_id": "latest", "transactions": []any{invoke(i, list[i]).JSON()}, "simulation_flags": []string{},
		}, &answer)
		r.add("simulation of "+list[i].Name, answer, err)
	})
	blocks, gas := 2, uint64(0)
	for i, p := range list {
		submit("submit "+p.Name, i%senders, invoke(i, p))
		if gas += p.Uses; gas >= full || i%12 == 11 || i == len(list)-1 {
			seal()
			blocks, gas = blocks+1, 0
		}
	}
	n.engine(t, s, class)
	r.views(t, n, "view after the blocks:", class, again)
	r.blocks(t, n, blocks)
	return r
}

// engine waits until the executor has said that machine code runs a class, for it may be made in the background; and fails the
// test where that must not be. Without this the test could compare the VM with itself.
func (n *node) engine(t *testing.T, s setting, class *ordov1.Class) {
	t.Helper()
	said := regexp.MustCompile("class runs natively:.* class=0x0*" + strings.TrimPrefix(client.Felt(class.Hash).Hex(), "0x"))
	if s.native == "off" {
		if said.MatchString(n.Out.String()) {
			t.Fatalf("%s: the class ran natively", s)
		}
		return
	}
	if _, ok := n.Out.Await(within(t), said, n.Done()); !ok {
		t.Fatalf("%s: the class never ran natively", s)
	}
}

// configuration is the file of a node that makes blocks on demand. callGas bounds views; 0 is the protocol's limit.
func configuration(s setting, callGas uint64, accounts int) string {
	// Time is not what is compared: no question may end by it on a machine with other work.
	text := "[limits]\nview_timeout = \"4m\"\nvalidate_timeout = \"4m\"\nrequest_timeout = \"5m\"\nqueue_timeout = \"5m\"\n[supervision]\ncall_timeout = \"5m\"\nhealth_timeout = \"2m\"\n"
	text += fmt.Sprintf("[chain]\nblock_generation_on = \"demand\"\n[rpc]\nport = 0\ndevnet = true\n[genesis]\naccounts = %d\naccount_class = \"native\"\n"+
		"[node]\nlog_level = \"info\"\nnative = %q\nworkers = %d\n[execution.config]\ncall_gas = %d\n", accounts, s.native, s.workers, callGas)
	if s.cache != "" {
		text += fmt.Sprintf("native_cache = %q\n", s.cache)
	}
	return text
}

// call is the call of the contract that runs a program.
func call(class *ordov1.Class, p Program) client.Call {
	data := append([]felt.Felt{felt.FromUint64(uint64(len(p.Steps)))}, p.Steps...)
	return client.Call{To: contract(class), Selector: keccak.Selector("run"), Calldata: data}
}

// views calls the programs, several at a time.
func (r *record) views(t *testing.T, n *node, what string, class *ordov1.Class, list []Program) {
	t.Helper()
	each(len(list), func(i int) {
		c := call(class, list[i])
		answer, err := n.View(within(t), "latest", c.To, "run", c.Calldata...)
		r.add(what+" "+list[i].Name, answer, err)
	})
}

// each calls f with every number below n, from several goroutines.
func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	for from := range clients {
		wg.Go(func() {
			for i := from; i < n; i += clients {
				f(i)
			}
		})
	}
	wg.Wait()
}

// blocks records receipts, traces, changes and roots of all blocks.
func (r *record) blocks(t *testing.T, n *node, last int) {
	t.Helper()
	for number := 1; number <= last; number++ {
		id := map[string]any{"block_id": map[string]any{"block_number": number}}
		for { // the root may come a moment after the block
			var block struct {
				Status       string `json:"status"`
				Root         string `json:"new_root"`
				Transactions []struct {
					Receipt map[string]any `json:"receipt"`
				} `json:"transactions"`
			}
			n.call(t, "starknet_getBlockWithReceipts", id, &block)
			if block.Status != "ACCEPTED_ON_L2" {
				select {
				case <-t.Context().Done():
					t.Fatalf("block %d is still %s", number, block.Status)
				case <-time.After(20 * time.Millisecond):
				}
				continue
			}
			for _, tx := range block.Transactions {
				raw, err := json.Marshal(tx.Receipt)
				r.add(fmt.Sprint("receipt ", tx.Receipt["transaction_hash"]), json.RawMessage(raw), err)
			}
			var trace json.RawMessage
			err := n.Call(within(t), "starknet_traceBlockTransactions", id, &trace)
			r.add(fmt.Sprint("trace of block ", number), trace, err)
			r.changes(t, n, number)
			if number < 10 { // then blocks begin to write hashes of old blocks into the state, which hold the time
				r.add(fmt.Sprint("root of block ", number), block.Root, nil)
			}
			break
		}
	}
}

// changes records what a block wrote, but for the hashes of old blocks.
func (r *record) changes(t *testing.T, n *node, number int) {
	t.Helper()
	var update struct {
		Diff map[string]json.RawMessage `json:"state_diff"`
	}
	n.call(t, "starknet_getStateUpdate", map[string]any{"block_id": map[string]any{"block_number": number}}, &update)
	var storage []map[string]any
	if err := json.Unmarshal(update.Diff["storage_diffs"], &storage); err != nil {
		t.Fatal(err)
	}
	storage = slices.DeleteFunc(storage, func(contract map[string]any) bool { return contract["address"] == "0x1" })
	update.Diff["storage_diffs"], _ = json.Marshal(storage) // it was JSON
	raw, err := json.Marshal(update.Diff)
	r.add(fmt.Sprint("changes of block ", number), json.RawMessage(raw), err)
}
