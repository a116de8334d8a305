package trie

import (
	"sync/atomic"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// ref is what hangs below one position of a trie: nothing, a leaf, or a branch, with an edge above it when the node lies
// deeper than the position. The edge is not stored: its length follows from where the ref hangs, so a collapse or a split
// only moves refs.
type ref struct {
	full   bool
	hashed bool      // top is the hash for a position at depth `from`
	depth  uint8     // of the node; Height: a leaf
	from   uint8     // see hashed
	path   path      // of the node: `depth` bits
	node   felt.Felt // hash of the branch, or value of the leaf
	top    felt.Felt // hash as the parent sees it: that of the edge, or of the node where there is no edge
	dirty  *branch   // the branch, while its own hash waits to be computed
}

func leafRef(p path, value felt.Felt) ref {
	return ref{full: true, depth: Height, path: p, node: value}
}

// fresh reports whether top is right for a position at depth d.
func (r *ref) fresh(d uint8) bool { return r.hashed && r.from == d }

// branch is a binary node. Both kids are always full.
type branch struct {
	depth uint8
	rank  int // longest way down over dirty branches, 1 at the bottom; its hash is computed in that round
	path  path
	hash  felt.Felt
	kids  [2]ref
}

// A page holds the branches of four levels below one prefix: what is read and written as one value. Path-keyed pages are
// overwritten in place, so nothing is ever left to prune.
const (
	pageLevels = 4
	pageSlots  = 1<<pageLevels - 1
)

type pageID struct {
	band   uint8 // depth / pageLevels
	prefix path  // band*pageLevels bits
}

type page struct {
	slots [pageSlots]*branch
	dirty atomic.Bool // set with each change of a slot
	used  uint64      // last round in which it was touched
}

func pageOf(depth uint8, p path) (pageID, int) {
	band := depth / pageLevels
	start := band * pageLevels
	slot := 1<<(depth-start) - 1
	for d := start; d < depth; d++ {
		slot += p.bit(d) << (depth - 1 - d)
	}
	return pageID{band, p.prefix(start)}, slot
}

func (p *page) empty() bool { return p.slots == [pageSlots]*branch{} }

// count is the number of branches.
func (p *page) count() (n int64) {
	for _, b := range p.slots {
		if b != nil {
			n++
		}
	}
	return n
}
