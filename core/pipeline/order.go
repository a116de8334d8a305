package pipeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// OrderLimits bound an order of this node's own. What the block has no room for waits for the next one, but its digests are stored.
type OrderLimits struct {
	Transactions int    // 10,000 when 0
	Bytes        int    // of transactions and classes; 8 MiB when 0
	Gas          uint64 // L2 gas that the transactions allow, together; 0: any
}

// Defaults of OrderLimits.
const (
	DefaultOrderTransactions = 10_000
	DefaultOrderBytes        = 8 << 20
)

// Outcome is what became of a decided order: with the transactions of its block it is the order again.
type Outcome struct {
	Value   []byte // of the order
	Parent  []byte // partial hash of the block below, as the order names it
	LeftOut []LeftOut
	Rest    []byte // digests of the transactions after the last one of LeftOut, for which there was no room
}

// LeftOut is a transaction of an order that is not in the block: rejected, or the first one that did not fit.
type LeftOut struct {
	Place int
	Item
}

// orderDomain begins what is hashed to the value of an order.
const orderDomain = "ordo/order/1"

// orderValue names an order of transactions: SHA-256, cut to a felt, over the chain, the context, the parent's result and the digests.
func orderValue(chainID string, c *ordov1.BlockContext, parent []byte, items []Item, rest []byte) []byte {
	h := sha256.New()
	h.Write([]byte(orderDomain))
	var b []byte
	field := func(bytes []byte) { b = append(binary.AppendUvarint(b, uint64(len(bytes))), bytes...) }
	price := func(p *ordov1.GasPrice) {
		field(p.GetWei())
		field(p.GetFri())
	}
	field([]byte(chainID))
	b = binary.AppendUvarint(binary.AppendUvarint(b, c.GetNumber()), c.GetTimestamp())
	field(c.GetSequencer())
	field([]byte(c.GetStarknetVersion()))
	price(c.GetL1Gas())
	price(c.GetL1DataGas())
	price(c.GetL2Gas())
	if c.GetBlobDa() {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	field(c.GetOldBlockHash())
	field(parent)
	h.Write(binary.AppendUvarint(b, uint64(len(items)+len(rest)/sha256.Size)))
	h.Write(appendDigests(nil, items))
	h.Write(rest)
	value := h.Sum(nil)
	value[0] &= 7 // below 2^251
	return value
}

// appendDigests appends what an order keeps of each transaction: its hash stands for all of it but for these fields.
func appendDigests(b []byte, items []Item) []byte {
	var one []byte
	for _, item := range items {
		one = append(one[:0], item.Tx.Hash...)
		for _, field := range [][]byte{item.Tx.Signature, item.Tx.PaidFeeOnL1} {
			one = append(binary.AppendUvarint(one, uint64(len(field))), field...)
		}
		digest := sha256.Sum256(one)
		b = append(b, digest[:]...)
	}
	return b
}

// parentResult is the partial hash of the newest decided block.
func (m *Machine) parentResult() []byte {
	if n := len(m.storage.pending); n > 0 {
		return m.storage.pending[n-1].Header.PartialHash
	}
	return m.storage.block
}

// tryOrder gives an attempt the value of its order, if it takes no more transactions. Nothing is executed.
func (m *Machine) tryOrder(a *attempt) {
	old, _ := m.oldHash()
	p, peer := a.fromPool(), a.fromPeer()
	switch {
	case peer != nil && !bytes.Equal(a.context.OldBlockHash, old):
		m.rejectProposal(a, fmt.Sprintf("the proposal names another hash for block %d", m.height-hashLag))
		return
	case peer != nil:
		m.examineOrder(a, peer)
		return
	case p == nil: // of an earlier attempt
	case a.intake.kind == unsealed && (p.limit == 0 || m.pool.Waiting() < p.limit):
		m.setIdle(a)
		return
	default:
		if m.takeOrder(a); len(a.order) == 0 && !p.allowEmpty {
			m.fail(a, nothingToRun, true)
			return
		}
	}
	if a.context == nil {
		a.context = m.context(m.now)
	}
	m.becomeOrdered(a, orderValue(m.options.ChainID, a.context, m.parentResult(), a.order, nil))
	m.tellBuilt(a)
}

// examineOrder compares the order of a peer with its value, and what it says of the block below with this node's own result.
func (m *Machine) examineOrder(a *attempt, s *proposalSource) {
	parent := s.proposal.ParentResult
	value := orderValue(m.options.ChainID, a.context, parent, a.order, s.proposal.Rest)
	switch same := bytes.Equal(value, s.value); {
	case !same:
		m.rejectProposal(a, fmt.Sprintf("the proposal's value is %x, its order has %x", s.value, value))
	case bytes.Equal(parent, m.parentResult()):
		m.becomeOrdered(a, value)
		if why := m.keepValid(a); why != "" {
			m.missing(a, why)
			return
		}
		m.verdict(a, true, "")
	case s.decided:
		m.diverged(m.otherParent(parent))
	default:
		m.rejectProposal(a, m.otherParent(parent))
	}
}

func (m *Machine) otherParent(parent []byte) string {
	return fmt.Sprintf("it names the result 0x%x for block %d, here that is 0x%x", parent, m.height-1, m.parentResult())
}

// takeOrder takes the order of an attempt from the pool.
func (m *Machine) takeOrder(a *attempt) {
	l, p := m.options.Order, a.fromPool()
	most := l.Transactions
	if p.limit > 0 {
		most = min(most, p.limit)
	}
	if a.intake.kind == sealed {
		most = min(most, a.intake.budget)
	}
	gas, size := uint64(0), 0
	for len(a.order) < most {
		taken := m.take(a, min(m.options.Chunk, most-len(a.order)))
		if len(taken) == 0 {
			return
		}
		for _, item := range taken {
			sum, over := bits.Add64(gas, item.Tx.GetResourceBounds().GetL2GasAmount(), 0)
			gas, size = sum, size+proto.Size(item.Tx)+len(item.Class.GetDefinition())+len(item.Class.GetCasm())
			if len(a.order) > 0 && (size > l.Bytes || l.Gas > 0 && (over > 0 || gas > l.Gas)) {
				m.pool.Rewind(a.lease, len(a.order))
				return
			}
			a.order = append(a.order, item)
		}
	}
}

// decideOrder lets the order of an attempt be executed, as soon as the decision is durable. What consensus wants of the next height waits
// meanwhile.
func (m *Machine) decideOrder(a *attempt, d *ordov1.Action_Decide) {
	decided := Decided{Context: a.context, Items: a.order, Value: d.Value, Round: a.round, Degraded: a.degraded, Certificate: d.Certificate,
		FromPeer: a.source.borrowed(), Parent: m.parentResult()}
	if p := a.fromPeer(); p != nil {
		decided.Rest = p.proposal.Rest
	}
	if m.open != nil {
		m.becomeAbandoned(m.open)
	}
	for _, id := range slices.Sorted(maps.Keys(m.attempts)) {
		if other := m.attempts[id]; !other.state.ended() {
			m.becomeAbandoned(other)
		}
	}
	m.attempts = map[uint64]*attempt{}
	m.ordered = m.executing(&redoSource{block: &decided, ordered: true})
	m.emit(RecordDecision{m.height, decided})
}

// executing makes the attempt that builds a decided block, or executes a decided order. The results of an order are shown as they come if
// its transactions all wait in this node's pool; of others nothing is known, so they are shown with the block.
func (m *Machine) executing(s *redoSource) *attempt {
	d := s.block
	a := m.newAttempt(s, d.Round)
	a.context, a.degraded, a.order = d.Context, d.Degraded, d.Items
	if s.ordered {
		s.hidden = !m.waitHere(d.Items) || len(m.pool.Lease(a.lease, keys(d.Items))) < len(d.Items)
	} else if !d.FromPeer {
		m.pool.Lease(a.lease, keys(d.Items))
	}
	return a
}

// waitHere says whether the pool has these very transactions.
func (m *Machine) waitHere(items []Item) bool {
	for _, item := range items {
		if e := m.pool.Get(mempool.Key(item.Tx.Hash)); e == nil || !bytes.Equal(e.Tx.Signature, item.Tx.Signature) {
			return false
		}
	}
	return true
}

// decisionRecorded begins to execute the decided order.
func (m *Machine) decisionRecorded(height uint64) error {
	if m.ordered == nil || height != m.height || m.ordered.state != held {
		return fmt.Errorf("pipeline: a decision of block %d is recorded, and none is on its way: restart the node", height)
	}
	if !m.draining { // else it is executed after the restart
		m.open = m.ordered
	}
	return nil
}

// sameOrder says whether a decided order has its value, and stands on what this node has. If not, it has said so.
func (m *Machine) sameOrder(s *redoSource) bool {
	d := s.block
	switch value := orderValue(m.options.ChainID, d.Context, d.Parent, d.Items, d.Rest); {
	case !bytes.Equal(value, d.Value):
		why := fmt.Sprintf("0x%x was decided, the order that came with it is 0x%x", d.Value, value)
		if s.learned {
			m.emit(Unlearned{m.height, why})
		} else {
			m.fault = fmt.Errorf("pipeline: block %d: %s: the journal is damaged, or of another chain", m.height, why)
		}
		return false
	case !bytes.Equal(d.Parent, m.parentResult()):
		m.differentOrder(s, m.otherParent(d.Parent))
		return false
	}
	return true
}

// differentOrder takes that a decided order does not fit to this node's chain. What no certificate proves is the fault of the node that it
// came from; of what the validators decided it is this node that is wrong.
func (m *Machine) differentOrder(s *redoSource, why string) {
	switch a := m.open; {
	case !s.learned || s.proven:
		m.diverged(why)
	case a != nil && a.source == source(s):
		m.unlearn(a, why)
	default:
		m.emit(Unlearned{m.height, why})
	}
}

func (m *Machine) diverged(why string) {
	m.fault = fmt.Errorf("pipeline: the order of block %d is decided, and %s: this node has executed a block to something else than the others: compare the versions and settings of the execution plugins, then restore a backup or follow anew", m.height, why)
}

// incomplete says that an order has more transactions than came with it, although the block has room for all that came: another node
// has kept some back. It has ended the attempt then.
func (m *Machine) incomplete(a *attempt) bool {
	s := a.ordered()
	if s == nil || len(s.block.Rest) == 0 || a.state != running || len(a.results) < len(a.order) {
		return false
	}
	why := fmt.Sprintf("its order has %d transactions more than came with it, and the block has room for the next one", len(s.block.Rest)/sha256.Size)
	if s.learned {
		m.unlearn(a, why)
	} else {
		m.diverged(why)
	}
	return true
}

// outcome is what became of the order that an attempt has executed.
func (m *Machine) outcome(a *attempt) *Outcome {
	d := a.ordered().block
	o := &Outcome{Value: d.Value, Parent: d.Parent, Rest: d.Rest}
	for i, r := range a.results {
		if isRejected(r) {
			o.LeftOut = append(o.LeftOut, LeftOut{i, d.Items[i]})
		}
	}
	if n := len(a.results); n < len(d.Items) {
		o.LeftOut = append(o.LeftOut, LeftOut{n, d.Items[n]})
		o.Rest = append(appendDigests(nil, d.Items[n+1:]), d.Rest...)
	}
	return o
}

// Decided is the order that a block comes from.
func (c *Commit) Decided() Decided {
	d := Decided{Context: c.Header.Context, Items: slices.Clone(c.Items), Value: c.Order.Value, Round: c.Header.Round, Degraded: c.Header.Degraded,
		Certificate: c.Certificate, Parent: c.Order.Parent, Rest: c.Order.Rest}
	for _, left := range c.Order.LeftOut { // by rising place
		d.Items = slices.Insert(d.Items, left.Place, left.Item)
	}
	return d
}

// refused are the transactions that leave the pool with an attempt's block although they are not in it. Of a decided order those are all that
// execution rejected; what the pool has under the same hash with another signature stays.
func (m *Machine) refused(a *attempt) (refused []mempool.Rejected) {
	s := a.ordered()
	if s == nil {
		return a.rejected()
	}
	for i, r := range a.results {
		if e := m.pool.Get(mempool.Key(r.Hash)); e != nil && isRejected(r) && bytes.Equal(e.Tx.Signature, s.block.Items[i].Tx.Signature) {
			refused = append(refused, mempool.Rejected{Hash: mempool.Key(r.Hash), Code: r.Rejection, Why: &Rejection{r.Rejection, r.Reason}, Ordered: s.block.FromPeer})
		}
	}
	return refused
}
