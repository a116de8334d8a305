package subscriptions

import (
	"bytes"

	"github.com/ordo-sequencer/ordo/core/chainview"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Hub has all subscriptions of a node, and knows the part of the chain that is not accepted yet.
type Hub struct {
	encode Encode

	heads        []*Subscription
	statuses     map[Key][]*Subscription
	events       index
	receipts     index
	transactions index
	count        int

	accepted []head  // the last accepted blocks, by number
	decided  []block // without a root, by number
	open     *block

	out []Notification
}

type head struct {
	number uint64
	hash   []byte
}

// block is a block that is not accepted.
type block struct {
	number  uint64
	txs     []*ordov1.Transaction
	results []*ordov1.TransactionResult
}

// headsKept is how many accepted blocks a reorganization can name.
const headsKept = 1024

// New makes a hub without subscriptions, at the place where a feed begins.
func New(start chainview.Start, encode Encode) *Hub {
	h := &Hub{encode: encode, statuses: map[Key][]*Subscription{}}
	if l := start.Latest; l != nil {
		h.accepted = append(h.accepted, head{l.Context.Number, l.Hash})
	}
	for _, b := range start.Decided {
		h.decided = append(h.decided, block{b.Context.Number, b.Transactions, b.Results})
	}
	if o := start.Open; o != nil {
		h.open = &block{o.Context.Number, o.Transactions, o.Results}
	}
	return h
}

// Count is how many subscriptions there are.
func (h *Hub) Count() int { return h.count }

// Tip is the number of the last accepted block that the hub knows; ok is false before genesis.
func (h *Hub) Tip() (number uint64, ok bool) {
	if len(h.accepted) == 0 {
		return 0, false
	}
	return h.accepted[len(h.accepted)-1].number, true
}

// AddLive adds a subscription that is told what changes after a change of the feed. Like all Add methods it does nothing when the
// subscription was removed before.
func (h *Hub) AddLive(s *Subscription, since uint64) {
	if s.state == Ended { // its client left meanwhile
		return
	}
	s.state, s.since = Live, since
	h.add(s)
}

// AddBackfilling adds a subscription of heads or events from an accepted block on. The caller sends the blocks, then calls CaughtUp.
func (h *Hub) AddBackfilling(s *Subscription, from uint64) {
	if s.state == Ended {
		return
	}
	s.state, s.next = Backfilling, from
	h.add(s)
}

// AddStatus adds a subscription to the status of a transaction, which stood so after a change of the feed. Nothing is told of
// a transaction that is not known.
func (h *Hub) AddStatus(s *Subscription, now Status, since uint64) []Notification {
	h.AddLive(s, since)
	h.out = h.out[:0]
	if now.Finality > chainview.Unknown && now.Finality < chainview.Dropped {
		h.status(now, since+1)
	}
	return h.out
}

func (h *Hub) add(s *Subscription) {
	h.count++
	switch s.Kind {
	case NewHeads:
		h.heads = append(h.heads, s)
	case TransactionStatus:
		h.statuses[s.Hash] = append(h.statuses[s.Hash], s)
	case Events:
		h.events.add(s, s.Events.Addresses)
	case Receipts:
		h.receipts.add(s, s.Senders)
	case Transactions:
		h.transactions.add(s, s.Senders)
	}
}

// Remove ends a subscription.
func (h *Hub) Remove(s *Subscription) {
	before := s.state
	s.state = Ended
	if before != Live && before != Backfilling {
		return
	}
	h.count--
	switch s.Kind {
	case NewHeads:
		h.heads = without(h.heads, s)
	case TransactionStatus:
		removeFrom(h.statuses, s.Hash, s)
	case Events:
		h.events.remove(s, s.Events.Addresses)
	case Receipts:
		h.receipts.remove(s, s.Senders)
	case Transactions:
		h.transactions.remove(s, s.Senders)
	}
}

// End ends a subscription that no hub has.
func End(s *Subscription) { s.state = Ended }

// CaughtUp makes a backfilling subscription live when it was sent all blocks before next, and the hub knows none behind them. It is then
// told the events that are pre-confirmed, if it wants them. Otherwise the caller goes on up to Tip.
func (h *Hub) CaughtUp(s *Subscription, next uint64) (told []Notification, live bool) {
	if tip, ok := h.Tip(); s.state != Backfilling || ok && next <= tip {
		return nil, s.state == Ended
	}
	s.state, s.next = Live, next
	h.out = h.out[:0]
	if s.Kind == Events && s.Finalities.Has(chainview.PreConfirmed) {
		for _, b := range h.pending() {
			for i, r := range b.results {
				for j, e := range r.Events {
					if b.number >= next && s.Events.Matches(e) {
						h.tell(s, h.share(Event{b.number, nil, r.Hash, i, j, e, chainview.PreConfirmed}))
					}
				}
			}
		}
	}
	return h.out, true
}

func (h *Hub) pending() []block {
	if h.open == nil {
		return h.decided
	}
	return append(h.decided[:len(h.decided):len(h.decided)], *h.open)
}

// Apply takes the next change. What it returns is valid until the next call.
func (h *Hub) Apply(c *chainview.Change) []Notification {
	h.out = h.out[:0]
	switch c.What {
	case chainview.ReceivedNow:
		h.moved(c, c.Txs, chainview.Received, true)
	case chainview.CandidatesNow:
		h.moved(c, c.Txs, chainview.Candidate, true)
	case chainview.WaitingAgain:
		h.moved(c, c.Txs, chainview.Received, false) // they are not new
	case chainview.PreConfirmedNow:
		if h.open == nil || h.open.number != c.Height {
			h.open = &block{number: c.Height}
		}
		h.open.txs = append(h.open.txs[:c.First:c.First], c.Txs...)
		h.open.results = append(h.open.results[:c.First:c.First], c.Results...)
		for i := range c.Txs {
			h.ran(c, nil, c.First+i, c.Txs[i], c.Results[i], chainview.PreConfirmed)
		}
	case chainview.OpenDropped:
		h.open = nil
	case chainview.DecidedNow:
		h.open = nil
		h.decided = append(h.decided, block{c.Height, c.Txs, c.Results})
		for _, i := range c.Fresh {
			h.ran(c, nil, i, c.Txs[i], c.Results[i], chainview.PreConfirmed)
		}
	case chainview.AcceptedNow:
		h.accept(c)
	}
	return h.out
}

// moved tells of transactions without a result.
func (h *Hub) moved(c *chainview.Change, txs []*ordov1.Transaction, to chainview.Status, fresh bool) {
	for _, tx := range txs {
		h.status(Status{Key(tx.Hash), to, nil}, c.Seq)
		if fresh {
			h.transaction(c, tx, to)
		}
	}
}

// ran tells of a transaction with a result; hash is the block's, nil when it has none.
func (h *Hub) ran(c *chainview.Change, hash []byte, at int, tx *ordov1.Transaction, r *ordov1.TransactionResult, to chainview.Status) {
	h.status(Status{Key(tx.Hash), to, r}, c.Seq)
	h.transaction(c, tx, to)
	if !h.receipts.empty() {
		text := h.share(Receipt{c.Height, hash, tx, r, to})
		for _, list := range h.receipts.at(sender(tx)) {
			for _, s := range list {
				if s.due(c.Seq) && s.Finalities.Has(to) {
					h.tell(s, text)
				}
			}
		}
	}
	if h.events.empty() {
		return
	}
	for j, e := range r.Events {
		lists := h.events.at(e.FromAddress)
		if len(lists[0])+len(lists[1]) == 0 {
			continue
		}
		text := h.share(Event{c.Height, hash, r.Hash, at, j, e, to})
		for _, list := range lists {
			for _, s := range list {
				if s.due(c.Seq) && c.Height >= s.next && s.Finalities.Has(to) && s.Events.Matches(e) {
					h.tell(s, text)
				}
			}
		}
	}
}

func (h *Hub) transaction(c *chainview.Change, tx *ordov1.Transaction, to chainview.Status) {
	if h.transactions.empty() {
		return
	}
	text := h.share(Transaction{tx, to})
	for _, list := range h.transactions.at(sender(tx)) {
		for _, s := range list {
			if s.due(c.Seq) && s.Finalities.Has(to) {
				h.tell(s, text)
			}
		}
	}
}

// status tells where a transaction stands, when that is not where it stood.
func (h *Hub) status(now Status, seq uint64) {
	list := h.statuses[now.Hash]
	if len(list) == 0 {
		return
	}
	text := h.share(now)
	for _, s := range list {
		if s.due(seq) && (s.told == nil || s.told.Finality != now.Finality || s.told.Result.GetStatus() != now.Result.GetStatus()) {
			s.told = &now
			h.tell(s, text)
		}
	}
}

// accept tells of a block with root and hash.
func (h *Hub) accept(c *chainview.Change) {
	h.reorganize(c)
	if h.accepted = append(h.accepted, head{c.Height, c.Header.Hash}); len(h.accepted) > headsKept {
		h.accepted = append([]head(nil), h.accepted[len(h.accepted)-headsKept/2:]...)
	}
	for len(h.decided) > 0 && h.decided[0].number <= c.Height {
		h.decided = h.decided[1:]
	}
	text := h.share(Head{c.Header})
	for _, s := range h.heads {
		if s.due(c.Seq) && c.Height >= s.next {
			h.tell(s, text)
		}
	}
	for i := range c.Txs {
		h.ran(c, c.Header.Hash, i, c.Txs[i], c.Results[i], chainview.Accepted)
	}
}

// reorganize tells all subscribers when an accepted block takes the place of others.
func (h *Hub) reorganize(c *chainview.Change) {
	n := len(h.accepted)
	if n == 0 {
		return
	}
	last, first := h.accepted[n-1], n
	for first > 0 && h.accepted[first-1].number >= c.Height {
		first--
	}
	if first == n && last.number+1 == c.Height && !bytes.Equal(last.hash, c.Header.ParentHash) {
		first = n - 1 // its parent is another block than the one that was told
	}
	if first == n {
		return
	}
	gone := h.accepted[first]
	h.accepted = h.accepted[:first]
	text := h.share(Reorg{gone.number, last.number, gone.hash, last.hash})
	h.Each(func(s *Subscription) {
		if s.due(c.Seq) {
			s.next = min(s.next, gone.number)
			h.out = append(h.out, Notification{s, text.in(s.Form), true})
		}
	})
}

// Each calls f once for each subscription.
func (h *Hub) Each(f func(*Subscription)) {
	seen := map[*Subscription]bool{}
	visit := func(list []*Subscription) {
		for _, s := range list {
			if !seen[s] {
				seen[s] = true
				f(s)
			}
		}
	}
	visit(h.heads)
	for _, list := range h.statuses {
		visit(list)
	}
	for _, x := range []*index{&h.events, &h.receipts, &h.transactions} {
		visit(x.any)
		for _, list := range x.of {
			visit(list)
		}
	}
}

// sender is the account that sent a transaction; a message from L1 has none.
func sender(tx *ordov1.Transaction) []byte {
	if tx.Type == ordov1.TransactionType_L1_HANDLER {
		return nil
	}
	return tx.Sender
}

// due tells whether a change is news to a subscription.
func (s *Subscription) due(seq uint64) bool { return s.state == Live && seq > s.since }

func (h *Hub) share(item Item) *shared { return &shared{encode: h.encode, item: item} }

func (h *Hub) tell(s *Subscription, text *shared) {
	h.out = append(h.out, Notification{s, text.in(s.Form), false})
}
