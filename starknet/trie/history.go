package trie

import (
	"slices"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// history is what the last updates replaced: with it the states before them can still be walked. The tries hold the newest
// state only, and their nodes are overwritten in place.
type history struct {
	keep     int   // updates
	limit    int64 // bytes
	bytes    int64
	versions []*version // oldest first
}

// version is what one update replaced.
type version struct {
	contracts, classes ref // roots before it
	accounts           map[felt.Felt]pastAccount
	chunks             []chunk
	table              []uint32 // of the branches by hash, made when it is first searched: 1 + place, 0 is free
	bytes              int64
}

// pastAccount is a contract as it was before an update.
type pastAccount struct {
	class, nonce felt.Felt
	root         ref // of its storage
}

// account keeps a contract that is about to be changed; without a version nothing is kept.
func (v *version) account(address felt.Felt, a *account) {
	if v == nil {
		return
	}
	if _, kept := v.accounts[address]; !kept {
		v.accounts[address] = pastAccount{a.class, a.nonce, a.storage.root}
	}
}

// retired is a branch as it was. With its depth the hash says all that it is, but for the path that leads to it: a walk
// that comes down the path knows it, and branches of one hash may lie at several.
type retired struct {
	hash  felt.Felt
	kids  [2]felt.Felt // hashes of the nodes below
	edges [2]uint16    // 1 + index of the edge to the kid; 0: there is none
	depth uint8
}

// retiredEdge is what a ref has beyond its node where an edge lies between.
type retiredEdge struct {
	top   felt.Felt
	path  path // of the node, below the first branch of this hash that was replaced
	depth uint8
}

// chunk is a part of what an update replaced. It holds no pointers, so the collector of garbage does not look into it.
type chunk struct {
	branches []retired
	edges    []retiredEdge
}

const (
	chunkBranches    = 256
	retiredBytes     = 104
	retiredEdgeBytes = 72
	pastAccountBytes = 320
)

// chunk is an empty one: one that was let go, or a new one.
func (s *shared) chunk() chunk {
	s.Lock()
	defer s.Unlock()
	n := len(s.spare) - 1
	if n < 0 {
		return chunk{branches: make([]retired, 0, chunkBranches)}
	}
	c := s.spare[n]
	s.spare = s.spare[:n]
	return chunk{c.branches[:0], c.edges[:0]}
}

// retire keeps a branch that is about to be changed.
func (w *work) retire(b *branch) {
	if !w.keeping {
		return
	}
	n := len(w.retired) - 1
	if n < 0 || len(w.retired[n].branches) == chunkBranches {
		w.retired = append(w.retired, w.pages.chunk())
		n++
	}
	c := &w.retired[n]
	c.branches = append(c.branches, retired{hash: b.hash, depth: b.depth})
	r := &c.branches[len(c.branches)-1]
	for k := range b.kids {
		kid := &b.kids[k]
		r.kids[k] = kid.node
		if kid.depth > b.depth+1 {
			c.edges = append(c.edges, retiredEdge{kid.top, kid.path, kid.depth})
			r.edges[k] = uint16(len(c.edges))
		}
	}
}

// branch is the branch as it was, below a path.
func (c *chunk) branch(i int, below path) *branch {
	r := &c.branches[i]
	b := &branch{depth: r.depth, path: below, hash: r.hash}
	for k := range b.kids {
		kid := ref{full: true, hashed: true, from: r.depth + 1, depth: r.depth + 1, path: below, node: r.kids[k], top: r.kids[k]}
		if k == 1 {
			kid.path = kid.path.withBit(r.depth)
		}
		if at := r.edges[k]; at > 0 {
			e := &c.edges[at-1]
			kid.depth, kid.path, kid.top = e.depth, kid.path.join(e.path, r.depth+1), e.top
		}
		b.kids[k] = kid
	}
	return b
}

// find returns the branch behind a ref if the update replaced it.
func (v *version) find(r *ref) *branch {
	if v.table == nil {
		v.index()
	}
	mask := uint64(len(v.table) - 1)
	for i := r.node[0] & mask; v.table[i] != 0; i = (i + 1) & mask {
		at := int(v.table[i] - 1)
		c := &v.chunks[at/chunkBranches]
		if b := &c.branches[at%chunkBranches]; b.hash == r.node && b.depth == r.depth {
			return c.branch(at%chunkBranches, r.path)
		}
	}
	return nil
}

// index makes the table; it is at most half full.
func (v *version) index() {
	n := 0
	for i := range v.chunks {
		n += len(v.chunks[i].branches)
	}
	size := 2
	for size < 2*n+2 {
		size *= 2
	}
	v.table = make([]uint32, size)
	mask := uint64(size - 1)
	for c := range v.chunks {
		for i := range v.chunks[c].branches {
			at := v.chunks[c].branches[i].hash[0] & mask
			for v.table[at] != 0 {
				at = (at + 1) & mask
			}
			v.table[at] = uint32(c*chunkBranches+i) + 1
		}
	}
}

// push adds what an update replaced, and lets go of what is too old or too much.
func (h *history) push(v *version, spare *[]chunk) {
	v.bytes = int64(len(v.accounts)) * pastAccountBytes
	for i := range v.chunks {
		c := &v.chunks[i]
		v.bytes += chunkBranches*retiredBytes + int64(cap(c.edges))*retiredEdgeBytes
		v.bytes += int64(len(c.branches)) * 4 * 4 // of the table, at its largest
	}
	h.versions = append(h.versions, v)
	h.bytes += v.bytes
	for len(h.versions) > h.keep || len(h.versions) > 0 && h.bytes > h.limit {
		h.bytes -= h.versions[0].bytes
		*spare = append(*spare, h.versions[0].chunks...)
		h.versions = slices.Delete(h.versions, 0, 1)
	}
	*spare = slices.Delete(*spare, min(len(*spare), len(v.chunks)), len(*spare)) // as many as the next update may take
}

// pop forgets the newest update.
func (h *history) pop() {
	if n := len(h.versions) - 1; n >= 0 {
		h.bytes -= h.versions[n].bytes
		h.versions[n] = nil
		h.versions = h.versions[:n]
	}
}

// KeepPast makes the state remember what its last updates replaced, so that the states before them can be proven: so many
// updates, as far as what they replaced takes at most so many bytes.
func (s *State) KeepPast(updates int, bytes int64) { s.history.keep, s.history.limit = updates, bytes }

// Past is how many states before the current one can be proven.
func (s *State) Past() int { return len(s.history.versions) }

// ForgetPast forgets them: only the current state can be proven then.
func (s *State) ForgetPast() { s.history.versions, s.history.bytes, s.work.pages.spare = nil, 0, nil }

// Undo takes the newest update back, with the diff that leads to the state before it.
func (s *State) Undo(diff *Diff) (Roots, error) {
	roots, err := s.apply(diff, false)
	if err == nil {
		s.history.pop()
	}
	return roots, err
}
