package pipeline

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/big"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// defaultAheadMs is how far the time of a proposal may be ahead of this node's clock, as on Starknet.
const defaultAheadMs = 1000

// checkProposal says what is wrong with a proposal at first sight, "" when nothing is.
func (m *Machine) checkProposal(p *ordov1.Proposal, from []byte, decided bool) string {
	own := m.context(m.now)
	given := m.options.Replay || decided // what its proposer chose is as it is
	if n := &m.options.Network; len(n.Validators) > 0 && !given {
		proposer := n.validator(from)
		if proposer == nil {
			return fmt.Sprintf("its proposer 0x%x is not a validator", from)
		}
		own.Sequencer = proposer.Address
	}
	ahead := m.options.Proposals.AheadMs
	if ahead == 0 {
		ahead = defaultAheadMs
	}
	c := p.Context
	switch {
	case c == nil:
		return "the proposal has no context"
	case c.Number != m.height:
		return fmt.Sprintf("the proposal is for height %d, not %d", c.Number, m.height)
	case !m.options.Lazy && len(p.ParentResult)+len(p.Rest) > 0:
		return "the proposal is an order, and this network decides blocks (execution)"
	case m.options.Lazy && (p.N != uint64(len(p.Transactions)) || len(p.Rest) > 0 && !m.options.Replay):
		return fmt.Sprintf("the proposal does not list all of its order: it counts %d transactions and brings %d", p.N+uint64(len(p.Rest)/sha256.Size), len(p.Transactions))
	case p.N > uint64(len(p.Transactions)):
		return fmt.Sprintf("the proposal counts %d transactions and brings %d", p.N, len(p.Transactions))
	case c.Timestamp < m.timestamp:
		return "the proposal is older than its parent"
	case !given && c.Timestamp > own.Timestamp+(ahead+999)/1000:
		return fmt.Sprintf("the proposal is from the future: its time is %d, here it is %d (proposal.ahead)", c.Timestamp, own.Timestamp)
	}
	if reason := m.differs(c, own); reason != "" && !given {
		return reason
	}
	seen := map[string]bool{}
	for _, tx := range p.Transactions {
		if len(tx.Hash) != len(mempool.Key{}) || seen[string(tx.Hash)] {
			return fmt.Sprintf("transaction %x is in the proposal twice, or its hash is not one", tx.Hash)
		}
		seen[string(tx.Hash)] = true
		if tx.Type == ordov1.TransactionType_L1_HANDLER && !given && !m.holds(tx) {
			return fmt.Sprintf("transaction %x is a message from L1 that this node has not seen, or not with this content", tx.Hash)
		}
	}
	return ""
}

// differs says what a context has that a block of its proposer could not have. The proposer chooses the time, and L1 prices within a
// margin; the hash of the block ten below is compared when the block is opened; all else is the configuration of the chain.
func (m *Machine) differs(c, own *ordov1.BlockContext) string {
	percent := m.options.Proposals.PricePercent
	switch {
	case c.StarknetVersion != own.StarknetVersion:
		return fmt.Sprintf("the proposal is of version %q, not %q", c.StarknetVersion, own.StarknetVersion)
	case !bytes.Equal(c.Sequencer, own.Sequencer):
		return fmt.Sprintf("the proposal pays its fees to 0x%x, not to its proposer's address, 0x%x", c.Sequencer, own.Sequencer)
	case c.BlobDa != own.BlobDa:
		return "the proposal has another L1 data availability"
	case !proto.Equal(c.L2Gas, own.L2Gas):
		return "the proposal has another price of L2 gas"
	case !near(c.L1Gas, own.L1Gas, percent) || !near(c.L1DataGas, own.L1DataGas, percent):
		return fmt.Sprintf("the proposal has prices of L1 gas that are not within %d %% of this node's (proposal.price_percent)", percent)
	}
	expected := proto.Clone(own).(*ordov1.BlockContext)
	expected.Timestamp, expected.OldBlockHash, expected.L1Gas, expected.L1DataGas = c.Timestamp, c.OldBlockHash, c.L1Gas, c.L1DataGas
	if !proto.Equal(c, expected) {
		return "the context of the proposal has fields that this node does not know"
	}
	return ""
}

// near says whether prices are within a part of this node's, or one unit. The messages must be well formed: blocks store them.
func near(theirs, own *ordov1.GasPrice, percent uint64) bool {
	if proto.Equal(theirs, own) {
		return true
	}
	if theirs == nil || own == nil || len(theirs.ProtoReflect().GetUnknown()) > 0 {
		return false
	}
	for _, pair := range [][2][]byte{{theirs.Wei, own.Wei}, {theirs.Fri, own.Fri}} {
		if len(pair[0]) != len(pair[1]) {
			return false
		}
		a, b := new(big.Int).SetBytes(pair[0]), new(big.Int).SetBytes(pair[1])
		gap := a.Sub(a, b).Abs(a)
		if gap.Cmp(big.NewInt(1)) > 0 && gap.Mul(gap, big.NewInt(100)).Cmp(b.Mul(b, new(big.Int).SetUint64(percent))) > 0 {
			return false
		}
	}
	return true
}

// holds says whether the pool has this very transaction. A message from L1 has no signature that could be checked: only what
// this node has seen itself may be in a block.
func (m *Machine) holds(tx *ordov1.Transaction) bool {
	e := m.pool.Get(mempool.Key(tx.Hash))
	return e != nil && proto.Equal(e.Tx, tx)
}

// validate begins the attempt of a peer's proposal.
func (m *Machine) validate(v *ordov1.Action_Validate) error {
	a, err := m.register(v.Attempt, &proposalSource{value: v.Value, from: v.From, decided: v.Decided}, v.Round)
	if err != nil {
		return err
	}
	m.becomeChecking(a)
	if len(v.Proposal) == 0 {
		m.emit(Fetch{a.build, v.Value, v.From})
		return nil
	}
	m.examine(a, v.Proposal)
	return nil
}

// fetched takes the body of a proposal that was asked for by its value.
func (m *Machine) fetched(in Fetched) {
	a := m.open
	switch {
	case a == nil || a.build != in.Build || a.state != checking || a.fromPeer().proposal != nil: // abandoned meanwhile
	case len(in.Body) == 0:
		m.missProposal(a)
	default:
		a.fromPeer().fetched = in.Body
		m.examine(a, in.Body)
	}
}

// examine reads a proposal and has it checked.
func (m *Machine) examine(a *attempt, body []byte) {
	s, p := a.fromPeer(), &ordov1.Proposal{}
	if err := proto.Unmarshal(body, p); err != nil {
		m.rejectProposal(a, "the proposal cannot be decoded")
		return
	}
	if reason := m.checkProposal(p, s.from, s.decided); reason != "" {
		m.rejectProposal(a, reason)
		return
	}
	a.context, s.proposal, s.n = p.Context, p, int(p.N)
	// All that it lists runs, as it would if it came while the proposer still builds; n says where the block ends.
	for _, tx := range p.Transactions {
		a.order = append(a.order, Item{Tx: tx})
	}
	m.emit(Check{a.build, p})
}

// checked takes the compiled classes of a peer's proposal, or why it is invalid.
func (m *Machine) checked(in Checked) error {
	a := m.open
	if a == nil || a.build != in.Build || a.state != checking {
		return nil // abandoned meanwhile
	}
	if in.Invalid != "" {
		m.rejectProposal(a, in.Invalid)
		return nil
	}
	for i := range a.order {
		if tx := a.order[i].Tx; tx.Type == ordov1.TransactionType_DECLARE && len(tx.ClassHash) == len(mempool.Key{}) {
			a.order[i].Class = in.Classes[mempool.Key(tx.ClassHash)]
		}
	}
	m.becomeHeld(a)
	return nil
}
