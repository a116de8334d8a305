package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/trie"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// rootWorker computes state roots and block hashes, one height after the other, behind the commits.
type rootWorker struct {
	s *Store

	mu    sync.Mutex // held while tries change
	state *trie.State
	next  uint64 // the height whose root comes next; the tries hold the state before it
	ahead bool   // but they hold that height already: its root could not be stored

	deepened bool // deepen was tried for these tries

	checkpoint    uint64 // number of blocks that the stored pages hold
	hasCheckpoint bool

	queue queue
	quit  chan struct{}
	done  chan struct{}
}

// queue keeps the diffs of recent commits, so that the worker need not read them back.
type queue struct {
	mu    sync.Mutex
	diffs map[uint64]*ordov1.StateDiff
}

const queueLimit = 64

func newRootWorker(s *Store) *rootWorker {
	return &rootWorker{s: s, quit: make(chan struct{}), done: make(chan struct{}), queue: queue{diffs: map[uint64]*ordov1.StateDiff{}}}
}

// pages is where the tries read: always the newest transaction, for only the worker writes there.
type pages struct{ eng *engine }

func (p pages) Get(k []byte) ([]byte, error) {
	v := p.eng.view()
	defer v.close()
	return v.get(key(tableTrie, k))
}

func (w *rootWorker) newState() *trie.State {
	st := trie.NewState(pages{w.s.eng})
	st.KeepBytes(w.s.opts.TrieCache)
	return st
}

// remember begins to keep what blocks replace in the tries, which hold the state of a height now.
func (w *rootWorker) remember() {
	w.state.KeepPast(w.s.opts.ProofBlocks-1, w.s.opts.ProofMemory)
	w.deepened = false
}

// offer hands over the diff of a block that was just committed.
func (w *rootWorker) offer(num uint64, d *ordov1.StateDiff) {
	w.queue.mu.Lock()
	defer w.queue.mu.Unlock()
	if len(w.queue.diffs) < queueLimit {
		w.queue.diffs[num] = d
	}
}

func (w *rootWorker) take(v view, num uint64) (*ordov1.StateDiff, error) {
	w.queue.mu.Lock()
	d := w.queue.diffs[num]
	delete(w.queue.diffs, num)
	w.queue.mu.Unlock()
	if d != nil {
		return d, nil
	}
	return w.s.diff(v, tableDiff, num)
}

func (w *rootWorker) start() { go w.run() }

// run follows the head until stop.
func (w *rootWorker) run() {
	defer close(w.done)
	for {
		c, changed, err := w.s.snapshot()
		if err != nil && !errors.Is(err, errClosed) {
			return
		}
		if c.rooted < c.blocks {
			err := w.step()
			if errors.Is(err, errNoRoom) {
				if !w.rest(fullAgain) {
					return // the next start computes them
				}
				continue
			}
			if err != nil {
				w.s.fail(fmt.Errorf("state root of block %d: %w", c.rooted, err), false)
				return
			}
			continue
		}
		if err != nil { // closing, and nothing left to do
			return
		}
		select {
		case <-changed:
		case <-w.quit:
		}
	}
}

// rest waits; false when the worker is to stop.
func (w *rootWorker) rest(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-w.quit:
		return false
	}
}

// stop waits for the worker and writes the trie pages.
func (w *rootWorker) stop() error {
	close(w.quit)
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hasCheckpoint && w.checkpoint == w.next || w.failedState() {
		return nil
	}
	if err := w.writePages(); !errors.Is(err, errNoRoom) {
		return err
	}
	return nil // an older checkpoint is as good
}

func (w *rootWorker) failedState() bool {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.s.failed != nil
}

// step computes the next root, stores it and tells the callers that wait.
func (w *rootWorker) step() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.s.eng.view()
	defer v.close()
	if err := w.s.eng.room(w.s.eng.floor(int64(w.state.Dirty()) * pageSize)); err != nil {
		return err // before the tries move
	}
	num := w.next
	if head, _, found, err := readNum(v, metaKey(metaHead)); err != nil || !found || num > head {
		return err // a revert was faster
	}
	root, hash, err := w.compute(v, num)
	if err != nil {
		return err
	}
	if w.ahead {
		w.state.ForgetPast() // it has the block twice
	}
	w.ahead = true
	r, h := root.Bytes(), hash.Bytes()
	writes := []write{
		{numKey(tableRoot, num), append(r[:], h[:]...)},
		{key(tableHash, h[:]), binary.BigEndian.AppendUint64(nil, num)},
	}
	w.s.at("root ready")
	if err := w.s.eng.apply(writes); err != nil {
		return err
	}
	w.s.at("root")
	w.next, w.ahead = num+1, false
	w.s.setChain(func(c *chain) { c.rooted, c.root, c.hash = num+1, r[:], h[:] })
	if w.next-w.checkpoint >= uint64(w.s.opts.CheckpointEvery) || w.state.Full() {
		return w.writePages()
	}
	return nil
}

// pageSize is about how large a stored page is.
const pageSize = 2 << 10

// compute brings the tries to the end of block num.
func (w *rootWorker) compute(v view, num uint64) (root, hash felt.Felt, err error) {
	header, err := w.s.header(v, num)
	if err != nil {
		return root, hash, err
	}
	if header == nil {
		return root, hash, fmt.Errorf("header of block %d is missing", num)
	}
	d, err := w.take(v, num)
	if err != nil {
		return root, hash, err
	}
	roots, err := w.apply(d)
	if errors.Is(err, trie.ErrDamaged) {
		w.s.opts.Log.Warn("trie pages are damaged: rebuilding them from the flat state", "block", num, "error", err)
		if err = w.rebuild(num); err != nil {
			return root, hash, err
		}
		roots, err = w.apply(d)
	}
	if err != nil {
		return root, hash, err
	}
	root, err = stateRoot(roots, header)
	if err != nil {
		return root, hash, err
	}
	parent, err := w.s.parentHash(v, num)
	if err != nil {
		return root, hash, err
	}
	if parent == nil {
		return root, hash, fmt.Errorf("hash of block %d is missing", num-1)
	}
	hash, err = blockHash(header, root, parent)
	return root, hash, err
}

func (w *rootWorker) apply(d *ordov1.StateDiff) (trie.Roots, error) {
	td, err := trieDiff(d)
	if err != nil {
		return trie.Roots{}, err
	}
	return w.state.Apply(td)
}

func stateRoot(roots trie.Roots, h *ordov1.BlockHeader) (felt.Felt, error) {
	version, err := starknet.ParseVersion(h.GetContext().GetStarknetVersion())
	if err != nil {
		return felt.Felt{}, err
	}
	return roots.Root(!version.Before(starknet.V0_14_0)), nil
}

func blockHash(h *ordov1.BlockHeader, root felt.Felt, parent []byte) (felt.Felt, error) {
	stark, err := wire.Header(h)
	if err != nil {
		return felt.Felt{}, err
	}
	stark.StateRoot = root
	if stark.ParentHash, err = felt.FromBytes(parent); err != nil {
		return felt.Felt{}, fmt.Errorf("parent hash: %w", err)
	}
	return stark.Hash()
}

// writePages stores the changed pages and where they stand.
func (w *rootWorker) writePages() error {
	roots, err := w.state.Roots()
	if err != nil {
		return err
	}
	var writes []write
	err = w.state.Flush(func(k, value []byte) error {
		writes = append(writes, write{key(tableTrie, k), value})
		return nil
	})
	if err != nil {
		return err
	}
	mark := write{metaKey(metaCheckpoint), encodeCheckpoint(w.next, roots)}
	if whole := append(writes, mark); w.s.eng.fits(whole) {
		err = w.s.eng.apply(whole)
	} else if err = w.s.eng.apply([]write{{key: mark.key}}); err == nil { // no mark: the pages are not to be trusted
		w.s.at("pages unmarked")
		if err = w.s.eng.applySplit(writes); err == nil {
			w.s.at("pages in batches")
			err = w.s.eng.apply([]write{mark})
		}
	}
	w.s.at("pages")
	if err != nil {
		return fmt.Errorf("write trie pages: %w", err)
	}
	w.checkpoint, w.hasCheckpoint = w.next, true
	return nil
}

// encodeCheckpoint: the number of blocks in the tries, and their two roots.
func encodeCheckpoint(blocks uint64, r trie.Roots) []byte {
	return r.Classes.Append(r.Contracts.Append(encodeHead(blocks, nil)))
}

func readCheckpoint(v view) (blocks uint64, roots trie.Roots, found bool, err error) {
	blocks, rest, found, err := readNum(v, metaKey(metaCheckpoint))
	if err != nil || !found {
		return 0, roots, false, err
	}
	list, err := felt.Unpack(rest)
	if err != nil || len(list) != 2 {
		return 0, roots, false, nil // as good as none
	}
	return blocks, trie.Roots{Contracts: list[0], Classes: list[1]}, true, nil
}

// rewind brings the tries to before block num, the head, if they are past it. w.mu is held here and in forget.
func (w *rootWorker) rewind(num uint64) error {
	w.queue.mu.Lock()
	delete(w.queue.diffs, num)
	w.queue.mu.Unlock()
	if w.next < num || w.next == num && !w.ahead {
		return nil
	}
	v := w.s.eng.view()
	defer v.close()
	undo, err := w.s.diff(v, tableUndo, num)
	if err != nil {
		return err
	}
	_, err = w.applyUndo(undo)
	if errors.Is(err, trie.ErrDamaged) {
		return w.rebuild(num)
	}
	if err == nil {
		w.next, w.ahead, w.deepened = num, false, false
	}
	return err
}

func (w *rootWorker) applyUndo(undo *ordov1.StateDiff) (trie.Roots, error) {
	td, err := trieDiff(&ordov1.StateDiff{Storage: undo.Storage, Replaced: undo.Replaced, Nonces: undo.Nonces, Migrated: undo.Migrated})
	if err != nil {
		return trie.Roots{}, err
	}
	return w.state.Undo(td)
}

// forget replaces the stored pages when they are those of a block that is gone.
func (w *rootWorker) forget() error {
	if !w.hasCheckpoint || w.checkpoint <= w.next {
		return nil
	}
	return w.writePages()
}

// Roots streams finished roots.
func (s *Store) Roots(r *ordov1.RootsRequest, stream grpc.ServerStreamingServer[ordov1.Root]) error {
	next := r.GetFrom()
	first, _, _ := s.snapshot()
	seen := len(first.reverts)
	for {
		c, changed, err := s.snapshot()
		// After a revert the heights above come again, with the roots of other blocks.
		for _, num := range c.reverts[seen:] {
			next = max(min(next, num), r.GetFrom())
		}
		seen = len(c.reverts)
		for ; next < c.rooted; next++ {
			m, e := s.rootMessage(next)
			if e != nil {
				return e
			}
			if m == nil { // reverted just now
				break
			}
			if e := stream.Send(m); e != nil {
				return e
			}
		}
		if errors.Is(err, errClosed) {
			return status.Error(codes.Unavailable, "roots: storage is closing")
		}
		if err != nil {
			return status.Errorf(codes.Internal, "roots: %v", err)
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

func (s *Store) rootMessage(num uint64) (*ordov1.Root, error) {
	v, head, err := s.read()
	if err != nil || head == nil {
		return nil, err
	}
	defer v.close()
	root, hash, err := s.root(v, num)
	if err != nil || root == nil {
		return nil, err
	}
	parent, err := s.parentHash(v, num)
	if err != nil {
		return nil, err
	}
	return &ordov1.Root{Height: num, StateRoot: root, BlockHash: hash, ParentHash: parent}, nil
}
