package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// load sends mixed transactions from several accounts at the same time, and holds on to each until the node has given a
// definite answer, over as many of its instances as that takes.
type load struct {
	nodes   []client.Node
	ledger  *ledger
	account felt.Felt       // a class that genesis declares; its constructor takes a public key
	class   json.RawMessage // a class to declare, with ever new ABIs
	casm    []byte          // its compiled class hash
	pace    time.Duration   // between two steps of a sender
	salt    uint64          // of all that has to be new on this chain

	stuck chan error // a sender cannot go on: something is wrong with the node
	work  sync.WaitGroup
}

const (
	onTheWay = 40 // of one sender, below what the pool takes ahead of an account's nonce
	baseTip  = 10
)

// sender is one account.
type sender struct {
	*load
	*client.Account
	index  int
	random *rand.Rand
	nonce  uint64 // of the next transaction
	at     int    // which of the nodes it sends by
	fresh  uint64 // for what has to be new
}

// start sends until sending is over; then each sender finishes what it has begun. hard ends everything.
func (l *load) start(sending, hard context.Context, seed uint64, accounts []genesis.Account) {
	for i, a := range accounts {
		s := &sender{load: l, Account: client.NewAccount(a, chainID), index: i, random: rand.New(rand.NewPCG(seed, uint64(i))), at: i}
		step, pace := s.mixed, l.pace
		switch i {
		case 0:
			step, pace = s.declare, 700*time.Millisecond
		case 1:
			step, pace = s.newcomer, 300*time.Millisecond
		}
		l.work.Go(func() {
			for sending.Err() == nil {
				if err := step(sending, hard); err != nil {
					if hard.Err() == nil {
						select {
						case l.stuck <- fmt.Errorf("sender %d: %w", i, err):
						default:
						}
					}
					return
				}
				select {
				case <-sending.Done():
				case <-time.After(time.Duration(s.random.Int64N(int64(2 * pace)))):
				}
			}
		})
	}
}

// mixed is one step of an ordinary account.
func (s *sender) mixed(sending, hard context.Context) error {
	if !s.room(sending, onTheWay) {
		return nil
	}
	switch roll := s.random.IntN(100); {
	case roll < 12: // the nonces after the next come first
		ahead := 1 + s.random.IntN(3)
		first := s.take(1 + ahead)
		for i := range ahead {
			if err := s.send(hard, first+1+uint64(i), "ahead of its nonce", s.transfer()); err != nil {
				return err
			}
		}
		s.wait(sending, 400*time.Millisecond)
		return s.send(hard, first, "fills a gap", s.transfer())
	case roll < 20:
		return s.replacement(sending, hard)
	default:
		kind, calls := s.something(roll)
		return s.send(hard, s.take(1), kind, calls...)
	}
}

// replacement: a transaction that waits for a gap is replaced by one that pays more, then the gap is filled.
func (s *sender) replacement(sending, hard context.Context) error {
	first := s.take(2)
	cheap, dear := *s.Account, *s.Account
	cheap.Tip, dear.Tip = baseTip, 2*baseTip
	dear.Bounds.L2Gas.MaxPrice.Lo *= 2
	old := s.invoke(&cheap, first+1, "replaced", s.transfer())
	if err := s.deliver(hard, old.entry, old.tx); err != nil {
		return err
	}
	s.wait(sending, 200*time.Millisecond)
	by := s.invoke(&dear, first+1, "replaces", s.transfer())
	if err := s.deliver(hard, by.entry, by.tx); err != nil {
		return err
	}
	if old.entry.acked.IsZero() && by.entry.acked.IsZero() {
		if err := s.send(hard, first+1, "transfer", s.transfer()); err != nil {
			return err
		}
	}
	if !by.entry.acked.IsZero() {
		s.ledger.replace(old.entry, by.entry)
	}
	s.wait(sending, 200*time.Millisecond)
	return s.send(hard, first, "fills a gap", s.transfer())
}

func (s *sender) something(roll int) (string, []client.Call) {
	s.fresh++
	fresh := felt.FromUint64(s.salt<<40 | uint64(s.index)<<32 | s.fresh)
	switch {
	case roll < 26: // more than anyone has
		call := s.transfer()
		call.Calldata[2] = felt.One()
		return "reverts", []client.Call{call}
	case roll < 30: // no contract there
		return "reverts", []client.Call{client.Transfer(fresh.Add(felt.MustHex("0xdead0000")), s.Address, 1)}
	case roll < 38:
		return "deploys", []client.Call{client.Deploy(s.account, fresh, genesis.PublicKey(felt.FromUint64(s.fresh)))}
	case roll < 42:
		if class := s.ledger.declared(s.random.IntN); class != "" {
			return "deploys", []client.Call{client.Deploy(felt.MustHex(class), fresh)}
		}
	case roll < 50:
		return "several calls", []client.Call{s.transfer(), client.Transfer(genesis.ETHAddress(), fresh, 3), s.transfer()}
	}
	return "transfer", []client.Call{s.transfer()}
}

func (s *sender) transfer() client.Call {
	to := felt.FromUint64(1_000_000 + s.random.Uint64N(500))
	return client.Transfer(genesis.STRKAddress(), to, 1+s.random.Uint64N(1000))
}

// declare brings a class that the chain has not seen. A DECLARE must have the very nonce of its account, so this one
// waits for the last to be in a block.
func (s *sender) declare(sending, hard context.Context) error {
	if !s.room(sending, 1) {
		return nil
	}
	s.fresh++
	class, err := s.variant(s.salt<<32 | s.fresh)
	if err != nil {
		return err
	}
	nonce := s.take(1)
	tx := s.Account.Declare(nonce, class)
	e := s.ledger.signed(s.index, nonce, "declare", tx)
	if err := s.deliver(hard, e, tx); err != nil {
		return err
	}
	return s.fill(hard, e)
}

// variant is the class with another ABI: another hash, the same program.
func (s *sender) variant(number uint64) (*ordov1.Class, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(s.class, &fields); err != nil {
		return nil, err
	}
	fields["abi"], _ = json.Marshal(fmt.Sprintf(`[{"type": "struct", "name": "n%d", "members": []}]`, number))
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	class, err := gateway.DecodeClass(raw)
	if err != nil {
		return nil, err
	}
	return &ordov1.Class{Hash: class.Hash, Definition: class.Definition, CompiledClassHash: s.casm}, nil
}

// newcomer funds a new account, deploys it and uses it at once.
func (s *sender) newcomer(sending, hard context.Context) error {
	if !s.room(sending, 1) {
		return nil
	}
	s.fresh++
	salt := felt.FromUint64(s.salt<<32 | s.fresh)
	account := client.NewAccountAt(s.Account, s.account, salt, felt.FromUint64(s.salt<<32|s.fresh))
	if err := s.send(hard, s.take(1), "transfer", client.Transfer(genesis.STRKAddress(), account.Address, 5_000_000_000_000_000_000)); err != nil {
		return err
	}
	if !s.room(sending, 1) {
		return nil // it has no money yet
	}
	// The new account is a sender of its own in the ledger.
	own := &sender{load: s.load, Account: account, index: 1000*s.index + int(s.fresh), random: s.random, at: s.at}
	tx := account.DeployAccount(s.account, salt)
	e := s.ledger.signed(own.index, 0, "deploys itself", tx)
	if err := s.deliver(hard, e, tx); err != nil {
		return err
	}
	if e.acked.IsZero() && e.refused != "" {
		return nil // counted as rejected
	}
	return own.send(hard, 1, "transfer", own.transfer())
}

// room waits until few of the sender's transactions are on their way; false when sending is over before.
func (s *sender) room(sending context.Context, most int) bool {
	for {
		n, changed := s.ledger.onTheWay(s.index)
		if n < most {
			return sending.Err() == nil
		}
		select {
		case <-changed:
		case <-sending.Done():
			return false
		}
	}
}

func (s *sender) wait(sending context.Context, most time.Duration) {
	select {
	case <-time.After(time.Duration(s.random.Int64N(int64(most)))):
	case <-sending.Done():
	}
}

func (s *sender) take(n int) (first uint64) {
	first = s.nonce
	s.nonce += uint64(n)
	return first
}

type signedTx struct {
	entry *entry
	tx    *client.Tx
}

func (s *sender) invoke(a *client.Account, nonce uint64, kind string, calls ...client.Call) signedTx {
	tx := a.Invoke(nonce, calls...)
	return signedTx{s.ledger.signed(s.index, nonce, kind, tx), tx}
}

// send signs and delivers, and sees to it that the nonce is used.
func (s *sender) send(hard context.Context, nonce uint64, kind string, calls ...client.Call) error {
	a := *s.Account
	a.Tip = s.random.Uint64N(baseTip)
	t := s.invoke(&a, nonce, kind, calls...)
	if err := s.deliver(hard, t.entry, t.tx); err != nil {
		return err
	}
	return s.fill(hard, t.entry)
}

// fill puts a transfer in the place of what was rejected: the nonces behind it wait.
func (s *sender) fill(hard context.Context, e *entry) error {
	for range 20 {
		if e.refused == "" || !e.acked.IsZero() {
			return nil
		}
		s.wait(hard, 300*time.Millisecond)
		s.at++ // a node of a network may be behind
		t := s.invoke(s.Account, e.nonce, "in the place of a rejected", s.transfer())
		if err := s.deliver(hard, t.entry, t.tx); err != nil {
			return err
		}
		e = t.entry
	}
	return fmt.Errorf("nonce %d is rejected again and again: %s", e.nonce, e.refused)
}

// deliver sends until the node gives a definite answer: its hash, that it has it, or that it does not want it.
func (s *sender) deliver(hard context.Context, e *entry, tx *client.Tx) error {
	for {
		ctx, cancel := context.WithTimeout(hard, 15*time.Second)
		hash, err := s.nodes[s.at%len(s.nodes)].Submit(ctx, tx)
		cancel()
		switch code := codeOf(err); {
		case err == nil && hash != e.hash:
			return fmt.Errorf("the node hashes to %s, the client to %s", hash, e.hash)
		case err == nil, code == 59: // it has it
			s.ledger.acknowledge(e)
			return nil
		case code == 51, code == 52: // perhaps what was sent before without an answer
			known, lookErr := s.known(hard, e)
			if lookErr != nil {
				return lookErr
			}
			if known {
				return nil
			}
			s.ledger.refuse(e, err.Error())
			return nil
		case code > 0 && code != 63:
			s.ledger.refuse(e, err.Error())
			return nil
		case code == -32602:
			return err
		}
		s.ledger.fault(err)
		s.at++
		select {
		case <-time.After(30*time.Millisecond + time.Duration(s.random.Int64N(int64(100*time.Millisecond)))):
		case <-hard.Done():
			return hard.Err()
		}
	}
}

// known asks whether a node has a transaction, until one has it or all have answered.
func (s *sender) known(hard context.Context, e *entry) (bool, error) {
	for {
		without := 0
		for _, n := range s.nodes {
			ctx, cancel := context.WithTimeout(hard, 15*time.Second)
			_, err := n.Status(ctx, e.hash)
			cancel()
			switch code := codeOf(err); {
			case err == nil:
				return true, nil
			case code == 29:
				without++
			}
		}
		if without == len(s.nodes) {
			return false, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-hard.Done():
			return false, hard.Err()
		}
	}
}

func codeOf(err error) int {
	if e := (*client.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return 0
}
