package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/node/config"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// follower brings the blocks of another node, by its JSON-RPC, and hands what clients send here on to it. It is the pool of the
// gateway: a transaction is admitted here when it is admitted there.
type follower struct {
	source    client.Node
	log       hclog.Logger
	chainID   string
	execution string // eager or lazy
	driver    *driver.Driver

	lag    atomic.Int64 // blocks
	behind *lagLog
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
	source := client.Node{URL: url, HTTP: &http.Client{Transport: bounded{http.DefaultTransport}}}
	f := &follower{source: source, log: n.log.Named("follow"), chainID: n.config.ChainID, execution: n.config.ExecutionMode}
	f.behind = &lagLog{log: f.log}
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
	followTimeout    = 30 * time.Second
)

// Pauses while the source has no new block.
const (
	firstLook = 20 * time.Millisecond
	lastLook  = 500 * time.Millisecond
)

// pause waits before the next attempt, and returns how long to wait after that one.
func (f *follower) pause(ctx context.Context, d time.Duration) time.Duration {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return min(2*d, lastFollowPause)
}

// genesis takes the context of block 0 from the source, for a node without a network file that has no chain yet. It waits for the source.
func (f *follower) genesis(ctx context.Context, storage ordov1.StorageClient, g *driver.Genesis) error {
	head, err := storage.Head(ctx, &ordov1.HeadRequest{})
	if err != nil {
		return fmt.Errorf("storage: head: %w", err)
	}
	if !head.Empty {
		return nil
	}
	for pause := firstFollowPause; ; {
		zero, err := f.zero(ctx)
		if err == nil {
			g.Context = zero
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		f.log.Warn("block 0 does not come: trying again", "from", f.source.URL, "in", pause, "error", err)
		pause = f.pause(ctx, pause)
	}
}

// zero asks the source for the context of its block 0.
func (f *follower) zero(ctx context.Context) (*ordov1.BlockContext, error) {
	var chain felt.Felt
	if err := f.source.Call(ctx, "starknet_chainId", []any{}, &chain); err != nil {
		return nil, err
	}
	if want := felt.MustShortString(f.chainID); chain != want {
		return nil, fmt.Errorf("its chain id is %s, this node's is %s (%s): set chain.id", chain, want, f.chainID)
	}
	answer, err := f.fetch(ctx, 0)
	if err != nil {
		return nil, err
	}
	if len(answer.Blocks) == 0 || answer.Blocks[0].Height != 0 {
		return nil, errors.New("it does not answer with block 0")
	}
	b, err := answer.Blocks[0].read()
	if err != nil {
		return nil, err
	}
	p := &ordov1.Proposal{}
	if err := proto.Unmarshal(b.Body, p); err != nil || p.Context == nil || p.Context.Number != 0 || len(p.Context.Sequencer) != felt.Size {
		return nil, errors.New("its block 0 cannot be read")
	}
	return p.Context, nil
}

// sameChain compares block 0 of the source with this node's.
func (f *follower) sameChain(ctx context.Context) error {
	ours, err := f.driver.Decided(ctx, 0)
	if err != nil || ours == nil {
		return err
	}
	answer, err := f.fetch(ctx, 0)
	if err != nil {
		return err
	}
	if len(answer.Blocks) == 0 {
		return errors.New("it does not answer with block 0")
	}
	theirs, err := answer.Blocks[0].read()
	if err != nil {
		return err
	}
	if !bytes.Equal(ours.Value, theirs.Value) {
		return fmt.Errorf("block 0 is %x here and %x there: it is another chain, or genesis.seed, accounts, initial_balance or account_class differ", ours.Value, theirs.Value)
	}
	return nil
}

// run fetches and executes one block after the other. What the source says is compared with what this node comes to: a block that is
// not as it says is not taken, whatever follows.
func (f *follower) run() {
	next := func() uint64 { return f.driver.Chain().Next().GetNumber() }
	same := false // chain, as the newest answer of the source says
	look := firstLook
	for pause := firstFollowPause; f.ctx.Err() == nil; {
		before := next()
		var err error
		if !same {
			err = f.sameChain(f.ctx)
		}
		if same = err == nil; same {
			err = f.some(before)
		}
		if err == nil || next() > before {
			pause = firstFollowPause
		}
		if next() > before {
			look = firstLook
		}
		if err == nil {
			f.pause(f.ctx, look)
			look = min(2*look, lastLook)
			continue
		}
		if f.ctx.Err() != nil {
			return
		}
		same = false
		f.log.Warn("the next block does not come: trying again", "number", next(), "from", f.source.URL, "in", pause, "error", err)
		pause = f.pause(f.ctx, pause)
	}
}

// some executes blocks as long as they come, while the next ones are on their way.
func (f *follower) some(next uint64) error {
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	type fetched struct {
		answer *decidedBlocks
		err    error
	}
	answer, err := f.fetch(ctx, next)
	for err == nil && len(answer.Blocks) > 0 {
		f.lag.Store(lagOf(answer.Head, next))
		after := next + uint64(len(answer.Blocks))
		later := make(chan fetched, 1)
		go func() {
			a, err := f.fetch(ctx, after)
			later <- fetched{a, err}
		}()
		for _, b := range answer.Blocks {
			if err := f.learn(b, next); err != nil {
				return err
			}
			next++
			f.lag.Store(lagOf(answer.Head, next))
			f.behind.at(time.Now(), next, answer.Head)
		}
		got := <-later
		answer, err = got.answer, got.err
	}
	return err
}

func (f *follower) learn(b decidedBlock, next uint64) error {
	if b.Height != next {
		return fmt.Errorf("the source sends block %d, block %d is next", b.Height, next)
	}
	block, err := b.read()
	if err != nil {
		return err
	}
	return f.driver.Learn(f.ctx, block)
}

// read decodes a block as it comes in JSON.
func (b *decidedBlock) read() (*driver.DecidedBlock, error) {
	block := &driver.DecidedBlock{Height: b.Height}
	for _, part := range []struct {
		to   *[]byte
		text string
	}{{&block.Value, b.Value}, {&block.Body, b.Body}, {&block.Certificate, b.Certificate}} {
		var err error
		if *part.to, err = base64.StdEncoding.DecodeString(part.text); err != nil {
			return nil, fmt.Errorf("block %d of the source cannot be read: %w", b.Height, err)
		}
	}
	return block, nil
}

func (f *follower) fetch(ctx context.Context, from uint64) (*decidedBlocks, error) {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	answer := &decidedBlocks{}
	err := f.source.Call(ctx, "ordo_decidedBlocks", map[string]any{"from": from}, answer)
	if theirs := cmp.Or(answer.Execution, config.ExecutionEager); err == nil && theirs != f.execution {
		return nil, fmt.Errorf("its execution is %q, here it is %s: set chain.execution as it is there, with an empty data folder", theirs, f.execution)
	}
	return answer, err
}

// maxFollowAnswer is how large an answer of the source may be: that of ordo_decidedBlocks, with one more block of the largest size.
const maxFollowAnswer = 128 << 20

// bounded is a transport whose answers end with an error when they are too large.
type bounded struct{ http.RoundTripper }

func (t bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = &boundedBody{http.MaxBytesReader(nil, answer.Body, maxFollowAnswer)}
	}
	return answer, err
}

// boundedBody says in words of an operator that an answer is too large.
type boundedBody struct{ io.ReadCloser }

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		err = fmt.Errorf("its answer is larger than %d MiB: it is no node of ordo, or a faulty one", large.Limit>>20)
	}
	return n, err
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
		return handedOn(refused)
	}
	if err != nil {
		return fmt.Errorf("the node that this one follows: %w", err)
	}
	return f.driver.SubmitAt(ctx, tx, class, nonce)
}

// handedOn is what a client reads when the source does not admit its transaction: the words and the code of the source, so that it does not
// matter to a client which of the nodes it asks.
func handedOn(e *client.Error) error {
	const most = 4 << 10
	if len(e.Data) > most {
		e.Data = nil
	}
	return &rpc.Error{Code: rpc.Code(e.Code), Message: e.Message[:min(len(e.Message), most)], Data: e.Data}
}

// Deploying implements gateway.Pool.
func (f *follower) Deploying(account []byte) bool { return f.driver.Deploying(account) }
