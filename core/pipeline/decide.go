package pipeline

import (
	"bytes"
	"fmt"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func (m *Machine) decide(d *ordov1.Action_Decide) error {
	a := m.attempts[d.Attempt]
	switch {
	case a == nil:
		return fmt.Errorf("pipeline: consensus: decide: height %d has no attempt %d: the consensus plugin is broken", m.height, d.Attempt)
	case a.state != built:
		return fmt.Errorf("pipeline: consensus: decide: attempt %d of height %d is %s, neither built nor found valid: the consensus plugin is broken", d.Attempt, m.height, a.state)
	case !bytes.Equal(a.value(), d.Value):
		return fmt.Errorf("pipeline: consensus: decide: attempt %d of height %d has value %x, not %x: the consensus plugin is broken", d.Attempt, m.height, a.value(), d.Value)
	}
	if m.options.Lazy {
		m.decideOrder(a, d)
		return nil
	}
	return m.conclude(a, d.Certificate)
}

// conclude ends the height with an attempt.
func (m *Machine) conclude(a *attempt, certificate []byte) error {
	if m.open != nil {
		m.becomeAbandoned(m.open)
	}
	b := a.block
	var included []mempool.Key
	for _, item := range b.items {
		included = append(included, mempool.Key(item.Tx.Hash))
	}
	nonces, err := nonces(b.diff)
	if err != nil {
		return err
	}
	if dropped := m.pool.CommitBlock(m.height, included, m.refused(a), nonces); len(dropped) > 0 {
		m.emit(ReportDropped{dropped})
	}
	if b.instance == m.execution.instance && !m.isDown(ordov1.Stage_STAGE_EXECUTION) {
		m.emit(Apply{m.height, a.build})
	} else if m.execution.adoption == adopted {
		m.execution.adoption = adoptNext // the execution that closed it is gone: the next one takes the block from storage
	}
	commit := Commit{Own: !a.source.borrowed(), Height: m.height, Header: b.header, Items: b.items, Results: b.results, Diff: b.diff, Classes: b.classes, Certificate: certificate}
	value := b.header.PartialHash
	if s := a.ordered(); s != nil {
		value, commit.Order = s.block.Value, m.outcome(a)
	}
	m.storage.pending = append(m.storage.pending, commit)

	decided := &ordov1.ConsensusEvent_Decided{Height: m.height, Value: value, Pending: uint64(m.pool.Ready())}
	m.timestamp = a.context.Timestamp
	m.height++
	m.attempts, m.open, m.carried, m.ordered = map[uint64]*attempt{}, nil, nil, nil
	c := &m.consensus
	c.records, c.signed, c.blockRequested, c.bodies = nil, map[ballot][]byte{}, false, bodies{}
	c.parent = &ordov1.ConsensusEvent_Parent{Value: value, Certificate: certificate}
	// Before Commit, which is the driver's longest work: consensus thinks about the next height meanwhile.
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Decided_{Decided: decided}})
	m.emit(commit)
	m.consensus.announced = false
	return nil
}

// nonces reads the (address, nonce) pairs of a diff.
func nonces(diff *ordov1.StateDiff) (map[mempool.Key]uint64, error) {
	const pair = 64
	if len(diff.GetNonces())%pair != 0 {
		return nil, fmt.Errorf("pipeline: execution: state diff: nonces: %d bytes are not pairs of felts", len(diff.GetNonces()))
	}
	moved := make(map[mempool.Key]uint64, len(diff.GetNonces())/pair)
	for b := diff.GetNonces(); len(b) > 0; b = b[pair:] {
		n, ok := mempool.Nonce(b[32:pair])
		if !ok {
			return nil, fmt.Errorf("pipeline: execution: state diff: nonce of %x is out of range", b[:32])
		}
		moved[mempool.Key(b[:32])] = n
	}
	return moved, nil
}

// blockApplied takes that execution's tip is the next block.
func (m *Machine) blockApplied(height uint64) error {
	if height != m.execution.applied+1 || height >= m.height {
		return fmt.Errorf("pipeline: execution applied block %d: its tip was %d and block %d is not decided: restart the node", height, m.execution.applied, m.height)
	}
	m.execution.applied = height
	return nil
}

// blockCommitted takes that storage has the next block.
func (m *Machine) blockCommitted(height uint64) error {
	if height != m.storage.committed+1 || height >= m.height {
		return fmt.Errorf("pipeline: storage committed block %d: its head was %d and block %d is not decided: restart the node", height, m.storage.committed, m.height)
	}
	m.stored()
	return nil
}

// stored moves the head of storage to the oldest pending block.
func (m *Machine) stored() {
	s := &m.storage
	c := s.pending[0]
	s.pending = s.pending[1:]
	s.committed, s.block, s.noRoom = c.Height, c.Header.PartialHash, ""
	m.emit(Stored{c.Height, c.Header.PartialHash, c.Items})
}
