package node

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/gateway"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// follower brings the blocks of another node, by its JSON-RPC, and hands what clients send here on to it. It is the pool of the
// gateway: a transaction is admitted here when it is admitted there.
type follower struct {
	source client.Node
	log    hclog.Logger
	driver *driver.Driver

	lag    atomic.Int64 // blocks
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// newFollower returns nil when the node does not follow a URL.
func (n *Node) newFollower() *follower {
	url := n.config.Network.Follow
	if url == "" || url == "peers" {
		return nil
	}
	f := &follower{source: client.Node{URL: url}, log: n.log.Named("follow"), driver: n.driver}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

func (f *follower) start() { f.work.Go(f.run) }

func (f *follower) close() {
	f.cancel()
	f.work.Wait()
}

// Pauses after a request that failed: doubled from the first to the last.
const (
	firstFollowPause = 100 * time.Millisecond
	lastFollowPause  = 10 * time.Second
	followWait       = 10 * time.Second // that the source may wait for the next block
)

// run fetches and executes one block after the other. What the source says is compared with what this node comes to: a block that is
// not as it says is not taken, whatever follows.
func (f *follower) run() {
	pause := firstFollowPause
	fetched := make(chan *decidedBlocks, 1)
	for f.ctx.Err() == nil {
		next := f.driver.Chain().Next().GetNumber()
		err := f.some(next, fetched)
		switch {
		case err == nil:
			pause = firstFollowPause
			continue
		case f.ctx.Err() != nil:
			return
		}
		f.log.Warn("the next block does not come: trying again", "number", f.driver.Chain().Next().GetNumber(), "from", f.source.URL, "in", pause, "error", err)
		select {
		case <-time.After(pause):
		case <-f.ctx.Done():
			return
		}
		pause = min(2*pause, lastFollowPause)
	}
}

// some executes the blocks of one answer, while the next one is on its way.
func (f *follower) some(next uint64, fetched chan *decidedBlocks) error {
	answer, err := f.fetch(next)
	for err == nil && answer != nil && len(answer.Blocks) > 0 {
		f.lag.Store(int64(answer.Head) - int64(next) + 1)
		after := next + uint64(len(answer.Blocks))
		var later error
		go func() {
			var a *decidedBlocks
			a, later = f.fetch(after)
			fetched <- a
		}()
		for _, b := range answer.Blocks {
			if err = f.learn(b, next); err != nil {
				break
			}
			next++
		}
		answer = <-fetched
		if err == nil {
			err = later
		}
	}
	f.lag.Store(0)
	return err
}

func (f *follower) learn(b decidedBlock, next uint64) error {
	block := &driver.DecidedBlock{Height: b.Height}
	for _, part := range []struct {
		to   *[]byte
		text string
	}{{&block.Value, b.Value}, {&block.Body, b.Body}, {&block.Certificate, b.Certificate}} {
		var err error
		if *part.to, err = base64.StdEncoding.DecodeString(part.text); err != nil {
			return fmt.Errorf("block %d of the source cannot be read: %w", b.Height, err)
		}
	}
	if b.Height != next {
		return fmt.Errorf("the source sends block %d, block %d is next", b.Height, next)
	}
	return f.driver.Learn(f.ctx, block)
}

func (f *follower) fetch(from uint64) (*decidedBlocks, error) {
	ctx, cancel := context.WithTimeout(f.ctx, followWait+20*time.Second)
	defer cancel()
	answer := &decidedBlocks{}
	err := f.source.Call(ctx, "ordo_decidedBlocks", map[string]any{"from": from, "wait_ms": followWait.Milliseconds()}, answer)
	return answer, err
}

// SubmitAt implements gateway.Pool: the source admits first.
func (f *follower) SubmitAt(ctx context.Context, tx *ordov1.Transaction, class *ordov1.Class, nonce uint64) error {
	b := &gateway.Broadcast{Transaction: tx}
	if class != nil {
		b.Class = &gateway.SierraClass{Hash: class.Hash, Definition: class.Definition}
	}
	encoded, err := b.Encode()
	if err != nil {
		return err
	}
	err = f.source.Call(ctx, "ordo_relay", map[string]any{"transaction": base64.StdEncoding.EncodeToString(encoded)}, nil)
	if refused := (*client.Error)(nil); errors.As(err, &refused) {
		return &gateway.Rejection{Code: ordov1.RejectionCode_OTHER, Reason: fmt.Sprintf("the node that this one follows: %s", refused.Message)}
	}
	if err != nil {
		return fmt.Errorf("the node that this one follows: %w", err)
	}
	return f.driver.SubmitAt(ctx, tx, class, nonce)
}

// Deploying implements gateway.Pool.
func (f *follower) Deploying(account []byte) bool { return f.driver.Deploying(account) }
