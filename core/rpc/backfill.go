package rpc

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	"github.com/ordo-sequencer/ordo/core/rpc/socket"
	"github.com/ordo-sequencer/ordo/core/subscriptions"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Room of backfills: they put no more into a queue than pacedRoom at a time, when no more than that waits.
const (
	pacedRoom      = 32 << 10
	headersAtATime = 64
)

// backfill sends accepted blocks from storage until the subscription is live. It waits for a client that reads slowly, and for a storage
// plugin that is being restarted.
func (b *broker) backfill(ctx context.Context, sub *subscriptions.Subscription, next uint64) {
	conn := sub.Owner.(*subscriber).session.conn
	ctx = limiter.WithCaller(ctx, &limiter.Caller{From: conn.From})
	holder := limiter.Holder{From: conn.From, Cut: func(string) { conn.Kill(socket.NoMemory) }}
	f := backfill{broker: b, sub: sub, holder: &holder, share: b.s.answers.Share(&holder)}
	defer f.share.Close()
	for ctx.Err() == nil && !f.ended {
		for tip := b.s.Chain.Latest().GetContext().GetNumber(); next <= tip && !f.ended; {
			var err error
			if sub.Kind == subscriptions.NewHeads {
				next, err = f.headers(ctx, next, min(tip, next+headersAtATime-1))
			} else {
				next, err = f.events(ctx, next)
			}
			if err == nil {
				continue
			}
			if ctx.Err() != nil || f.ended {
				return
			}
			b.s.cutOff.log(b.s.Log, "rpc: a subscription waits for blocks from storage", "block", next, "error", err)
			select {
			case <-time.After(backfillPause):
			case <-ctx.Done():
			}
		}
		if b.caughtUp(sub, next) {
			return
		}
	}
}

// backfill is one that runs.
type backfill struct {
	*broker
	sub    *subscriptions.Subscription
	holder *limiter.Holder
	share  limiter.Share // of the memory for answers: of the block that is sent
	ended  bool          // the subscription was ended

	texts []*subscriptions.Fragment // that are queued next
	size  int
}

// backfillPause is between two tries to read a block.
const backfillPause = 100 * time.Millisecond

func (f *backfill) headers(ctx context.Context, from, to uint64) (next uint64, err error) {
	next = from
	var list []*ordov1.BlockHeader
	err = f.s.eachStored(ctx, &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Number{Number: from}, To: to}, func(block *ordov1.Block) bool {
		if block.Header.GetContext().GetNumber() != next || isZero(block.Header.Hash) {
			return false
		}
		list = append(list, block.Header)
		next++
		return true
	})
	if err == nil && next == from {
		return from, fmt.Errorf("storage has no block %d with a root", from)
	}
	for i := range list {
		if e := f.add(ctx, subscriptions.Head{Header: list[i]}, i == len(list)-1); e != nil {
			return next, e // it is the end of the connection
		}
	}
	return next, err
}

func (f *backfill) events(ctx context.Context, number uint64) (next uint64, err error) {
	block, err := f.block(ctx, number)
	if err != nil {
		return number, err
	}
	defer f.share.Close()
	for i, r := range block.Results {
		for j, e := range r.Events {
			if !f.sub.Events.Matches(e) {
				continue
			}
			item := subscriptions.Event{Number: number, Hash: block.Header.Hash, TxHash: r.Hash, TxIndex: i, Index: j, Event: e, Finality: chainview.Accepted}
			if err := f.add(ctx, item, false); err != nil {
				return number, err
			}
		}
	}
	return number + 1, f.flush(ctx)
}

// block reads a block, and holds a share of the memory for answers as long as its events are sent, as a request for the block would.
func (f *backfill) block(ctx context.Context, number uint64) (*ordov1.Block, error) {
	for {
		leave, err := f.s.makes.Enter(ctx)
		if err != nil {
			return nil, err
		}
		block, err := f.s.whole(ctx, number)
		switch {
		case err != nil:
		case block == nil || isZero(block.Header.GetHash()):
			err = fmt.Errorf("storage has no block %d with a root", number)
		default:
			size := int64(proto.Size(block))
			if size <= small || f.share.Held() >= size || f.share.Try(size) {
				leave()
				return block, nil
			}
			block = nil
			leave()
			if err := f.share.Take(ctx, size); err != nil {
				return nil, err
			}
			continue
		}
		leave()
		return nil, err
	}
}

// add sends an item, together with others.
func (f *backfill) add(ctx context.Context, item subscriptions.Item, last bool) error {
	text := notification(f.sub.Form, item)
	f.texts = append(f.texts, &subscriptions.Fragment{Text: text})
	if f.size += len(text); f.size < pacedRoom && !last {
		return nil
	}
	return f.flush(ctx)
}

// flush queues what was added, when there is room.
func (f *backfill) flush(ctx context.Context) error {
	if len(f.texts) == 0 {
		return nil
	}
	to := f.sub.Owner.(*subscriber)
	to.session.pace.Lock()
	defer to.session.pace.Unlock()
	f.holder.Begin() // it is the client's turn
	err := to.session.conn.Drained(ctx, pacedRoom)
	f.holder.Done()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended = f.sub.State() != subscriptions.Backfilling; f.ended {
		return context.Canceled
	}
	for _, text := range f.texts {
		to.session.conn.Paced(to.head, text)
	}
	f.texts, f.size = nil, 0
	return nil
}
