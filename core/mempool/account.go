package mempool

import (
	"cmp"
	"fmt"
	"slices"
)

// account is one nonce chain. committed <= staged <= end: transactions below staged are leased, those in [staged, end)
// follow each other without a gap, those above end wait for the nonce end to arrive.
type account struct {
	address   Key
	committed uint64   // nonce after the last committed block
	staged    uint64   // the nonce that may be taken next
	end       uint64   // first nonce at or after committed that is missing here
	chain     []*Entry // by nonce
	bytes     int      // of the chain
	ready     *Entry   // the one in the heap, if any
	gapBytes  int      // of entries beyond end
	gapped    *gap     // place in the list of accounts with a gap
	touched   uint64   // last height that touched it
}

// index is the place of a nonce in the chain. What lies in [committed, end) is all there, so its place follows from the
// nonce; only beyond a gap entries have to be looked at, and each look goes to another place of the memory.
func (a *account) index(nonce uint64) (int, bool) {
	switch {
	case nonce < a.committed:
		return 0, false
	case nonce < a.end:
		return int(nonce - a.committed), true
	}
	base := int(a.end - a.committed)
	i, ok := slices.BinarySearchFunc(a.chain[base:], nonce, func(e *Entry, n uint64) int { return cmp.Compare(e.Nonce, n) })
	return base + i, ok
}

func (a *account) find(nonce uint64) *Entry {
	if i, ok := a.index(nonce); ok {
		return a.chain[i]
	}
	return nil
}

func (a *account) insert(e *Entry) {
	i, _ := a.index(e.Nonce)
	a.chain = slices.Insert(a.chain, i, e)
	a.bytes += e.Size
	a.extend()
}

func (a *account) remove(e *Entry) {
	i, ok := a.index(e.Nonce)
	if !ok || a.chain[i] != e {
		return
	}
	a.chain = slices.Delete(a.chain, i, i+1)
	a.bytes -= e.Size
	if e.Nonce < a.end {
		a.end = max(e.Nonce, a.committed)
		a.staged = min(a.staged, a.end)
		a.extend()
	}
}

// extend moves end over what is there.
func (a *account) extend() {
	i, ok := a.index(a.end)
	for ok && i < len(a.chain) && a.chain[i].Nonce == a.end {
		a.end++
		i++
	}
}

// restage finds the next nonce to take, and puts its transaction, and no other of the account, among the ready ones.
func (p *Pool) restage(a *account) {
	a.staged = max(a.staged, a.committed)
	i, ok := a.index(a.staged)
	for ok && i < len(a.chain) && a.chain[i].Nonce == a.staged && a.chain[i].lease != 0 {
		a.staged++
		i++
	}
	var next *Entry
	if i < len(a.chain) && a.chain[i].Nonce == a.staged && a.chain[i].scored {
		next = a.chain[i]
	}
	if a.ready == next {
		return
	}
	if a.ready != nil {
		p.ready.remove(a.ready) // gone already when it is the one that leaves
	}
	if a.ready = next; next != nil {
		p.ready.push(next)
	}
}

// advance moves the account's nonce and returns what is below it: that can never run.
func (p *Pool) advance(a *account, nonce uint64) (stale []*Entry) {
	if nonce <= a.committed {
		return nil
	}
	n, _ := a.index(nonce)
	a.committed = nonce
	for _, e := range a.chain[:n] {
		p.unlink(e)
		a.bytes -= e.Size
	}
	stale = slices.Clone(a.chain[:n])
	clear(a.chain[:n]) // the array stays, and would keep them
	a.chain = a.chain[n:]
	a.end = max(a.end, nonce)
	a.extend()
	p.regap(a)
	p.restage(a)
	return stale
}

func tooOld(e *Entry) Dropped {
	return Dropped{Hash: e.Hash, Why: fmt.Errorf("%w: account nonce is %d", ErrNonceTooOld, e.account.committed)}
}

// forget drops an account that holds nothing, unless a recent block moved its nonce: a stale nonce from the caller could
// otherwise let a used one in again.
func (p *Pool) forget(a *account) {
	if len(a.chain) == 0 && a.touched == 0 && p.accounts[a.address] == a {
		delete(p.accounts, a.address)
	}
}

// recent remembers which accounts the last blocks touched.
type recent [][]*account

const recentBlocks = 32

func (p *Pool) remember(height uint64, touched []*account) {
	for _, a := range touched {
		a.touched = height + 1 // never 0
	}
	p.recent = append(p.recent, touched)
	if len(p.recent) <= recentBlocks {
		return
	}
	for _, a := range p.recent[0] {
		if a.touched+recentBlocks <= height+1 {
			a.touched = 0
			p.forget(a)
		}
	}
	p.recent = slices.Delete(p.recent, 0, 1)
}

// ---- eviction ----

// gaps lists the accounts that hold transactions beyond a missing nonce, in the order in which their gaps appeared.
type gaps struct {
	first, last *gap
	bytes       int
}

type gap struct {
	account    *account
	prev, next *gap
}

// regap counts again what lies beyond the first missing nonce.
func (p *Pool) regap(a *account) {
	size := 0
	for i := len(a.chain) - 1; i >= 0 && a.chain[i].Nonce > a.end; i-- {
		size += a.chain[i].Size
	}
	p.gaps.bytes += size - a.gapBytes
	a.gapBytes = size
	switch {
	case size > 0 && a.gapped == nil:
		g := &gap{account: a, prev: p.gaps.last}
		if g.prev != nil {
			g.prev.next = g
		} else {
			p.gaps.first = g
		}
		p.gaps.last, a.gapped = g, g
	case size == 0 && a.gapped != nil:
		g := a.gapped
		if g.prev != nil {
			g.prev.next = g.next
		} else {
			p.gaps.first = g.next
		}
		if g.next != nil {
			g.next.prev = g.prev
		} else {
			p.gaps.last = g.prev
		}
		a.gapped = nil
	}
}

// evict frees at least need bytes from the far ends of chains that cannot run, sparing one account.
func (p *Pool) evict(need int, spare *account) (dropped []Dropped) {
	for g := p.gaps.first; g != nil && need > 0; {
		a, next := g.account, g.next
		for a != spare && a.gapBytes > 0 && need > 0 {
			e := a.chain[len(a.chain)-1]
			p.remove(e)
			need -= e.Size
			dropped = append(dropped, Dropped{Hash: e.Hash, Why: ErrEvicted})
		}
		g = next
	}
	return dropped
}
