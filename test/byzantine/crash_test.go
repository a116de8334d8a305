package byzantine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// crashing is an address: what names it ends the execution process. deadly is another one.
var crashing, deadly = felt.FromUint64(0xdead_c0de_dead_c0de), felt.FromUint64(0xbad_c0de_bad_c0de)

func mark(f felt.Felt) []byte {
	raw := f.Bytes()
	return raw[24:]
}

// crasher starts a node whose execution ends over a request of a method that names crashing.
func crasher(t *testing.T, method string, args ...string) *node {
	t.Helper()
	return crasherOver(t, map[string][]byte{method: mark(crashing)}, args...)
}

func crasherOver(t *testing.T, marks map[string][]byte, args ...string) *node {
	t.Helper()
	n := begin(t, buildProxy(t), "execution", fault{Crash: marks},
		append([]string{"--accounts", "16", "--plugin-call-timeout", "20s", "--log-level", "error",
			"--limit-restart-wait", "1m", "--limit-queue-timeout", "1m", "--answer-when", "admitted"}, args...)...)
	n.Serve(t, startLimit)
	return n
}

// alive says that the node has not stopped.
func (n *node) alive(t *testing.T) {
	t.Helper()
	if n.Ended() {
		t.Fatalf("the node stopped: %s", last(n.Out.String()))
	}
}

// code is that of an error of the node, with its text; 0: none, or another error.
func code(err error) (int, string) {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.Code, e.Error()
	}
	return 0, fmt.Sprint(err)
}

// transfers sends a transfer again and again, one after the other, until it is stopped. All of them must be accepted.
func (n *node) transfers(t *testing.T, account int) (stop func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	count := make(chan int)
	go func() {
		sent := 0
		a := client.NewAccount(genesis.Accounts(0, 16)[account], "SN_SEPOLIA")
		for nonce := uint64(0); ctx.Err() == nil; nonce++ {
			hash, err := n.Submit(t.Context(), a.Invoke(nonce, client.Transfer(genesis.STRKAddress(), felt.FromUint64(77), 1)))
			if err == nil {
				_, err = n.Wait(t.Context(), hash, "ACCEPTED_ON_L2")
			}
			if err != nil {
				t.Errorf("transfer %d of account %d: %v", nonce, account, err)
				break
			}
			sent++
		}
		count <- sent
	}()
	return func() int { cancel(); return <-count }
}

// TestViewsThatCrash: calls that end execution, alone and among others, while blocks are made. Each is refused by name and runs no more,
// the others get their answers, and with one restart allowed the node goes on.
func TestViewsThatCrash(t *testing.T) {
	t.Parallel()
	n := crasher(t, "View", "--plugin-restarts", "1", "--question-crashes", "30")
	balance := func(of felt.Felt) error {
		_, err := n.Balance(t.Context(), "latest", genesis.STRKAddress(), of)
		return err
	}
	refused := func(err error) {
		t.Helper()
		if c, text := code(err); c != -32008 || !strings.Contains(text, "this call ended the execution plugin: refused until") {
			t.Errorf("told %s", text)
		}
	}
	refused(balance(crashing))
	for range 10 {
		refused(balance(crashing))
	}
	if err := n.insist(t.Context(), func() error { return balance(felt.FromUint64(1)) }); err != nil {
		t.Fatal(err)
	}
	if restarts := strings.Count(n.Out.String(), "started again"); restarts != 1 {
		t.Errorf("%d restarts over one call, put 11 times", restarts)
	}
	stop := n.transfers(t, 0)
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			for range 20 {
				if err := balance(felt.FromUint64(uint64(i))); err != nil {
					t.Errorf("innocent: %v", err)
				}
			}
		})
	}
	for i := range 3 { // the address, and something more, so that each is another call
		all.Go(func() {
			_, err := n.View(t.Context(), "latest", genesis.STRKAddress(), "balanceOf", crashing, felt.FromUint64(uint64(i)))
			refused(err)
		})
	}
	all.Wait()
	if sent := stop(); sent == 0 {
		t.Error("no block was made meanwhile")
	}
	n.alive(t)
	n.sound(t, true, "", "")
}

// TestViewsArePaused: too many calls that end execution, each another. Calls are refused for a while, transactions are not.
func TestViewsArePaused(t *testing.T) {
	t.Parallel()
	n := crasher(t, "View", "--plugin-restarts", "1", "--question-crashes", "2", "--question-pause", "2s")
	for i := range 3 {
		if _, err := n.View(t.Context(), "latest", genesis.STRKAddress(), "balanceOf", crashing, felt.FromUint64(uint64(i))); err == nil {
			t.Error("answered")
		}
	}
	_, err := n.Balance(t.Context(), "latest", genesis.STRKAddress(), felt.FromUint64(1))
	if c, text := code(err); c != -32005 || !strings.Contains(text, "ended the execution plugin 3 times within 1m0s (supervision.question_crashes)") {
		t.Errorf("told %s", text)
	}
	stop := n.transfers(t, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := n.insist(ctx, func() error {
		_, err := n.Balance(ctx, "latest", genesis.STRKAddress(), felt.FromUint64(1))
		return err
	}); err != nil {
		t.Errorf("after the pause: %v", err)
	}
	if stop() == 0 {
		t.Error("no transaction was taken meanwhile")
	}
	n.alive(t)
	n.sound(t, true, "", "")
}

// TestTransactionsThatCrashAtAdmission: they are refused with their accounts, which pay nothing; others beside them are taken.
func TestTransactionsThatCrashAtAdmission(t *testing.T) {
	t.Parallel()
	n := crasher(t, "Validate", "--plugin-restarts", "1", "--question-crashes", "30")
	accounts := genesis.Accounts(0, 16)
	strk := genesis.STRKAddress()
	var all sync.WaitGroup
	var stops []func() int
	for account := range 4 {
		stops = append(stops, n.transfers(t, account))
	}
	for i := 12; i < 15; i++ {
		a := client.NewAccount(accounts[i], "SN_SEPOLIA")
		before, err := n.Balance(t.Context(), "latest", strk, a.Address)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for _, tx := range []*client.Tx{a.Invoke(0, client.Transfer(strk, crashing, 1)), a.Invoke(0, client.Transfer(strk, crashing, 1)), a.Invoke(0, client.Transfer(strk, felt.FromUint64(5), 1))} {
				_, err := n.Submit(t.Context(), tx)
				if c, text := code(err); c != 63 || !strings.Contains(text, "ended the execution plugin: refused until") {
					t.Errorf("told %s", text)
				}
			}
			after, err := n.Balance(t.Context(), "latest", strk, a.Address)
			if err != nil || after.Cmp(before) != 0 {
				t.Errorf("balance %v, was %v: %v", after, before, err)
			}
		})
	}
	all.Wait()
	for _, stop := range stops {
		if stop() == 0 {
			t.Error("an innocent account got nothing through")
		}
	}
	n.alive(t)
	n.sound(t, true, "", "")
}

// TestTransactionsThatCrashInBlocks: ten of them, acknowledged, from ten accounts and in one block of an interval, beside others; the
// core is killed while they are sought. They are rejected with a reason, the others are accepted, in no more than the restarts allowed.
func TestTransactionsThatCrashInBlocks(t *testing.T) {
	t.Parallel()
	args := []string{"--plugin-restarts", "3", "--block-generation-on", "1", "--data-dir", filepath.Join(t.TempDir(), "data")}
	n := crasher(t, "Build", args...)
	accounts := genesis.Accounts(0, 16)
	strk := genesis.STRKAddress()
	var bad, good []string
	for i, account := range accounts {
		a, to := client.NewAccount(account, "SN_SEPOLIA"), felt.FromUint64(9)
		if i < 10 {
			to = crashing
		}
		hash, err := n.Submit(t.Context(), a.Invoke(0, client.Transfer(strk, to, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if i < 10 {
			bad = append(bad, hash)
		} else {
			good = append(good, hash)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	await := func(hash, finality string) {
		t.Helper()
		for {
			s, err := n.Status(ctx, hash)
			if err == nil && s.Finality == finality {
				return
			}
			n.alive(t)
			select {
			case <-ctx.Done():
				t.Fatalf("%s is %+v, %v, and not %s", hash, s, err, finality)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	for range 2 {
		rejected := 0
		for rejected < 3 { // some are found, then the core is killed
			rejected = strings.Count(n.Out.String(), "started again")
			n.alive(t)
			time.Sleep(10 * time.Millisecond)
		}
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		n = crasher(t, "Build", args...)
	}
	for _, hash := range good {
		await(hash, "ACCEPTED_ON_L2")
	}
	named := 0
	for _, hash := range bad {
		for {
			// What was rejected before the core was killed is not known to the next one.
			s, err := n.Status(ctx, hash)
			if c, text := code(err); c == 29 {
				if strings.Contains(text, "rejected: OTHER: execution ended") && strings.Contains(text, "while running this transaction") {
					named++
				}
				break
			}
			n.alive(t)
			select {
			case <-ctx.Done():
				t.Fatalf("%s is %+v, %v", hash, s, err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	// One end finds those in question, and each of them that ends execution costs one more.
	if restarts := strings.Count(n.Out.String(), "started again"); named == 0 || restarts > named+1 {
		t.Errorf("%d restarts for %d transactions after the core was killed twice", restarts, named)
	} else {
		t.Logf("%d restarts for %d transactions after the core was killed twice", restarts, named)
	}
	a := client.NewAccount(accounts[15], "SN_SEPOLIA")
	hash, err := n.Submit(ctx, a.Invoke(1, client.Transfer(strk, felt.FromUint64(9), 1)))
	if err != nil {
		t.Fatal(err)
	}
	await(hash, "ACCEPTED_ON_L2")
	n.alive(t)
	n.sound(t, true, "", "")
}

// TestAllThatCrash: calls, validations and transactions of blocks that end execution, at the same time. No honest transaction is
// rejected, no honest call is refused, each of the others is named, and the restart that is allowed is not spent.
func TestAllThatCrash(t *testing.T) {
	t.Parallel()
	third := felt.FromUint64(0xcafe_babe_cafe_babe)
	n := crasherOver(t, map[string][]byte{"View": mark(crashing), "Build": mark(deadly), "Validate": mark(third)},
		"--plugin-restarts", "4", "--question-crashes", "1000")
	accounts := genesis.Accounts(0, 16)
	strk := genesis.STRKAddress()
	stops := []func() int{n.transfers(t, 0), n.transfers(t, 1)}
	var all sync.WaitGroup
	for i := range 4 { // honest calls
		all.Go(func() {
			for range 10 {
				if err := n.insist(t.Context(), func() error {
					_, err := n.Balance(t.Context(), "latest", strk, felt.FromUint64(uint64(i)))
					if c, text := code(err); c == -32008 {
						t.Errorf("an honest call is refused: %s", text)
						return nil
					}
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 4 {
		all.Go(func() {
			if err := n.insist(t.Context(), func() error {
				_, err := n.View(t.Context(), "latest", strk, "balanceOf", crashing, felt.FromUint64(uint64(i)))
				if c, _ := code(err); c == -32008 {
					return nil
				}
				return fmt.Errorf("told %v", err)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	for i := 4; i < 8; i++ {
		all.Go(func() {
			a := client.NewAccount(accounts[i], "SN_SEPOLIA")
			if err := n.insist(t.Context(), func() error {
				_, err := n.Submit(t.Context(), a.Invoke(0, client.Transfer(strk, third, 1)))
				if _, text := code(err); strings.Contains(text, "ended the execution plugin: refused until") {
					return nil
				}
				return fmt.Errorf("told %v", err)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	for i := 8; i < 12; i++ {
		all.Go(func() {
			a := client.NewAccount(accounts[i], "SN_SEPOLIA")
			var hash string
			if err := n.insist(t.Context(), func() (err error) {
				hash, err = n.Submit(t.Context(), a.Invoke(0, client.Transfer(strk, deadly, 1)))
				return err
			}); err != nil {
				t.Error(err)
				return
			}
			if err := n.insist(t.Context(), func() error {
				s, err := n.Status(t.Context(), hash)
				if _, text := code(err); strings.Contains(text, "while running this transaction") {
					return nil
				}
				return fmt.Errorf("is %+v, %v", s, err)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, stop := range stops {
		t.Logf("%d honest transfers beside %d ends of execution", stop(), strings.Count(n.Out.String(), "started again"))
	}
	n.alive(t)
	n.sound(t, true, "", "")
}
