package starknet

import (
	"sync"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// InvokeHasher hashes the invokes that a node of one chain takes: many at once, side by side, and with a memory for resource
// bounds, which clients send unchanged for hours. The results are those of InvokeV3.Hash. Safe for concurrent use.
type InvokeHasher struct {
	chain, kind, version felt.Felt

	mu     sync.Mutex
	bounds map[boundsKey]felt.Felt
}

// boundsKey is what a hash of resource bounds covers.
type boundsKey struct {
	tip              uint64
	l1, l2, l1Data   Bound
	withoutL1DataGas bool
}

// boundsKept bounds the memory; beyond it all is forgotten, and soon there again.
const boundsKept = 1024

// NewInvokeHasher returns one for a chain.
func NewInvokeHasher(chain felt.Felt) *InvokeHasher {
	kind := (*InvokeV3)(nil).Kind()
	return &InvokeHasher{chain: chain, kind: text(kind.Type), version: kind.version(false), bounds: map[boundsKey]felt.Felt{}}
}

// Hash returns the hash of each transaction.
func (h *InvokeHasher) Hash(list []*InvokeV3) []felt.Felt {
	// The parts that are hashes themselves come first, those of all transactions together.
	const parts, whole = 5, 11
	var (
		inner  = make([][]felt.Felt, 0, parts*len(list))
		places = make([]*felt.Felt, 0, parts*len(list))
		outer  = make([][]felt.Felt, len(list))
		missed = map[boundsKey]*felt.Felt{}
	)
	slab := make([]felt.Felt, whole*len(list))
	for i, t := range list {
		part := func(place *felt.Felt, of []felt.Felt) {
			if len(of) == 0 {
				*place = hashOfNothing()
				return
			}
			inner, places = append(inner, of), append(places, place)
		}
		o := slab[i*whole : (i+1)*whole : (i+1)*whole]
		o[0], o[1], o[2], o[5], o[6] = h.kind, h.version, t.Sender, h.chain, t.Nonce
		key := t.Bounds.key(t.Tip)
		if known, ok := h.known(key); ok {
			o[3] = known
		} else {
			missed[key] = &o[3]
			part(&o[3], t.Bounds.list(t.Tip))
		}
		part(&o[4], t.PaymasterData)
		o[7] = t.modes()
		part(&o[8], t.AccountDeploymentData)
		part(&o[9], t.Calldata)
		if len(t.ProofFacts) > 0 {
			part(&o[10], t.ProofFacts)
		} else {
			o = o[:10]
		}
		outer[i] = o
	}
	for i, hash := range poseidon.HashLists(inner) {
		*places[i] = hash
	}
	h.learn(missed)
	return poseidon.HashLists(outer)
}

func (h *InvokeHasher) known(key boundsKey) (felt.Felt, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hash, ok := h.bounds[key]
	return hash, ok
}

func (h *InvokeHasher) learn(missed map[boundsKey]*felt.Felt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, hash := range missed {
		if len(h.bounds) >= boundsKept {
			clear(h.bounds)
		}
		h.bounds[key] = *hash
	}
}

func (r *ResourceBounds) key(tip uint64) boundsKey {
	k := boundsKey{tip: tip, l1: r.L1Gas, l2: r.L2Gas, withoutL1DataGas: r.L1DataGas == nil}
	if r.L1DataGas != nil {
		k.l1Data = *r.L1DataGas
	}
	return k
}
