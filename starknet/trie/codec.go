package trie

import (
	"encoding/binary"
	"fmt"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Store is where pages and roots live between runs. Get returns nil, nil for a key that is not there; the bytes are not
// kept after the call that reads them. Get is called from several goroutines at once.
type Store interface {
	Get(key []byte) ([]byte, error)
}

// Keys: one byte for the tree (contracts, classes, storage followed by the address), then, for a page, its band and the
// bytes of its prefix. The bare tree prefix holds the root; for a contract also its class hash and nonce.
const (
	contractsTree byte = 0
	classesTree   byte = 1
	storageTree   byte = 2
)

func storagePrefix(address felt.Felt) []byte {
	return address.Append([]byte{storageTree})
}

func (id pageID) appendKey(dst []byte) []byte {
	b := id.prefix.bytes()
	dst = append(dst, id.band)
	return append(dst, b[:(int(id.band)*pageLevels+7)/8]...)
}

// encodePage writes the branches of a page, nil when there are none:
//
//	bitmap u16 of the slots, then per branch: hash, left ref, right ref
//
// A ref is: depth u8, the path bytes from its position down to the node, the node hash, and the edge hash where there is
// an edge.
func encodePage(id pageID, p *page) []byte {
	if p.empty() {
		return nil
	}
	out := make([]byte, 2, encodedSize(p))
	var bitmap uint16
	for i, b := range p.slots {
		if b == nil {
			continue
		}
		bitmap |= 1 << i
		out = b.hash.Append(out)
		for k := range b.kids {
			out = appendRef(out, &b.kids[k], b.depth+1)
		}
	}
	binary.BigEndian.PutUint16(out, bitmap)
	return out
}

func encodedSize(p *page) int {
	n := 2
	for _, b := range p.slots {
		if b == nil {
			continue
		}
		n += felt.Size
		for k := range b.kids {
			r, at := &b.kids[k], b.depth+1
			n += 1 + (int(r.depth)+7)/8 - int(at)/8 + felt.Size
			if r.depth > at {
				n += felt.Size
			}
		}
	}
	return n
}

func appendRef(out []byte, r *ref, at uint8) []byte {
	out = append(out, r.depth)
	p := r.path.bytes()
	out = append(out, p[at/8:(int(r.depth)+7)/8]...)
	out = r.node.Append(out)
	if r.depth > at {
		out = r.top.Append(out)
	}
	return out
}

func decodePage(data []byte, id pageID, p *page) error {
	d := decoder{rest: data}
	bitmap := binary.BigEndian.Uint16(d.take(2))
	for i := range p.slots {
		if bitmap&(1<<i) == 0 {
			continue
		}
		p.slots[i] = d.branch(id, i)
	}
	if d.bad || len(d.rest) != 0 || bitmap == 0 || bitmap>>pageSlots != 0 {
		return fmt.Errorf("%w: page of band %d does not decode", ErrDamaged, id.band)
	}
	return nil
}

// slotPosition is the inverse of pageOf.
func slotPosition(id pageID, slot int) (uint8, path) {
	depth, first := id.band*pageLevels, 0
	for slot >= 2*first+1 {
		depth, first = depth+1, 2*first+1
	}
	p := id.prefix
	for bits, d := slot-first, depth; d > id.band*pageLevels; bits >>= 1 {
		d--
		if bits&1 == 1 {
			p = p.withBit(d)
		}
	}
	return depth, p
}

// decoder reads fixed pieces; after the first short or impossible one everything it returns is zero and bad is set.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || len(d.rest) < n {
		d.bad = true
		return make([]byte, n)
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out
}

func (d *decoder) felt() felt.Felt {
	f, err := felt.FromBytes(d.take(felt.Size))
	d.bad = d.bad || err != nil
	return f
}

// branch reads the branch of a slot.
func (d *decoder) branch(id pageID, slot int) *branch {
	b := &branch{}
	b.depth, b.path = slotPosition(id, slot)
	b.hash = d.felt()
	for k := range b.kids {
		at := b.path
		if k == 1 {
			at = at.withBit(b.depth)
		}
		b.kids[k] = d.ref(at, b.depth+1)
	}
	d.bad = d.bad || b.depth >= Height
	return b
}

// skipRef passes over a ref that hangs at a depth.
func (d *decoder) skipRef(depth uint8) {
	to := d.take(1)[0]
	if to < depth || to > Height {
		d.bad = true
		return
	}
	n := (int(to)+7)/8 - int(depth)/8 + felt.Size
	if to > depth {
		n += felt.Size
	}
	d.take(n)
}

// ref reads what hangs at the position (at, depth).
func (d *decoder) ref(at path, depth uint8) ref {
	r := ref{full: true, hashed: true, from: depth, depth: d.take(1)[0]}
	if r.depth < depth || r.depth > Height {
		d.bad = true
		return ref{}
	}
	b := at.bytes()
	lo, hi := int(depth)/8, (int(r.depth)+7)/8
	copy(b[lo:hi], d.take(hi-lo))
	r.path = pathFromBytes(&b)
	if r.path.prefix(depth) != at || r.path.prefix(r.depth) != r.path {
		d.bad = true
		return ref{}
	}
	r.node = d.felt()
	r.top = r.node
	if r.depth > depth {
		r.top = d.felt()
	}
	return r
}

// appendRoot writes the root of a tree: a flag, and the ref at depth 0.
func appendRoot(out []byte, r *ref) []byte {
	if !r.full {
		return append(out, 0)
	}
	return appendRef(append(out, 1), r, 0)
}

func (d *decoder) root() ref {
	switch d.take(1)[0] {
	case 0:
		return ref{}
	case 1:
		return d.ref(path{}, 0)
	}
	d.bad = true
	return ref{}
}
