package metamorphic

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/test/need"
)

// How contracts/cairo/attack_account.cairo validates, by the first felt of a signature.
const (
	validatePlainly = iota
	validateByRecursion
	validateByFrames // of a struct of 64 felts
	validatePanics
	validateByQuestions // for the transaction
)

// TestSmallestCases runs what once ended an executor that ran machine code, on the VM and as machine code: the answers are
// equal and no process ends. Each of these was one request: a plain recursion as a view, frames of 14 KB in a transaction,
// and the same in __validate__, where nothing is charged.
func TestSmallestCases(t *testing.T) {
	bin := need.Binaries(t, "plugins/ordo-execution-blockifier")
	artifacts := need.Env(t, "ORDO_E2E_CAIRO")
	work := t.TempDir()
	var classes []*ordov1.Class
	for _, name := range []string{"attack", "attack_account"} {
		class, err := client.CairoClass(bin, artifacts, work, name)
		if err != nil {
			t.Fatal(err)
		}
		classes = append(classes, class)
		compiler := filepath.Join(bin, "plugins", "ordo-execution-blockifier")
		if out, err := exec.Command(compiler, "native", filepath.Join(work, name+".class.pb")).CombinedOutput(); err != nil {
			t.Skipf("the executor makes no machine code, so there is nothing to compare: %v: %s", err, out)
		}
	}
	var first *record
	settings := []setting{{"off", 1, ""}, {"wait", 1, ""}}
	for _, s := range settings {
		r := smallest(t, bin, s, classes[0], classes[1])
		if t.Failed() {
			return
		}
		if first == nil {
			first = r
			continue
		}
		first.compare(t, settings[0], s, r)
	}
}

func smallest(t *testing.T, bin string, s setting, attack, account *ordov1.Class) *record {
	t.Helper()
	n := run(t, bin, configuration(s, 0, 1))
	defer n.stop(t)
	r := &record{answers: make(map[string]string)}
	seal := func() { n.call(t, "devnet_createBlock", map[string]any{}, nil) }
	submit := func(tx *client.Tx) {
		t.Helper()
		if _, err := n.Submit(within(t), tx); err != nil {
			t.Fatal(err)
		}
	}
	owner := client.NewAccount(genesis.Accounts(0, 1)[0], chainID)
	submit(owner.Declare(0, attack))
	seal()
	submit(owner.Declare(1, account))
	seal()
	weak := *owner
	weak.Address = contract(account)
	submit(owner.Invoke(2, client.Deploy(client.Felt(attack.Hash), felt.One()), client.Deploy(client.Felt(account.Hash), felt.One()),
		client.Transfer(genesis.STRKAddress(), weak.Address, 15_000_000_000_000_000_000)))
	seal()
	target := contract(attack)

	view := func(function string, numbers ...uint64) {
		answer, err := n.View(within(t), "latest", target, function, felts(numbers)...)
		r.add(fmt.Sprint("view ", function, numbers), answer, err)
		if refused(err, -32603, -32005, -32006) { // a contract may fail, the node must answer
			t.Errorf("%s: %s%v: %v", s, function, numbers, err)
		}
	}
	bomb := func(felts, calls uint64) {
		data := []felt.Felt{felt.FromUint64(felts), felt.FromUint64(calls), target, keccak.Selector("sink")}
		answer, err := n.View(within(t), "latest", target, "call_bomb", data...)
		r.add(fmt.Sprintf("view call_bomb %d %d", felts, calls), answer, err)
	}
	view("recurse", 1000)
	view("recurse_big", 500)
	view("recurse_512", 200)
	view("info_loop", 200)
	bomb(2000, 10)
	if !*shallow {
		view("recurse", 400_000)
		view("recurse_big", 8_000)
		view("recurse_big", 10_000_000) // more than gas allows
		view("recurse_512", 6_000)
	}

	nonce := uint64(0)
	send := func(shape, depth uint64, function string, numbers ...uint64) {
		tx := weak.Invoke(nonce, client.Call{To: target, Selector: keccak.Selector(function), Calldata: felts(numbers)})
		tx.Signature = felt.Pack(felts([]uint64{shape, depth}))
		key := fmt.Sprintf("validation %d to the depth %d, then %s%v", shape, depth, function, numbers)
		var answer json.RawMessage
		err := n.Call(within(t), "starknet_simulateTransactions", map[string]any{
			"block_id": "latest", "transactions": []any{tx.JSON()}, "simulation_flags": []string{},
		}, &answer)
		r.add("simulation: "+key, answer, err)
		hash, err := n.Submit(within(t), tx)
		if r.add(key, hash, err); err == nil {
			nonce++
		}
		if refused(err, -32603, -32005, -32006) {
			t.Errorf("%s: %s: %v", s, key, err)
		}
		seal()
	}
	send(validatePlainly, 0, "recurse", 10)
	send(validateByRecursion, 1000, "recurse", 10)
	send(validateByFrames, 300, "recurse", 10)
	send(validatePanics, 100, "recurse", 10)
	send(validateByQuestions, 100, "recurse", 10)
	if !*shallow {
		send(validateByFrames, 6_500, "recurse", 10)    // 92 million gas of the 100 that validation may use
		send(validateByFrames, 9_000, "recurse", 10)    // more than it may use
		send(validatePlainly, 0, "recurse_big", 8_000)  // in a block
		send(validatePlainly, 0, "recurse_big", 90_000) // in a block, more than its gas
	}
	n.engine(t, s, attack)
	n.engine(t, s, account)
	var head client.Block
	n.call(t, "starknet_getBlockWithTxHashes", map[string]any{"block_id": "latest"}, &head)
	r.blocks(t, n, int(head.Number))
	if accepted := strings.Count(fmt.Sprint(r.answers), `"SUCCEEDED"`); accepted < 5 {
		t.Errorf("%s: only %d transactions succeeded: %v", s, accepted, r.answers)
	}
	return r
}

// refused says whether the node answered with one of the codes.
func refused(err error, codes ...int) bool {
	var refusal *client.Error
	if !errors.As(err, &refusal) {
		return err != nil
	}
	for _, code := range codes {
		if refusal.Code == code {
			return true
		}
	}
	return false
}

func felts(numbers []uint64) []felt.Felt {
	list := make([]felt.Felt, len(numbers))
	for i, n := range numbers {
		list[i] = felt.FromUint64(n)
	}
	return list
}

// contract is the address at which the universal deployer puts a class with the salt 1.
func contract(class *ordov1.Class) felt.Felt {
	return starknet.ContractAddress(felt.Zero(), felt.One(), client.Felt(class.Hash), nil)
}
