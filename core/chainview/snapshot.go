package chainview

import (
	"slices"
	"sync"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Snapshot is one look at the chain.
type Snapshot struct {
	latest *ordov1.BlockHeader
	blocks []*Block
	layers []*layer // of all blocks, newest last
	open   bool
	next   func() *ordov1.BlockContext
}

// Snapshot takes a look.
func (c *Chain) Snapshot() *Snapshot {
	c.mu.RLock()
	v := c.view
	c.mu.RUnlock()
	if v != nil {
		return v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view == nil {
		c.view = c.look()
	}
	return c.view
}

func (c *Chain) look() *Snapshot {
	v := &Snapshot{latest: c.latest, blocks: slices.Clip(c.decided), next: c.Next}
	for _, b := range c.decided {
		v.layers = append(v.layers, b.layers...)
	}
	if o := c.open; o != nil {
		v.open = true
		v.next = func() *ordov1.BlockContext { return o.context }
		deltas := slices.Clip(o.deltas)
		b := &Block{Context: o.context, Results: slices.Clip(o.results), layers: o.layers,
			Transactions: slices.Clip(o.txs),
			diff:         sync.OnceValue(func() *ordov1.StateDiff { return Merge(deltas) })}
		v.blocks = append(v.blocks, b)
		v.layers = append(v.layers, b.layers...)
	}
	return v
}

// Latest is the last block whose root is known; nil before genesis.
func (v *Snapshot) Latest() *ordov1.BlockHeader { return v.latest }

// Blocks are those after Latest by number: decided ones, then the open one if any. Read only.
func (v *Snapshot) Blocks() []*Block { return v.blocks }

// Open is the open block, or nil.
func (v *Snapshot) Open() *Block {
	if !v.open {
		return nil
	}
	return v.blocks[len(v.blocks)-1]
}

// Next is the context of the open block, or of the block that would be opened next.
func (v *Snapshot) Next() *ordov1.BlockContext { return v.next() }

// Storage, Nonce, ClassHash, CompiledClassHash and Class tell what the blocks after Latest changed; ok is false for what
// did not change.
func (v *Snapshot) Storage(contract, k Key) (value Key, ok bool) {
	return find(v.layers, slot{contract, k}, func(l *layer) map[slot]Key { return l.storage })
}

// Nonce: see Storage.
func (v *Snapshot) Nonce(contract Key) (nonce Key, ok bool) {
	return find(v.layers, contract, func(l *layer) map[Key]Key { return l.nonces })
}

// ClassHash: see Storage.
func (v *Snapshot) ClassHash(contract Key) (class Key, ok bool) {
	return find(v.layers, contract, func(l *layer) map[Key]Key { return l.classHashes })
}

// CompiledClassHash: see Storage.
func (v *Snapshot) CompiledClassHash(class Key) (compiled Key, ok bool) {
	return find(v.layers, class, func(l *layer) map[Key]Key { return l.compiled })
}

// Class: see Storage.
func (v *Snapshot) Class(hash Key) (*ordov1.Class, bool) {
	return find(v.layers, hash, func(l *layer) map[Key]*ordov1.Class { return l.classes })
}

func find[K comparable, V any](layers []*layer, k K, of func(*layer) map[K]V) (v V, ok bool) {
	for i := len(layers) - 1; i >= 0; i-- {
		if v, ok = of(layers[i])[k]; ok {
			return v, true
		}
	}
	return v, false
}
