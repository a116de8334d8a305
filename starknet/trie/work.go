package trie

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// HashPairs sets dst[i] to the hash of a[i] and b[i].
type HashPairs func(dst, a, b []felt.Felt)

// work is what waits to be hashed in one update of any number of tries. Ranks replace depths: all branches of one rank,
// over all tries, depend only on lower ranks and are hashed as one batch, so a block that touches a thousand small tries
// still gives the hash function long batches.
type work struct {
	now      uint64
	recent   recent  // of this update: pages may leave the memory between updates
	pages    *shared // by the parts of an update that walk side by side
	least    int     // items that a part should have
	keeping  bool    // what is replaced is kept in retired
	retired  []chunk
	branches [][]*branch // by rank; entry 0 stays empty
	edges    [][]edgeJob // by rank of the node below; 0 for leaves and nodes that did not change

	a, b, out []felt.Felt
	refs      []*ref
}

// edgeJob asks for the top hash of a ref that hangs at depth `at`.
type edgeJob struct {
	ref *ref
	at  uint8
}

// newWork is for one State: its updates come one after the other.
func newWork() work { return work{pages: new(shared), least: 64} }

// shared guards the pages of all trees, and counts them, their branches, and the pages that changed since the last flush.
type shared struct {
	sync.Mutex
	pages, branches, dirty atomic.Int64
	spare                  []chunk // of what is not remembered any more
}

// About what a page, a branch in it and a contract take in memory, with their places in maps.
const (
	pageBytes    = 280
	branchBytes  = 320
	accountBytes = 480
)

func (s *shared) bytes() int64 { return s.pages.Load()*pageBytes + s.branches.Load()*branchBytes }

// change marks a page.
func (w *work) change(p *page) {
	if p.dirty.CompareAndSwap(false, true) {
		w.pages.dirty.Add(1)
	}
}

// begin starts another update.
func (w *work) begin() {
	w.now++
	w.recent = recent{}
	w.retired = nil
}

// both does two parts of an update of one tree, side by side where each has enough items and there are cores. The parts
// share no branch; where they share a page, no slot of it.
func (w *work) both(items int, first, second func(*work) error) error {
	if items < w.least || runtime.GOMAXPROCS(0) == 1 {
		if err := first(w); err != nil {
			return err
		}
		return second(w)
	}
	beside := &work{now: w.now, pages: w.pages, least: w.least, keeping: w.keeping}
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { err = first(beside) })
	err2 := second(w)
	wg.Wait()
	if err = cmp.Or(err, err2); err != nil {
		return err
	}
	for rank, list := range beside.branches {
		w.branches = longer(w.branches, rank)
		w.branches[rank] = append(w.branches[rank], list...)
	}
	w.retired = slices.Concat(beside.retired, w.retired) // the last chunk stays the one that is filled
	for rank, list := range beside.edges {
		w.edges = longer(w.edges, rank)
		w.edges[rank] = append(w.edges[rank], list...)
	}
	return nil
}

// longer gives the list an entry for a rank.
func longer[T any](list [][]T, rank int) [][]T {
	for len(list) <= rank {
		list = append(list, nil)
	}
	return list
}

// add queues a branch whose kids are in place.
func (w *work) add(b *branch) {
	b.rank = 1
	for i := range b.kids {
		if c := b.kids[i].dirty; c != nil {
			b.rank = max(b.rank, c.rank+1)
		}
		w.addEdge(&b.kids[i], b.depth+1)
	}
	w.branches = longer(w.branches, b.rank)
	w.branches[b.rank] = append(w.branches[b.rank], b)
}

// addEdge queues the top hash of a ref; r must stay where it is until run returns.
func (w *work) addEdge(r *ref, at uint8) {
	if !r.full || (r.dirty == nil && r.fresh(at)) {
		return
	}
	rank := 0
	if r.dirty != nil {
		rank = r.dirty.rank
	}
	w.edges = longer(w.edges, rank)
	w.edges[rank] = append(w.edges[rank], edgeJob{r, at})
}

// run hashes everything queued, bottom up.
func (w *work) run(hash HashPairs) {
	for rank := range max(len(w.branches), len(w.edges)) {
		if rank < len(w.branches) {
			w.a, w.b = w.a[:0], w.b[:0]
			for _, b := range w.branches[rank] {
				w.a, w.b = append(w.a, b.kids[0].top), append(w.b, b.kids[1].top)
			}
			for i, h := range w.hash(hash) {
				w.branches[rank][i].hash = h
			}
			w.branches[rank] = w.branches[rank][:0]
		}
		if rank < len(w.edges) {
			w.runEdges(hash, w.edges[rank])
			w.edges[rank] = w.edges[rank][:0]
		}
	}
}

func (w *work) runEdges(hash HashPairs, jobs []edgeJob) {
	w.a, w.b, w.refs = w.a[:0], w.b[:0], w.refs[:0]
	for _, j := range jobs {
		r := j.ref
		if r.dirty != nil {
			r.node, r.dirty = r.dirty.hash, nil
		}
		r.from, r.hashed = j.at, true
		if r.depth == j.at {
			r.top = r.node
			continue
		}
		w.a, w.b = append(w.a, r.node), append(w.b, r.path.segment(j.at, r.depth))
		w.refs = append(w.refs, r)
	}
	for i, h := range w.hash(hash) {
		r := w.refs[i]
		r.top = h.Add(felt.FromUint64(uint64(r.depth - r.from)))
	}
}

func (w *work) hash(hash HashPairs) []felt.Felt {
	for len(w.out) < len(w.a) {
		w.out = append(w.out, felt.Felt{})
	}
	out := w.out[:len(w.a)]
	hashParallel(hash, out, w.a, w.b)
	return out
}

// hashParallel spreads a batch over the cores; small batches are not worth a goroutine.
func hashParallel(hash HashPairs, dst, a, b []felt.Felt) {
	const least = 64
	parts := min(runtime.GOMAXPROCS(0), len(dst)/least)
	if parts < 2 {
		if len(dst) > 0 {
			hash(dst, a, b)
		}
		return
	}
	var wg sync.WaitGroup
	for i := range parts {
		lo, hi := i*len(dst)/parts, (i+1)*len(dst)/parts
		wg.Go(func() { hash(dst[lo:hi], a[lo:hi], b[lo:hi]) })
	}
	wg.Wait()
}
