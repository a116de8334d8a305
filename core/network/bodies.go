package network

import (
	"fmt"
	"sync"

	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// bodies holds proposals of the heights above the head: parts that arrive, whole ones of peers, and those that this node may serve. It is
// bounded in all, and for each peer.
type bodies struct {
	most int // of one body
	each int // of one peer
	all  int

	mu      sync.Mutex
	used    int
	byPeer  map[ID]int // this node's own have the zero ID
	open    map[openBody]*body
	whole   map[wholeBody]*body
	changed chan struct{} // closed when something was added or ended
	evicted uint64
}

type openBody struct {
	from   ID
	height uint64
	round  uint32
}

type wholeBody struct {
	value Value
	from  ID // zero: of this node, and served
}

type body struct {
	height uint64
	from   ID
	data   []byte
	next   uint32 // index of the next part
}

func newBodies(l Limits) *bodies {
	return &bodies{most: l.Body, each: l.Bodies / 2, all: l.Bodies, byPeer: make(map[ID]int), open: make(map[openBody]*body), whole: make(map[wholeBody]*body),
		changed: make(chan struct{})}
}

func (b *bodies) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// maxOpen is how many proposals of one peer may be on their way.
const maxOpen = 4

// closeOldest makes room for one more proposal on its way: its sender has left out parts of the older ones.
func (b *bodies) closeOldest(from ID) {
	count := 0
	var oldest openBody
	for k := range b.open {
		if k.from != from {
			continue
		}
		if count++; count == 1 || k.height < oldest.height || k.height == oldest.height && k.round < oldest.round {
			oldest = k
		}
	}
	if count >= maxOpen {
		b.free(b.open[oldest])
		delete(b.open, oldest)
	}
}

// part takes a piece of a peer's proposal. fault is what the peer did wrong; used is false for a piece that is of no use.
func (b *bodies) part(from ID, p *wire.BodyPart) (used bool, fault error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := openBody{from, p.Height, p.Round}
	o := b.open[key]
	if p.Index == 0 {
		if o != nil {
			b.free(o)
			delete(b.open, key)
		}
		b.closeOldest(from)
		o = &body{height: p.Height, from: from}
		b.open[key] = o
	}
	if o == nil || o.next != p.Index {
		return false, nil // a piece before it was dropped
	}
	if len(o.data)+len(p.Data) > b.most {
		return false, fmt.Errorf("a body of more than %d bytes (network.body_bytes)", b.most)
	}
	if !b.room(from, len(p.Data)) || b.open[key] != o {
		if b.open[key] == o {
			b.free(o)
			delete(b.open, key)
		}
		return false, nil
	}
	o.data = append(o.data, p.Data...)
	o.next++
	b.used += len(p.Data)
	b.byPeer[from] += len(p.Data)
	if p.Last {
		delete(b.open, key)
		if len(p.Value) == 0 {
			b.free(o)
		} else {
			b.insert(wholeBody{Value(p.Value), from}, o)
		}
	}
	b.wake()
	return true, nil
}

// keep adds a body that this node may serve.
func (b *bodies) keep(height uint64, v Value, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.room(ID{}, len(data)) {
		return
	}
	b.used += len(data)
	b.byPeer[ID{}] += len(data)
	b.insert(wholeBody{v, ID{}}, &body{height: height, data: data})
	b.wake()
}

// maxWhole is how many whole proposals of one peer are held, whatever their size: a few for each of the heights that it may be ahead.
const maxWhole = 64

// insert puts a whole body in its place; a second one of the same peer and value is the same.
func (b *bodies) insert(k wholeBody, o *body) {
	if old := b.whole[k]; old != nil {
		b.free(old)
		delete(b.whole, k)
	}
	count := 0
	for other := range b.whole {
		if other.from == k.from {
			count++
		}
	}
	if count >= maxWhole {
		b.evict(k.from)
	}
	b.whole[k] = o
}

// free takes a body out of the books.
func (b *bodies) free(o *body) {
	b.used -= len(o.data)
	if b.byPeer[o.from] -= len(o.data); b.byPeer[o.from] == 0 {
		delete(b.byPeer, o.from)
	}
}

// room makes room for n more bytes of a peer: of its own bodies, and where all together are too much, of the peer that has most.
func (b *bodies) room(from ID, n int) bool {
	if n > b.each {
		return false
	}
	for b.byPeer[from]+n > b.each {
		if !b.evict(from) {
			return false
		}
	}
	for b.used+n > b.all {
		var heaviest ID
		for id, bytes := range b.byPeer {
			if most := b.byPeer[heaviest]; bytes > most || bytes == most && id == from {
				heaviest = id
			}
		}
		if heaviest == from && b.byPeer[from] > b.each/2 || !b.evict(heaviest) {
			return false
		}
	}
	return true
}

// evict drops a body of a peer: of the lowest height, and one that is not whole only where no other is left.
func (b *bodies) evict(from ID) bool {
	var victim *body
	var forget func()
	for k, o := range b.whole {
		if o.from == from && (victim == nil || o.height < victim.height) {
			victim, forget = o, func() { delete(b.whole, k) }
		}
	}
	if victim == nil {
		for k, o := range b.open {
			if o.from == from && (victim == nil || o.height < victim.height) {
				victim, forget = o, func() { delete(b.open, k) }
			}
		}
	}
	if victim == nil {
		return false
	}
	forget()
	b.free(victim)
	b.evicted++
	return true
}

// find is a body by its value: this node's, or of the peer that is preferred, or of any other.
func (b *bodies) find(v Value, prefer ID) *Body {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.whole[wholeBody{v, ID{}}]; o != nil {
		return &Body{Data: o.data}
	}
	if o := b.whole[wholeBody{v, prefer}]; o != nil {
		return &Body{Data: o.data, From: prefer}
	}
	for k, o := range b.whole {
		if k.value == v {
			return &Body{Data: o.data, From: k.from}
		}
	}
	return nil
}

// served is a body that this node stands for.
func (b *bodies) served(v Value) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.whole[wholeBody{v, ID{}}]; o != nil {
		return o.data
	}
	return nil
}

// arriving tells whether a proposal of a peer at a height is on its way, and what is closed when that changes.
func (b *bodies) arriving(from ID, height uint64) (on bool, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k := range b.open {
		on = on || k.from == from && k.height == height
	}
	return on, b.changed
}

// decided drops everything of a height and below it.
func (b *bodies) decided(height uint64) {
	b.drop(func(o *body) bool { return o.height <= height })
}

// leave drops what a peer has not finished.
func (b *bodies) leave(from ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, o := range b.open {
		if k.from == from {
			b.free(o)
			delete(b.open, k)
		}
	}
	b.wake()
}

func (b *bodies) drop(which func(*body) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, o := range b.open {
		if which(o) {
			b.free(o)
			delete(b.open, k)
		}
	}
	for k, o := range b.whole {
		if which(o) {
			b.free(o)
			delete(b.whole, k)
		}
	}
}

// bytes is how much is held.
func (b *bodies) bytes() (used int, evicted uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, b.evicted
}

// partFrame takes a piece of a proposal of the peer.
func (l *link) partFrame(p *wire.BodyPart) {
	limits := l.n.o.Limits
	switch size := len(p.GetData()); {
	case l.follower:
		l.fail("a proposal of a follower")
		return
	case size > limits.Part:
		l.fail("a part of %d bytes, at most %d are allowed (network.part_bytes)", size, limits.Part)
		return
	case len(p.Value) != 0 && (len(p.Value) != len(Value{}) || !p.Last):
		l.fail("a part with a value of %d bytes, or before the last", len(p.Value))
		return
	}
	own, announced := l.n.Head()
	if announced && p.Height == own.Height {
		return // it was decided while this was on its way
	}
	if announced && (p.Height <= own.Height || p.Height > own.Height+uint64(limits.Ahead)) {
		l.useless(outOfWindow)
		return
	}
	used, fault := l.n.bodies.part(l.id, p)
	switch {
	case fault != nil:
		l.fail("%v", fault)
	case !used:
		l.useless(gap)
	default:
		part := BodyPart{Height: p.Height, Round: p.Round, Index: p.Index, Data: p.Data, Last: p.Last}
		copy(part.Value[:], p.Value)
		l.hand(func() { l.n.o.Receiver.BodyPart(l.id, part) })
	}
}
