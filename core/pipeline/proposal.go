package pipeline

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// futureMs is how far a proposer's clock may be ahead of ours.
const futureMs = 10_000

// checkProposal says what is wrong with a proposal at first sight, "" when nothing is.
func (m *Machine) checkProposal(p *ordov1.Proposal) string {
	own := m.context(m.now)
	c := p.Context
	switch {
	case c == nil:
		return "the proposal has no context"
	case c.Number != m.height:
		return fmt.Sprintf("the proposal is for height %d, not %d", c.Number, m.height)
	case p.N > uint64(len(p.Transactions)):
		return fmt.Sprintf("the proposal counts %d transactions and brings %d", p.N, len(p.Transactions))
	case c.Timestamp < m.timestamp:
		return "the proposal is older than its parent"
	case !m.options.Replay && c.Timestamp > own.Timestamp+futureMs/1000:
		return "the proposal is from the future"
	}
	if reason := differs(c, own); reason != "" && !m.options.Replay {
		return reason
	}
	seen := map[string]bool{}
	for _, tx := range p.Transactions {
		if len(tx.Hash) != len(mempool.Key{}) || seen[string(tx.Hash)] {
			return fmt.Sprintf("transaction %x is in the proposal twice, or its hash is not one", tx.Hash)
		}
		seen[string(tx.Hash)] = true
		if tx.Type == ordov1.TransactionType_L1_HANDLER && !m.options.Replay && !m.holds(tx) {
			return fmt.Sprintf("transaction %x is a message from L1 that this node has not seen, or not with this content", tx.Hash)
		}
	}
	return ""
}

// differs says what a context has that a block of this node would not have. The proposer chooses the time, and the hash of
// the block ten below is compared when the block is opened; all else is the configuration of the chain.
func differs(c, own *ordov1.BlockContext) string {
	switch {
	case c.StarknetVersion != own.StarknetVersion:
		return fmt.Sprintf("the proposal is of version %q, not %q", c.StarknetVersion, own.StarknetVersion)
	case !bytes.Equal(c.Sequencer, own.Sequencer):
		return fmt.Sprintf("the proposal pays its fees to 0x%x, not to the sequencer of this chain, 0x%x", c.Sequencer, own.Sequencer)
	case c.BlobDa != own.BlobDa:
		return "the proposal has another L1 data availability"
	case !proto.Equal(c.L1Gas, own.L1Gas) || !proto.Equal(c.L1DataGas, own.L1DataGas) || !proto.Equal(c.L2Gas, own.L2Gas):
		return "the proposal has other gas prices"
	}
	expected := proto.Clone(own).(*ordov1.BlockContext)
	expected.Timestamp, expected.OldBlockHash = c.Timestamp, c.OldBlockHash
	if !proto.Equal(c, expected) {
		return "the context of the proposal has fields that this node does not know"
	}
	return ""
}

// holds says whether the pool has this very transaction. A message from L1 has no signature that could be checked: only what
// this node has seen itself may be in a block.
func (m *Machine) holds(tx *ordov1.Transaction) bool {
	e := m.pool.Get(mempool.Key(tx.Hash))
	return e != nil && proto.Equal(e.Tx, tx)
}

// validate begins the attempt of a peer's proposal.
func (m *Machine) validate(v *ordov1.Action_Validate) error {
	s := &proposalSource{value: v.Value, proposal: &ordov1.Proposal{}}
	a, err := m.register(v.Attempt, s, v.Round)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(v.Proposal, s.proposal); err != nil {
		m.rejectProposal(a, "the proposal cannot be decoded")
		return nil
	}
	if reason := m.checkProposal(s.proposal); reason != "" {
		m.rejectProposal(a, reason)
		return nil
	}
	a.context, s.n = s.proposal.Context, int(s.proposal.N)
	// All that it lists runs, as it would if it came while the proposer still builds; n says where the block ends.
	for _, tx := range s.proposal.Transactions {
		a.order = append(a.order, Item{Tx: tx})
	}
	m.becomeChecking(a, s.proposal)
	return nil
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
