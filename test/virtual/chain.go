package virtual

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// chain is what the checkers of a process know of the blocks that it goes on with: they execute each once more.
type chain struct {
	height    uint64
	timestamp uint64
	state     state
	included  map[mempool.Key]uint64 // heights
}

func readChain(d *disk) chain {
	c := chain{state: state{}, included: map[mempool.Key]uint64{}}
	for _, b := range d.blocks {
		c.append(b.header, b.items)
	}
	return c
}

func (c *chain) append(header *ordov1.BlockHeader, items []pipeline.Item) {
	c.height, c.timestamp = header.Context.Number, header.Context.Timestamp
	c.state, _ = blockOn(c.state, items)
	for _, item := range items {
		c.included[mempool.Key(item.Tx.Hash)] = c.height
	}
}

// decided holds a block that the machine goes on with.
func (n *node) decided(c pipeline.Commit, learned bool) {
	h, context := n.host, c.Header.Context
	value := c.Header.PartialHash
	if c.Order != nil {
		value = c.Order.Value
	}
	if !learned && len(c.Certificate) > 0 {
		h.Certified(c.Height, value, c.Certificate)
	}
	for _, item := range c.Items {
		if before, twice := n.chain.included[mempool.Key(item.Tx.Hash)]; twice {
			h.Fail(consensustest.Transactions, "transaction %s is in block %d and in block %d", hex(item.Tx.Hash), before, c.Height)
		}
	}
	var honest []byte
	if context.Number == n.chain.height+1 && context.Timestamp >= n.chain.timestamp && n.accepts(c.Items) {
		_, diff := blockOn(n.chain.state, c.Items)
		honest = valueOf(context, c.Items, diff)
	}
	if c.Order != nil {
		honest = n.honestOrder(c, honest)
	}
	h.Decided(c.Height, value, honest, learned)
	n.chain.append(c.Header, c.Items)
	n.audit()
}

// honestOrder is the value of an order whose block is what honest execution makes of it: nothing that fits is left out, nothing else is in.
func (n *node) honestOrder(c pipeline.Commit, block []byte) []byte {
	s, in, order := maps.Clone(n.chain.state), 0, c.Decided()
	for i, item := range order.Items[:min(limit, len(order.Items))] {
		if s.one(item.Tx).Status == ordov1.TransactionResult_REJECTED {
			continue
		}
		if in >= len(c.Items) || !proto.Equal(c.Items[in].Tx, item.Tx) {
			n.host.Note("transaction %d of the order of block %d is left out, and would run", i, c.Height)
			return nil
		}
		in++
	}
	if in != len(c.Items) || !bytes.Equal(block, c.Header.PartialHash) {
		return nil
	}
	return c.Order.Value
}

// accepts says whether execution rejects none of a block.
func (n *node) accepts(items []pipeline.Item) bool {
	s, _ := blockOn(n.chain.state, nil)
	for _, item := range items {
		if s.one(item.Tx).Status == ordov1.TransactionResult_REJECTED {
			return false
		}
	}
	return true
}

// audit holds that all that was admitted waits or is in a block.
func (n *node) audit() {
	for _, id := range n.disk.arrivals {
		hash := keyOf(id)
		if _, included := n.chain.included[hash]; !included && n.pool.Get(hash) == nil {
			n.host.Fail(consensustest.Transactions, "transaction %d was admitted, is in no block, and does not wait", id)
		}
	}
}

// dropped are transactions that left the pool without a block: no one sends a transaction here that may be dropped.
func (n *node) dropped(dropped []mempool.Dropped) {
	for _, one := range dropped {
		if _, included := n.chain.included[one.Hash]; !included {
			n.host.Fail(consensustest.Transactions, "transaction %s is dropped: %v", hex(one.Hash[:]), one.Why)
		}
	}
}

func blockHash(value, parent []byte) []byte {
	sum := sha256.Sum256(append(append([]byte("block"), value...), parent...))
	return sum[:]
}

// accounts is how many accounts send transactions in turn.
const accounts = 4

const signature = "signed"

func sender(id uint64) []byte {
	b := make([]byte, 32)
	b[31] = byte(1 + (id-1)%accounts)
	return b
}

func hashOf(sender []byte, nonce uint64) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte("transaction"), sender...), nonce))
	return sum[:]
}

func keyOf(id uint64) mempool.Key { return mempool.Key(hashOf(sender(id), (id-1)/accounts)) }

// transaction is the one with a number.
func transaction(id uint64) *ordov1.Transaction {
	from, nonce := sender(id), (id-1)/accounts
	return &ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Hash: hashOf(from, nonce), Sender: from, Nonce: binary.BigEndian.AppendUint64(nil, nonce),
		ResourceBounds: &ordov1.ResourceBounds{L2GasPrice: []byte{1}}, Signature: []byte(signature)}
}

// Transaction implements consensustest.Core: it is admitted when the journal has it. A client whose earlier transactions this node does not have
// sends those again: they came while it was down.
func (n *node) Transaction(id uint64) {
	if !n.host.Up() || n.machine == nil {
		return
	}
	missing := []uint64{id}
	for before := id; before > accounts; {
		before -= accounts
		if _, included := n.chain.included[keyOf(before)]; included || n.pool.Get(keyOf(before)) != nil {
			break
		}
		missing = append(missing, before)
	}
	for _, one := range slices.Backward(missing) {
		n.admit(one)
	}
}

func (n *node) admit(id uint64) {
	tx := transaction(id)
	key := mempool.Key(tx.Hash)
	if n.pool.AddError(tx, nil, n.chain.state[mempool.Key(tx.Sender)]) != nil {
		return
	}
	n.journal.write(func() {
		if n.disk.admitted[key] {
			return // it came twice
		}
		_, _, err := n.pool.Add(time.UnixMilli(int64(n.host.NowMs())), tx, nil, n.chain.state[mempool.Key(tx.Sender)])
		switch {
		case err == nil:
			n.disk.admitted[key] = true
			n.disk.arrivals = append(n.disk.arrivals, id)
			n.rank()
			n.post(pipeline.PoolChanged{})
		case !errors.Is(err, mempool.ErrNonceTooOld) && !errors.Is(err, mempool.ErrDuplicate): // it is in a block that came meanwhile
			n.host.Fail(consensustest.Transactions, "transaction %d is not taken: %v", id, err)
		}
	})
}

// rank is the policy: first come, first served.
func (n *node) rank() {
	var scores []mempool.Score
	for _, e := range n.pool.Unscored(1 << 20) {
		scores = append(scores, mempool.Score{Entry: e, Hi: ^e.Seq})
	}
	n.pool.Rank(scores, 0)
}

// refill puts what the journal has admitted into the pool of a new process.
func (n *node) refill() {
	d := &n.disk
	kept := d.arrivals[:0]
	for _, id := range d.arrivals {
		tx := transaction(id)
		if _, included := n.chain.included[mempool.Key(tx.Hash)]; included {
			delete(d.admitted, mempool.Key(tx.Hash))
			continue
		}
		kept = append(kept, id)
		if _, _, err := n.pool.Restore(time.UnixMilli(int64(n.host.NowMs())), tx, nil, n.chain.state[mempool.Key(tx.Sender)]); err != nil {
			n.host.Fail(consensustest.Transactions, "transaction %d was admitted, and does not come back: %v", id, err)
		}
	}
	d.arrivals = kept
	n.rank()
}
