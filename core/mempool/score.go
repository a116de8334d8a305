package mempool

import ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"

// Score is the rank of one transaction; higher goes first.
type Score struct {
	Entry  *Entry
	Hi, Lo uint64
}

func (p *Pool) enqueue(e *Entry) {
	if !e.queued {
		e.queued = true
		p.unscored = append(p.unscored, e)
	}
}

// Unscored hands out up to n transactions that need a score, in order of arrival. Each is handed out once; Rank must
// follow, if only with stand-ins.
func (p *Pool) Unscored(n int) []*Entry {
	var batch []*Entry
	for len(p.unscored) > 0 && len(batch) < n {
		e := p.unscored[0]
		p.unscored[0] = nil
		p.unscored = p.unscored[1:]
		e.queued = false
		if !e.gone {
			batch = append(batch, e)
		}
	}
	if len(p.unscored) == 0 {
		p.unscored = nil
	}
	return batch
}

// Rank stores scores that the policy gave in this generation. A generation above the last one means that all scores
// given before are stale: they stay in force, but every other transaction is to be scored again.
func (p *Pool) Rank(scores []Score, generation uint64) {
	for _, s := range scores {
		p.rank(s, false)
	}
	if generation <= p.generation {
		return
	}
	p.generation = generation
	fresh := make(map[*Entry]bool, len(scores))
	for _, s := range scores {
		fresh[s.Entry] = true
	}
	for e := p.arrivals.first; e != nil; e = e.next {
		if !fresh[e] {
			p.enqueue(e)
		}
	}
}

// RankByArrival makes transactions ready that the policy did not score; the block that takes one is degraded. One that
// has a real score from before keeps it.
func (p *Pool) RankByArrival(entries []*Entry) {
	for _, e := range entries {
		if !e.scored {
			p.rank(Score{Entry: e}, true)
		}
	}
}

// Rescore queues everything for new scores: another policy has taken over.
func (p *Pool) Rescore() {
	p.generation = 0
	for e := p.arrivals.first; e != nil; e = e.next {
		p.enqueue(e)
	}
}

func (p *Pool) rank(s Score, fallback bool) {
	e := s.Entry
	e.hi, e.lo, e.fallback = s.Hi, s.Lo, fallback
	first := !e.scored
	e.scored = true
	switch {
	case e.gone:
	case !first:
		p.ready.fix(e)
	case e.account != nil:
		if e.Nonce == e.account.staged {
			p.restage(e.account)
		}
	case e.lease == 0:
		p.ready.push(e)
	}
}

// View is what a policy sees of an entry.
func (p *Pool) View(e *Entry) *ordov1.TransactionView {
	view := &ordov1.TransactionView{
		Hash: e.Tx.Hash, Type: e.Tx.Type, Sender: e.Tx.Sender, Nonce: e.Tx.Nonce, Tip: e.Tx.Tip,
		ResourceBounds: e.Tx.ResourceBounds, ArrivalSeq: e.Seq, ArrivalMs: uint64(e.Arrival.UnixMilli()),
		Size: uint32(e.Size), CalldataLen: uint32(len(e.Tx.Calldata) / 32),
		Calls: Calls(e.Tx), MaxFee: maxFee(e.Tx),
	}
	if a := e.account; a != nil && e.Nonce > a.staged {
		view.NonceGap = e.Nonce - a.staged
	}
	return view
}
