package main

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

// ledger makes a state with as many balances of one token as contracts, and blocks of transfers over it.
type ledger struct {
	r        *rand.Rand
	token    felt.Felt
	balances []felt.Felt // storage keys
	amounts  []felt.Felt // of the balances
	accounts []felt.Felt
	nonces   []felt.Felt
	number   uint64
}

func newLedger(leaves int) *ledger {
	l := &ledger{r: rand.New(rand.NewPCG(5, 4)), token: genesis.STRKAddress()}
	for range leaves {
		l.balances, l.accounts = append(l.balances, l.random()), append(l.accounts, l.random())
	}
	l.amounts, l.nonces = make([]felt.Felt, leaves), make([]felt.Felt, leaves)
	// A sorted state touches each branch about once while it is built.
	slices.SortFunc(l.balances, felt.Felt.Cmp)
	slices.SortFunc(l.accounts, felt.Felt.Cmp)
	return l
}

// random is uniform below 2^251, as the hashes are that keys and addresses are made of.
func (l *ledger) random() felt.Felt {
	var b [felt.Size]byte
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], l.r.Uint64())
	}
	b[0] &= 7
	return felt.Reduce(b[:])
}

// build feeds the state in parts to apply, and says how many leaves each had.
func (l *ledger) build(apply func(*trie.Diff) error, done func(leaves int)) error {
	const part = 1 << 13
	class := l.random()
	for at := 0; at < len(l.balances); at += part {
		end := min(at+part, len(l.balances))
		d := &trie.Diff{Storage: []trie.Storage{{Address: l.token}}}
		for i := at; i < end; i++ {
			l.amounts[i] = l.amount()
			d.Storage[0].Entries = append(d.Storage[0].Entries, trie.Entry{Key: l.balances[i], Value: l.amounts[i]})
			d.Contracts = append(d.Contracts, trie.Entry{Key: l.accounts[i], Value: class})
		}
		if err := apply(d); err != nil {
			return err
		}
		done(end - at)
	}
	return nil
}

// amount is a balance of some 10^18 to 10^19.
func (l *ledger) amount() felt.Felt { return felt.FromUint64(l.r.Uint64() | 1<<60) }

// block is what n transfers between distinct accounts change: two balances each, the sender's nonce, what the sequencer
// earns, and the block hash that contract 0x1 learns. undo takes it back.
func (l *ledger) block(n int) (block, undo *trie.Diff) {
	l.number++
	block, undo = &trie.Diff{Storage: make([]trie.Storage, 2)}, &trie.Diff{Storage: make([]trie.Storage, 2)}
	block.Storage[0].Address, undo.Storage[0].Address = l.token, l.token
	block.Storage[1].Address, undo.Storage[1].Address = felt.One(), felt.One()
	slot := func(contract int, key, before, after felt.Felt) {
		b, u := &block.Storage[contract], &undo.Storage[contract]
		b.Entries, u.Entries = append(b.Entries, trie.Entry{Key: key, Value: after}), append(u.Entries, trie.Entry{Key: key, Value: before})
	}
	touched := map[int]bool{}
	balance := func(i int) int {
		for touched[i] {
			i = l.r.IntN(len(l.balances))
		}
		touched[i] = true
		before := l.amounts[i]
		l.amounts[i] = l.amount()
		slot(0, l.balances[i], before, l.amounts[i])
		return i
	}
	balance(0) // the sequencer's
	for range n {
		from := balance(0)
		balance(0)
		before := l.nonces[from]
		l.nonces[from] = felt.FromUint64(l.number)
		block.Nonces = append(block.Nonces, trie.Entry{Key: l.accounts[from], Value: l.nonces[from]})
		undo.Nonces = append(undo.Nonces, trie.Entry{Key: l.accounts[from], Value: before})
	}
	slot(1, felt.FromUint64(l.number), felt.Zero(), l.random())
	return block, undo
}
