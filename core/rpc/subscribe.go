package rpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	"github.com/ordo-sequencer/ordo/core/rpc/socket"
	"github.com/ordo-sequencer/ordo/core/subscriptions"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// backfillBlocks is how many blocks before the latest a subscription may begin; the specification says so.
const backfillBlocks = 1024

func (s *Server) socketMethods() map[string]Method {
	return map[string]Method{
		"starknet_subscribeNewHeads":               {Params: []string{"block_id"}, Call: s.subscribeNewHeads},
		"starknet_subscribeEvents":                 {Params: []string{"from_address", "keys", "block_id", "finality_status"}, Call: s.subscribeEvents},
		"starknet_subscribeTransactionStatus":      {Params: []string{"transaction_hash"}, Call: s.subscribeTransactionStatus},
		"starknet_subscribeNewTransactionReceipts": {Params: []string{"finality_status", "sender_address"}, Call: s.subscribeReceipts},
		"starknet_subscribeNewTransactions":        {Params: []string{"finality_status", "sender_address", "tags"}, Call: s.subscribeTransactions},
		"starknet_unsubscribe":                     {Params: []string{"subscription_id"}, Call: s.unsubscribe},
	}
}

var errNoSocket = Errorf(MethodNotFound, "subscriptions need a WebSocket: connect to ws://HOST:PORT/ws")

func (s *Server) subscribeNewHeads(ctx context.Context, p *jsonin.Object) (any, error) {
	from, back, err := s.firstBlock(ctx, p)
	if err != nil {
		return nil, err
	}
	return s.subscribeFrom(ctx, subscriptions.Request{Kind: subscriptions.NewHeads}, from, back)
}

func (s *Server) subscribeEvents(ctx context.Context, p *jsonin.Object) (any, error) {
	q := subscriptions.Request{Kind: subscriptions.Events, Finalities: subscriptions.Of(chainview.Accepted)}
	if p.Has("from_address") {
		q.Events.Addresses = addressSet(p, "from_address", versionOf(ctx))
	}
	if p.Has("keys") {
		q.Events.Keys = readKeys(p)
	}
	if p.Has("finality_status") && p.Enum("finality_status", preConfirmedOnL2, acceptedOnL2) == 0 {
		q.Finalities |= subscriptions.Of(chainview.PreConfirmed)
	}
	from, back, err := s.firstBlock(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := s.Limits.checkFilter(q.Events); err != nil {
		return nil, err
	}
	return s.subscribeFrom(ctx, q, from, back)
}

// firstBlock is the block that a subscription begins with; back is false when it begins with the next one.
func (s *Server) firstBlock(ctx context.Context, p *jsonin.Object) (from uint64, back bool, err error) {
	if !p.Has("block_id") {
		return 0, false, p.Err()
	}
	id, err := DecodeBlockID(p.Raw("block_id"))
	if err == nil && (id.Tag == TagPreConfirmed || id.Tag == TagL1Accepted) {
		err = jsonin.Errorf("a subscription begins with \"latest\", a block number or a block hash")
	}
	p.Fail("block_id", err)
	if err := p.Err(); err != nil {
		return 0, false, err
	}
	if id.Tag == TagLatest {
		return 0, false, nil
	}
	view := s.Chain.Snapshot()
	if id.Number != nil && view.Latest() != nil && *id.Number+backfillBlocks < view.Latest().Context.Number && *id.Number < view.Latest().Context.Number {
		return 0, false, errTooFarBack // storage has not to be asked
	}
	ref, err := s.resolve(ctx, view, id)
	if err != nil {
		return 0, false, err
	}
	if ref.number+backfillBlocks < view.Latest().Context.Number {
		return 0, false, errTooFarBack
	}
	return ref.number, true, nil
}

func (s *Server) subscribeFrom(ctx context.Context, q subscriptions.Request, from uint64, back bool) (any, error) {
	sub, err := s.subscribe(ctx, q)
	if err != nil {
		return nil, err
	}
	err = s.broker.add(sub, func(h *subscriptions.Hub) {
		if back {
			h.AddBackfilling(sub, from)
		} else {
			h.AddLive(sub, s.Chain.Seq())
		}
	})
	if err != nil {
		sub.Owner.(*subscriber).session.forget(sub)
		return nil, err
	}
	if back {
		go s.broker.backfill(sub.Owner.(*subscriber).session.conn.Context(), sub, from)
	}
	return sub.ID, nil
}

func (s *Server) subscribeTransactionStatus(ctx context.Context, p *jsonin.Object) (any, error) {
	q := subscriptions.Request{Kind: subscriptions.TransactionStatus}
	hash := p.Felt("transaction_hash")
	if err := p.Err(); err != nil {
		return nil, err
	}
	q.Hash = Key(hash)
	sub, err := s.subscribe(ctx, q)
	if err != nil {
		return nil, err
	}
	forget := func(err error) (any, error) {
		sub.Owner.(*subscriber).session.forget(sub)
		return nil, err
	}
	// What the chain has forgotten has its last status for ever, so it may be read before the chain is followed.
	var old subscriptions.Status
	if r := s.Chain.Status(q.Hash); r.Status == chainview.Unknown || r.Status == chainview.Accepted && r.Result == nil {
		at, err := s.find(ctx, hash)
		switch {
		case err == nil && at.ref != nil && at.ref.accepted != nil:
			old = subscriptions.Status{Hash: q.Hash, Finality: chainview.Accepted, Result: at.result}
		case err != nil && !isNotFound(err):
			return forget(err)
		}
	}
	err = s.broker.add(sub, func(h *subscriptions.Hub) {
		r, seq := s.Chain.StatusAt(q.Hash)
		now := subscriptions.Status{Hash: q.Hash, Finality: r.Status, Result: r.Result}
		if r.Status == chainview.Unknown || r.Status == chainview.Accepted && r.Result == nil {
			if now.Finality = old.Finality; old.Result != nil {
				now = old
			}
		}
		s.broker.tell(h.AddStatus(sub, now, seq))
	})
	if err != nil {
		return forget(err)
	}
	return sub.ID, nil
}

func (s *Server) subscribeReceipts(ctx context.Context, p *jsonin.Object) (any, error) {
	q := subscriptions.Request{Kind: subscriptions.Receipts}
	q.Finalities = finalities(p, chainview.PreConfirmed, chainview.Accepted)
	if p.Has("sender_address") {
		q.Senders = addressSet(p, "sender_address", newest)
	}
	return s.subscribeNew(ctx, p, q)
}

func (s *Server) subscribeTransactions(ctx context.Context, p *jsonin.Object) (any, error) {
	q := subscriptions.Request{Kind: subscriptions.Transactions}
	q.Finalities = finalities(p, chainview.Received, chainview.Candidate, chainview.PreConfirmed, chainview.Accepted)
	if p.Has("sender_address") {
		q.Senders = addressSet(p, "sender_address", newest)
	}
	if p.Has("tags") {
		q.Form.ProofFacts = p.Flags("tags", true, "INCLUDE_PROOF_FACTS")[0]
	}
	return s.subscribeNew(ctx, p, q)
}

func (s *Server) subscribeNew(ctx context.Context, p *jsonin.Object, q subscriptions.Request) (any, error) {
	if err := p.Err(); err != nil {
		return nil, err
	}
	if n := len(q.Senders); n > s.Limits.Addresses {
		return nil, withData(errTooManyAddresses, fmt.Sprintf("%d addresses, at most %d are allowed (limits.filter_addresses)", n, s.Limits.Addresses))
	}
	return s.subscribeFrom(ctx, q, 0, false)
}

// finalities reads the optional finality_status; without one, and with an empty list, it is ACCEPTED_ON_L2.
func finalities(p *jsonin.Object, allowed ...chainview.Status) (set subscriptions.Finalities) {
	if p.Has("finality_status") {
		names := make([]string, len(allowed))
		for i, f := range allowed {
			names[i] = f.String()
		}
		for i, chosen := range p.Flags("finality_status", true, names...) {
			if chosen {
				set |= subscriptions.Of(allowed[i])
			}
		}
	}
	if set == 0 {
		set = subscriptions.Of(chainview.Accepted)
	}
	return set
}

// subscribe makes a subscription of the socket that the request came over, and keeps notifications back until it is answered.
func (s *Server) subscribe(ctx context.Context, q subscriptions.Request) (*subscriptions.Subscription, error) {
	c := sessionOf(ctx)
	if c == nil {
		return nil, errNoSocket
	}
	q.Form.Version = versionOf(ctx).Number
	id := newSubscriptionID()
	size := len(q.Events.Addresses)*addressSize + len(q.Senders)*addressSize
	for _, position := range q.Events.Keys {
		size += sliceSize + len(position)*felt.Size
	}
	sub := &subscriptions.Subscription{Request: q, ID: id, Owner: &subscriber{
		session: c, size: size, head: socket.Head(q.Kind.Method(), id), reorg: socket.Head(subscriptions.ReorgMethod, id),
	}}
	if err := c.remember(sub, size); err != nil {
		return nil, err
	}
	hold(ctx)
	return sub, nil
}

// About what a filter takes of the memory: an address in its set and in the index of the hub, and a position of keys.
const (
	addressSize = 192
	sliceSize   = 24
)

// newSubscriptionID makes an id that cannot be guessed.
func newSubscriptionID() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails
	return "0x" + strings.TrimLeft(hex.EncodeToString(random[:]), "0")
}

func (c *session) remember(sub *subscriptions.Subscription, size int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.s.Limits
	switch {
	case c.subs == nil:
		return context.Canceled // the client left
	case len(c.subs) >= l.Subscriptions:
		return Errorf(InvalidRequest, "this connection has %d subscriptions, more are not allowed (limits.subscriptions): unsubscribe, or open another connection", len(c.subs))
	case c.size+size > l.SocketQueue:
		return Errorf(InvalidRequest, "the filters of this connection are over %d KiB (limits.socket_kib): subscribe to less", l.SocketQueue>>10)
	}
	c.subs[sub.ID] = sub
	c.size += size
	c.useLocked()
	return nil
}

// forget takes a subscription out; false when there was none.
func (c *session) forget(sub *subscriptions.Subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[sub.ID] != sub {
		return false
	}
	delete(c.subs, sub.ID)
	c.size -= sub.Owner.(*subscriber).size
	c.unuseLocked()
	return true
}

func (s *Server) unsubscribe(ctx context.Context, p *jsonin.Object) (any, error) {
	id := p.String("subscription_id")
	if err := p.Err(); err != nil {
		return nil, err
	}
	c := sessionOf(ctx)
	if c == nil {
		return nil, errNoSocket
	}
	c.mu.Lock()
	sub := c.subs[id]
	c.mu.Unlock()
	if sub == nil || !c.forget(sub) {
		return nil, errBadSubscription
	}
	s.broker.remove(sub)
	return true, nil
}
