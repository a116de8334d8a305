package subscriptions

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/ordo-sequencer/ordo/core/chainview"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func fe(n uint64) []byte { return felt.FromUint64(n).Append(nil) }

// play is a chain of its own with a hub behind it. The hub may lag behind the chain, and backfills behind the hub.
type play struct {
	t     *testing.T
	r     *rand.Rand
	chain *chainview.Chain
	feed  *chainview.Feed
	hub   *Hub

	stored  []*ordov1.Block // accepted, by number
	waiting []*ordov1.Transaction
	build   uint64
	open    bool
	nextTx  uint64
	queue   []chainview.Change // taken and not applied

	subs  []*Subscription
	told  map[*Subscription][]Item
	next  map[*Subscription]uint64 // backfills
	began map[*Subscription]uint64 // number of stored blocks when it was added
	first map[*Subscription]uint64 // first block that it wants
	txs   map[*Subscription]uint64 // number of the first transaction that was received after it was added
	items []Item                   // what was encoded
}

func newPlay(t *testing.T, seed uint64) *play {
	p := &play{t: t, r: rand.New(rand.NewPCG(seed, 1)), told: map[*Subscription][]Item{}, next: map[*Subscription]uint64{}, began: map[*Subscription]uint64{},
		first: map[*Subscription]uint64{}, txs: map[*Subscription]uint64{}}
	p.chain = chainview.New(func() *ordov1.BlockContext { return &ordov1.BlockContext{} })
	genesis := p.header(0)
	p.stored = append(p.stored, &ordov1.Block{Header: genesis})
	p.chain.Start(genesis, nil, nil)
	start, feed := p.chain.Follow()
	p.feed, p.hub = feed, New(start, p.encode)
	t.Cleanup(feed.Close)
	return p
}

func (p *play) header(n uint64) *ordov1.BlockHeader {
	h := &ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: n}, Hash: fe(1000 + n)}
	if n > 0 {
		h.ParentHash = fe(1000 + n - 1)
	}
	return h
}

// encode remembers what is encoded; the text is its number.
func (p *play) encode(_ Form, item Item) []byte {
	p.items = append(p.items, item)
	return []byte(strconv.Itoa(len(p.items) - 1))
}

func (p *play) tell(list []Notification) {
	for _, n := range list {
		i, err := strconv.Atoi(string(n.Text.Text))
		if err != nil {
			p.t.Fatal(err)
		}
		p.told[n.To] = append(p.told[n.To], p.items[i])
	}
}

// step changes the chain in one of the ways in which a node does.
func (p *play) step() {
	switch n := p.r.IntN(12); {
	case n < 4:
		p.nextTx++
		tx := &ordov1.Transaction{Hash: fe(p.nextTx), Sender: fe(p.r.Uint64N(3) + 1)}
		p.waiting = append(p.waiting, tx)
		p.chain.Received(tx)
	case !p.open:
		p.build++
		p.open = true
		p.chain.Open(p.build, &ordov1.BlockContext{Number: p.chain.Next().Number})
	case n < 6 && len(p.waiting) > 0:
		k := p.r.IntN(len(p.waiting)) + 1
		p.chain.Candidates(p.build, p.waiting[:k:k], nil)
		p.waiting = slices.Clone(p.waiting[k:])
	case n < 9:
		open := p.chain.Snapshot().Open()
		var results []*ordov1.TransactionResult
		for _, tx := range open.Transactions[len(open.Results):] {
			results = append(results, &ordov1.TransactionResult{Hash: tx.Hash, Events: []*ordov1.Event{{FromAddress: tx.Sender, Keys: tx.Hash}}})
		}
		if len(results) > 0 {
			p.chain.Preconfirm(p.build, results[:p.r.IntN(len(results)+1)], nil)
		}
	case n == 9 && p.r.IntN(3) == 0:
		open := p.chain.Snapshot().Open()
		p.waiting = append(slices.Clone(open.Transactions), p.waiting...)
		p.chain.ResetPreconfirmed(p.build)
		p.open = false
	case n == 10:
		open := p.chain.Snapshot().Open()
		p.waiting = append(slices.Clone(open.Transactions[len(open.Results):]), p.waiting...)
		p.chain.Closed(p.build)
		header := &ordov1.BlockHeader{Context: open.Context}
		p.chain.Decide(chainview.NewBlock(header, open.Transactions[:len(open.Results)], open.Results, nil, nil))
		p.open = false
	case n == 11:
		p.accept()
	}
}

func (p *play) accept() bool {
	b := p.chain.Unaccepted(uint64(len(p.stored)))
	if b == nil {
		return false
	}
	header := p.header(b.Context.Number)
	p.stored = append(p.stored, &ordov1.Block{Header: header, Transactions: b.Transactions, Results: b.Results})
	p.chain.Accept(header)
	return true
}

// apply has the hub hear some of what happened.
func (p *play) apply(all bool) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	changes, _ := p.feed.Take(ctx)
	p.queue = append(p.queue, changes...)
	for len(p.queue) > 0 && (all || p.r.IntN(3) > 0) {
		p.tell(p.hub.Apply(&p.queue[0]))
		p.queue = p.queue[1:]
	}
}

func (p *play) subscribe() {
	s := &Subscription{Request: Request{Kind: Kind(p.r.IntN(int(kinds))), Finalities: Of(chainview.Received, chainview.Candidate, chainview.PreConfirmed, chainview.Accepted)}}
	p.subs = append(p.subs, s)
	p.began[s], p.txs[s] = uint64(len(p.stored)), p.nextTx+1
	back := p.r.IntN(2) == 0
	switch {
	case s.Kind == TransactionStatus:
		s.Hash = Key(fe(p.r.Uint64N(p.nextTx+5) + 1))
		r, seq := p.chain.StatusAt(s.Hash)
		p.tell(p.hub.AddStatus(s, Status{s.Hash, r.Status, r.Result}, seq))
	case s.Kind <= Events && back:
		p.first[s] = p.r.Uint64N(uint64(len(p.stored)))
		p.next[s] = p.first[s]
		p.hub.AddBackfilling(s, p.first[s])
	default:
		p.first[s] = uint64(len(p.stored))
		p.hub.AddLive(s, p.chain.Seq())
	}
}

// backfill sends the next block to a subscription, or makes it live.
func (p *play) backfill(s *Subscription) {
	n := p.next[s]
	if n >= uint64(len(p.stored)) || p.r.IntN(3) == 0 { // the second: another block was accepted a moment ago
		list, live := p.hub.CaughtUp(s, n)
		p.tell(list)
		if live {
			delete(p.next, s)
		}
		if live || n >= uint64(len(p.stored)) {
			return
		}
	}
	b := p.stored[n]
	if s.Kind == NewHeads {
		p.told[s] = append(p.told[s], Head{b.Header})
	} else {
		for i, r := range b.Results {
			for j, e := range r.Events {
				p.told[s] = append(p.told[s], Event{n, b.Header.Hash, r.Hash, i, j, e, chainview.Accepted})
			}
		}
	}
	p.next[s]++
}

// TestNoSubscriberMissesOrDoubles: whatever the chain does, however far the hub is behind it and the backfills behind the hub, each
// subscriber is told each accepted block and event once and in order, each transaction and receipt once when it is accepted, and
// the status of its transaction as the chain has it.
func TestNoSubscriberMissesOrDoubles(t *testing.T) {
	for seed := range uint64(300) {
		p := newPlay(t, seed)
		for range 400 {
			p.step()
			if p.r.IntN(4) == 0 {
				p.apply(false)
			}
			if p.r.IntN(12) == 0 {
				p.subscribe()
			}
			for s := range p.next {
				if p.r.IntN(4) == 0 {
					p.backfill(s)
				}
			}
			if len(p.subs) > 0 && p.r.IntN(40) == 0 {
				p.hub.Remove(p.subs[p.r.IntN(len(p.subs))])
			}
		}
		p.apply(true)
		for len(p.next) > 0 {
			for s := range p.next {
				p.backfill(s)
			}
		}
		for _, s := range p.subs {
			if s.state == Live {
				p.check(seed, s)
			}
		}
	}
}

func (p *play) check(seed uint64, s *Subscription) {
	var heads []uint64
	var events, accepted []string
	received, before := map[string]int{}, map[string]chainview.Status{}
	var last Status
	for _, item := range p.told[s] {
		switch i := item.(type) {
		case Head:
			heads = append(heads, i.Header.Context.Number)
		case Event:
			if i.Finality == chainview.Accepted {
				events = append(events, fmt.Sprintf("%d %x %d %d", i.Number, i.TxHash, i.TxIndex, i.Index))
			}
		case Receipt:
			if i.Finality == chainview.Accepted {
				accepted = append(accepted, fmt.Sprintf("%x", i.Tx.Hash))
			}
		case Transaction:
			if i.Finality == chainview.PreConfirmed && before[string(i.Tx.Hash)] == chainview.PreConfirmed {
				p.t.Errorf("seed %d: %x is pre-confirmed twice", seed, i.Tx.Hash)
			}
			before[string(i.Tx.Hash)] = i.Finality
			if i.Finality == chainview.Accepted {
				accepted = append(accepted, fmt.Sprintf("%x", i.Tx.Hash))
			} else if i.Finality == chainview.Received {
				received[string(i.Tx.Hash)]++
			}
		case Status:
			if last.Finality == i.Finality && last.Result == i.Result {
				p.t.Errorf("seed %d: %v twice", seed, i.Finality)
			}
			last = i
		}
	}
	var wantHeads []uint64
	var wantEvents, wantAccepted []string
	for _, b := range p.stored[p.first[s]:] {
		n := b.Header.Context.Number
		wantHeads = append(wantHeads, n)
		for i, r := range b.Results {
			for j := range r.Events {
				wantEvents = append(wantEvents, fmt.Sprintf("%d %x %d %d", n, r.Hash, i, j))
			}
		}
	}
	for _, b := range p.stored[min(p.began[s], uint64(len(p.stored))):] {
		for _, tx := range b.Transactions {
			wantAccepted = append(wantAccepted, fmt.Sprintf("%x", tx.Hash))
		}
	}
	switch s.Kind {
	case NewHeads:
		if !slices.Equal(heads, wantHeads) {
			p.t.Errorf("seed %d: heads from %d: %v, want %v", seed, p.first[s], heads, wantHeads)
		}
	case Events:
		if !slices.Equal(events, wantEvents) {
			p.t.Errorf("seed %d: events from block %d: %d, want %d", seed, p.first[s], len(events), len(wantEvents))
		}
	case Receipts, Transactions:
		if !slices.Equal(accepted, wantAccepted) {
			p.t.Errorf("seed %d: %d accepted, want %d", seed, len(accepted), len(wantAccepted))
		}
		for n := p.txs[s]; s.Kind == Transactions && n <= p.nextTx; n++ {
			if received[string(fe(n))] != 1 {
				p.t.Errorf("seed %d: transaction %d was received %d times", seed, n, received[string(fe(n))])
			}
		}
	case TransactionStatus:
		if now := p.chain.Status(s.Hash).Status; now != last.Finality {
			p.t.Errorf("seed %d: the status was told as %v, it is %v", seed, last.Finality, now)
		}
	}
}

// TestTextsAreMadeOnce for each form, however many are told, and not at all when there is none.
func TestTextsAreMadeOnce(t *testing.T) {
	p := newPlay(t, 1)
	for range 300 {
		p.step()
	}
	p.apply(true)
	if len(p.items) > 0 {
		t.Fatalf("%d texts without a subscriber", len(p.items))
	}
	for range 50 {
		for _, version := range []string{"old", "new"} {
			p.hub.AddLive(&Subscription{Request: Request{Kind: NewHeads, Form: Form{Version: version}}}, p.chain.Seq())
			p.hub.AddLive(&Subscription{Request: Request{Kind: Events, Form: Form{Version: version}, Finalities: Of(chainview.Accepted),
				Events: EventFilter{Addresses: map[Key]bool{Key(fe(1)): true, Key(fe(2)): true}}}}, p.chain.Seq())
		}
	}
	for range 300 {
		p.step()
	}
	p.apply(true)
	if len(p.items) == 0 {
		t.Fatal("nothing was encoded")
	}
	times := map[string]int{}
	for _, item := range p.items {
		times[fmt.Sprintf("%#v", item)]++ // it has the addresses of what is in it
		if e, isEvent := item.(Event); isEvent && slices.Equal(e.Event.FromAddress, fe(3)) {
			t.Errorf("nobody wants %#v", item)
		}
	}
	for item, n := range times {
		if n != 2 {
			t.Errorf("%d times: %s", n, item)
		}
	}
}

// TestBlocksThatAreTakenBack: every subscriber hears of them once, and then of what is in their place.
func TestBlocksThatAreTakenBack(t *testing.T) {
	p := newPlay(t, 1)
	heads := &Subscription{Request: Request{Kind: NewHeads}}
	status := &Subscription{Request: Request{Kind: TransactionStatus, Hash: Key(fe(7))}}
	p.hub.AddLive(heads, 0)
	p.hub.AddStatus(status, Status{}, 0)
	seq := uint64(0)
	accept := func(number, hash, parent uint64) {
		seq++
		p.tell(p.hub.Apply(&chainview.Change{Seq: seq, What: chainview.AcceptedNow, Height: number,
			Header: &ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: number}, Hash: fe(hash), ParentHash: fe(parent)}}))
	}
	accept(1, 1001, 1000)
	accept(2, 1002, 1001)
	accept(3, 1003, 1002)
	accept(2, 2002, 1001) // in place of 2 and 3
	accept(3, 2003, 2002)
	accept(4, 2004, 3003) // its parent is not the block that was told
	want := "head 1,head 2,head 3,gone 2-3,head 2,head 3,gone 3-3,head 4,"
	got := ""
	for _, item := range p.told[heads] {
		switch i := item.(type) {
		case Head:
			got += fmt.Sprintf("head %d,", i.Header.Context.Number)
		case Reorg:
			got += fmt.Sprintf("gone %d-%d,", i.First, i.Last)
			if !slices.Equal(i.LastHash, fe(1003)) && !slices.Equal(i.LastHash, fe(2003)) {
				t.Errorf("%x", i.LastHash)
			}
		}
	}
	if got != want || len(p.told[status]) != 2 {
		t.Errorf("%s, %d for the status", got, len(p.told[status]))
	}
}
