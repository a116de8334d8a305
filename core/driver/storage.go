package driver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/internal/grpcerr"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// storage is the stage that keeps the chain: it has the queue of decided blocks and the stream of roots. Its methods are the loop's.
type storage struct {
	port      port
	log       hclog.Logger
	client    ordov1.StorageClient
	chain     *chainview.Chain
	observer  Observer
	journal   *journaling
	callLimit time.Duration
	rootStall time.Duration
	space     space

	at               *storageInstance
	stored, accepted uint64 // the newest blocks, of those that this process saw
	head             storedHead
}

// storedHead is the newest block that storage has durably. Safe for concurrent use.
type storedHead struct {
	mu      sync.Mutex
	height  uint64
	value   []byte
	changed chan struct{} // holds one when there is a newer one than was looked at
}

func (h *storedHead) set(height uint64, value []byte) {
	h.mu.Lock()
	h.height, h.value = height, value
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// Stored is the newest block that storage has durably: other nodes may ask for it. No value: none is known.
func (d *Driver) Stored() (height uint64, value []byte) {
	h := &d.storage.head
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.height, h.value
}

// StoredChanged gives one value after each change of Stored, or after several. It is for one reader.
func (d *Driver) StoredChanged() <-chan struct{} { return d.storage.head.changed }

// storageInstance is one instance with its queue of blocks.
type storageInstance struct {
	*instance
	commits queue[decision]
}

// decision is a decided block on its way to storage.
type decision struct {
	pipeline.Commit
	durable <-chan struct{} // closed when the journal has the decision; nil: it need not be there
}

// connect implements stage: the machine compares the head of storage with what it knows.
func (s *storage) connect(i *instance, in *pipeline.StageUp) (takeUp func(), err error) {
	ctx, cancel := context.WithTimeout(i.ctx, s.callLimit)
	defer cancel()
	head, err := s.client.Head(ctx, &ordov1.HeadRequest{})
	if err == nil && head.Empty {
		err = errors.New("it is empty: its data is lost: restore a backup")
	}
	if err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	in.Head, in.Block = head.Height, head.PartialHash
	return func() { s.takeUp(i) }, nil
}

func (s *storage) takeUp(i *instance) {
	at := &storageInstance{instance: i}
	s.at = at
	at.run(func() {
		for at.ctx.Err() == nil {
			for _, next := range at.commits.take(at.ctx) {
				if !s.runCommit(at, next) {
					return
				}
			}
		}
	})
}

func (s *storage) current() *instance { return s.at.instance }

// down implements stage.
func (s *storage) down() {}

// commit queues a decided block, and shows it to readers.
func (s *storage) commit(c pipeline.Commit) {
	if !c.Again {
		txs, _ := split(c.Items)
		block := chainview.NewBlock(c.Header, txs, c.Results, c.Diff, c.Classes)
		s.chain.Decide(block)
		s.observer.Decided(block)
		s.journal.decide(c)
	}
	if c.Order != nil {
		c.Certificate = orderCertificate(&c)
	}
	s.at.commits.push(decision{c, s.journal.decided[c.Height]})
}

// Pauses between two tries to store a block that there is no room for: doubled from the first to the last.
const (
	firstRoomPause = 250 * time.Millisecond
	lastRoomPause  = 10 * time.Second
)

// runCommit stores one block. When there is no room for it, production stops and it is tried until there is.
func (s *storage) runCommit(at *storageInstance, next decision) (ok bool) {
	if next.durable != nil {
		select {
		case <-next.durable: // a decision leaves the core when it is durable
		case <-at.ctx.Done():
			return false
		}
	}
	txs, _ := split(next.Items)
	for wait := firstRoomPause; ; wait = min(2*wait, lastRoomPause) {
		ctx, cancel := context.WithTimeout(at.ctx, s.rootStall+s.callLimit) // a commit may wait for roots
		err := commit(ctx, s.client, next.Header, txs, next.Results, next.Diff, next.Classes, next.Certificate)
		cancel()
		switch {
		case grpcerr.TooLarge(err): // asking again is no use
			s.port.halt("storage", fmt.Errorf("commit block %d: a part of it is larger than storage takes: give storage the limit of the plugin protocol, or make blocks smaller: %w", next.Height, err))
			return false
		case storageFull(err) && at.ctx.Err() == nil:
			s.noRoom(err.Error())
			pause(at.ctx, wait)
			if at.ctx.Err() != nil {
				return false
			}
		case err != nil:
			at.callFailed(fmt.Errorf("commit block %d: %w", next.Height, err))
			return false
		default:
			if s.space.set("") {
				s.log.Info("storage has room again")
			}
			s.port.post(pipeline.Committed{Height: next.Height})
			return true
		}
	}
}

// noRoom stops production while storage is full.
func (s *storage) noRoom(why string) {
	if s.space.set(why) {
		s.log.Error("storage has no room: no blocks are made until it has; reads go on", "error", why)
		s.port.post(pipeline.NoRoom{Why: why})
	}
}

// markStored notes that storage has a block.
func (s *storage) markStored(c pipeline.Stored) {
	s.stored = c.Height
	s.head.set(c.Height, c.Value)
	s.journal.stored(c)
	s.journal.accept(min(s.stored, s.accepted))
	s.at.pending.set(int(s.stored) - int(s.accepted))
}

// followRoots follows the roots that storage computes.
func (s *storage) followRoots(from uint64) {
	i := s.at.instance
	i.run(func() {
		stream, err := s.client.Roots(i.ctx, &ordov1.RootsRequest{From: from})
		for err == nil {
			var root *ordov1.Root
			if root, err = stream.Recv(); err != nil {
				break
			}
			s.port.post(pipeline.RootComputed{Root: root})
		}
		i.callFailed(fmt.Errorf("its stream of roots ended: %w", err))
	})
}

// accept compares the hash that storage computed of the oldest block without a root with the hash of the block's own header, and
// shows the block to readers as accepted.
func (s *storage) accept(root *ordov1.Root) {
	block := s.chain.Unaccepted(root.Height)
	if block == nil {
		s.port.halt("storage", fmt.Errorf("root of block %d, which is not waiting for one", root.Height))
		return
	}
	header, err := withRoot(block.Header, s.chain.Latest(), root)
	if err != nil {
		s.port.halt("storage", err)
		return
	}
	s.accepted = root.Height
	s.at.pending.received(0)
	s.at.pending.set(int(s.stored) - int(s.accepted))
	s.journal.accept(min(s.stored, s.accepted))
	s.chain.Accept(header)
	s.observer.Accepted(header)
	s.log.Debug("block accepted", "number", root.Height, "hash", fmt.Sprintf("0x%x", root.BlockHash), "root", fmt.Sprintf("0x%x", root.StateRoot))
}

// space is what storage tells of its room. Safe for concurrent use.
type space struct {
	mu     sync.Mutex
	noRoom string // why storage takes no block; "": it does
}

// set keeps why there is no room; changed tells whether room appeared or disappeared.
func (s *space) set(why string) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = (s.noRoom == "") != (why == "")
	s.noRoom = why
	return changed
}

func (s *space) why() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.noRoom
}
