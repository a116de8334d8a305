package check

import (
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/ordo-sequencer/ordo/cmd/ordo/verify/feeder"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// hashed is a transaction's hash on a chain.
type hashed struct {
	chain felt.Felt
	err   error // the chain id is none
	hash  felt.Felt
	old   bool // the expected hash is right in a form from before 0.8, and is hash
	note  string
}

// right reports whether it is the expected hash.
func (h hashed) right(t *feeder.Transaction) bool { return t.Expected != nil && h.hash == *t.Expected }

// on computes the hash on a chain. Where that is not the expected one, the forms from before 0.8 are tried.
func on(t *feeder.Transaction, chain felt.Felt) hashed {
	h := hashed{chain: chain, hash: t.Hash(chain, t.QueryOnly)}
	if was, ok := t.Transaction.(starknet.OldHashed); ok && t.Expected != nil && !h.right(t) && !t.QueryOnly &&
		slices.Contains(was.OldHashes(chain), *t.Expected) {
		h.hash, h.old, h.note = *t.Expected, true, "form before 0.8"
	}
	return h
}

// hashAll hashes the list on all cores, each transaction on the chain that it names or else the given one.
func hashAll(list []feeder.Transaction, chain string) []hashed {
	out := make([]hashed, len(list))
	one := func(i int) {
		id, note := chain, ""
		if list[i].Chain != "" {
			id = list[i].Chain
		}
		if id == "" {
			id, note = KnownChains[0], "no known chain id gives the expected hash; computed for "+KnownChains[0]
		}
		c, err := felt.FromShortString(id)
		if err != nil {
			out[i].err = err
			return
		}
		if out[i] = on(&list[i], c); out[i].note == "" {
			out[i].note = note
		}
	}
	workers := min(runtime.GOMAXPROCS(0), len(list)/16+1)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := w; i < len(list); i += workers {
				one(i)
			}
		})
	}
	all.Wait()
	return out
}

// transaction checks one transaction's hashes and address.
func (f *File) transaction(name string, t *feeder.Transaction, h hashed) {
	if h.err != nil {
		f.add(Item{Name: name, Verdict: Unchecked, Note: "chain id: " + h.err.Error()})
		return
	}
	if t.Expected != nil {
		f.felts(name, t.Expected, &h.hash).Note = h.note
	} else {
		f.add(Item{Name: name, Computed: h.hash.Hex(), Verdict: Unchecked, Note: "the file has no transaction_hash"})
	}
	if h.old {
		f.oldGaps(t)
	}
	if t.Query != nil {
		got := t.Hash(h.chain, true)
		f.felts(name+", query version", t.Query, &got)
	}
	if d, ok := t.Transaction.(interface{ Address() felt.Felt }); ok && t.Address != nil {
		got := d.Address()
		f.felts(name+", address", t.Address, &got)
	}
}

// sample is how many transactions of a list are enough to tell its chain.
const sample = 32

// chain finds the chain id under which most of the transactions have their expected hash.
func (r *run) chain(list []feeder.Transaction) string {
	if r.options.ChainID != "" {
		return r.options.ChainID
	}
	id, sure := likeliest(list[:min(sample, len(list))])
	if !sure && len(list) > sample {
		id, _ = likeliest(list)
	}
	return id
}

// likeliest is sure when it fits more than half of the list.
func likeliest(list []feeder.Transaction) (best string, sure bool) {
	most := 0
	for _, id := range KnownChains {
		c := felt.MustShortString(id)
		n := 0
		for i := range list {
			if on(&list[i], c).right(&list[i]) {
				n++
			}
		}
		if n > most {
			best, most = id, n
		}
		if 2*n > len(list) {
			return best, true
		}
	}
	return best, false
}

// signatures compares signatures with those in blocks of the run: the transaction hash does not cover them.
func (f *File) signatures(r *run, list []feeder.Transaction) {
	open := make(map[string]bool)
	for i := range list {
		t := &list[i]
		if len(t.SignedWith()) == 0 {
			continue
		}
		if other := r.transaction(t.Expected); other == nil {
			if !open[t.SignatureAt] {
				f.gap(t.SignatureAt, "hashed in the block only")
			}
			open[t.SignatureAt] = true
		} else if !slices.Equal(t.SignedWith(), other.SignedWith()) {
			f.add(Item{Name: "signature", Expected: fmt.Sprint(other.SignedWith()), Computed: fmt.Sprint(t.SignedWith()), Verdict: Mismatch})
		}
	}
}

// transaction finds a transaction in a block of the run.
func (r *run) transaction(hash *felt.Felt) *feeder.Transaction {
	for _, b := range r.blocks {
		for i := range b.Transactions {
			if e := b.Transactions[i].Expected; hash != nil && e != nil && *e == *hash {
				return &b.Transactions[i]
			}
		}
	}
	return nil
}
