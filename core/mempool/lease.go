package mempool

import (
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Take leases the best n ready transactions to an attempt, best first; the next nonce of an account is eligible at once.
// degraded says that one of them was ranked by arrival because the policy did not answer. A lease is never 0.
func (p *Pool) Take(lease uint64, n int) (taken []*Entry, degraded bool) {
	for len(taken) < n {
		e := p.ready.pop()
		if e == nil {
			break
		}
		p.leaseEntry(lease, e)
		taken = append(taken, e)
		degraded = degraded || e.fallback
	}
	return taken, degraded
}

// Lease gives these transactions, in this order, to an attempt that proposes them again. What is not here any more, or
// cannot be taken in this order, is passed over; what was leased comes back.
func (p *Pool) Lease(lease uint64, hashes []Key) (leased []Key) {
	for _, hash := range hashes {
		if e := p.txs[hash]; e != nil && e.lease == 0 && (e.account == nil || e.Nonce == e.account.staged) {
			p.ready.remove(e)
			p.leaseEntry(lease, e)
			leased = append(leased, hash)
		}
	}
	return leased
}

func (p *Pool) leaseEntry(lease uint64, e *Entry) {
	e.lease = lease
	p.leased++
	p.leases[lease] = append(p.leases[lease], e)
	if a := e.account; a != nil {
		if a.ready == e {
			a.ready = nil
		}
		p.restage(a)
	}
}

// Rewind gives back what an attempt has leased, but for the first keep transactions. They stand where they stood.
func (p *Pool) Rewind(lease uint64, keep int) {
	held := p.leases[lease]
	if keep >= len(held) {
		return
	}
	for _, e := range held[keep:] {
		if !e.gone && e.lease == lease {
			p.release(e)
		}
	}
	if keep == 0 {
		delete(p.leases, lease)
	} else {
		p.leases[lease] = held[:keep]
	}
}

func (p *Pool) release(e *Entry) {
	e.lease = 0
	p.leased--
	a := e.account
	if a == nil {
		if e.scored {
			p.ready.push(e)
		}
		return
	}
	a.staged = min(a.staged, e.Nonce)
	p.restage(a)
}

// Rejected is a transaction that execution would not put in a block.
type Rejected struct {
	Hash Key
	Code ordov1.RejectionCode
	Why  error
	// Ordered: another node chose the order. A transaction that it put before those of its account that come first stays.
	Ordered bool
}

// CommitBlock applies a decided block: its transactions leave, also those of a peer's proposal, the rejected ones leave too, the nonces of
// accounts move, and every lease ends. A transaction rejected only because one before it was rejected keeps its place in
// the chain and waits for the missing nonce.
func (p *Pool) CommitBlock(height uint64, included []Key, refused []Rejected, nonces map[Key]uint64) (dropped []Dropped) {
	within := make(map[Key]bool, len(included))
	for _, hash := range included {
		within[hash] = true
	}
	var touched []*account
	for address, nonce := range nonces {
		a := p.accounts[address]
		if a == nil {
			a = &account{address: address}
			p.accounts[address] = a
		}
		touched = append(touched, a)
		a.touched = height + 1
		for _, e := range p.advance(a, nonce) {
			if !within[e.Hash] {
				dropped = append(dropped, tooOld(e))
			}
		}
	}
	for _, hash := range included { // L1 handlers; anything else whose nonce the caller did not name
		if e := p.txs[hash]; e != nil {
			p.remove(e)
		}
	}
	dropped = append(dropped, p.Reject(refused)...)
	for lease := range p.leases {
		p.Rewind(lease, 0)
	}
	p.remember(height, touched)
	return dropped
}

// Reject drops transactions that execution would not put in a block, outside of any block.
func (p *Pool) Reject(refused []Rejected) (dropped []Dropped) {
	for _, r := range refused {
		e := p.txs[r.Hash]
		if e == nil {
			continue
		}
		if a := e.account; a != nil && r.Code == ordov1.RejectionCode_INVALID_NONCE && e.Nonce > a.committed && (r.Ordered || a.find(a.committed) == nil) {
			continue // its predecessor was rejected, or was not there: now it waits behind a gap
		}
		p.remove(e)
		dropped = append(dropped, Dropped{Hash: r.Hash, Why: r.Why, Sender: e.Tx.Sender})
	}
	return dropped
}
