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
	case a.stage != done:
		return fmt.Errorf("pipeline: consensus: decide: attempt %d of height %d is %s, neither built nor found valid: the consensus plugin is broken", d.Attempt, m.height, a.stage)
	case !bytes.Equal(a.header.PartialHash, d.Value):
		return fmt.Errorf("pipeline: consensus: decide: attempt %d of height %d has value %x, not %x: the consensus plugin is broken", d.Attempt, m.height, a.header.PartialHash, d.Value)
	}
	return m.conclude(a, d.Certificate)
}

// conclude ends the height with an attempt.
func (m *Machine) conclude(a *attempt, certificate []byte) error {
	if m.open != nil {
		m.drop(m.open)
	}
	var included []mempool.Key
	for _, item := range a.inside {
		included = append(included, mempool.Key(item.Tx.Hash))
	}
	nonces, err := nonces(a.diff)
	if err != nil {
		return err
	}
	if dropped := m.pool.CommitBlock(m.height, included, a.rejected(), nonces); len(dropped) > 0 {
		m.emit(ReportDropped{dropped})
	}
	if a.life == m.life && !m.isDown(ordov1.Stage_STAGE_EXECUTION) {
		m.emit(Apply{m.height, a.build})
	} else {
		m.adopt = true // the execution that closed it is gone: the next one takes the block from storage
	}
	commit := Commit{Own: !a.borrowed(), Height: m.height, Header: a.header, Items: a.inside, Results: a.kept, Diff: a.diff, Classes: a.classes, Certificate: certificate}
	m.pending = append(m.pending, commit)

	decided := &ordov1.ConsensusEvent_Decided{Height: m.height, Value: a.header.PartialHash, Pending: uint64(m.pool.Ready())}
	m.timestamp = a.context.Timestamp
	m.height++
	m.attempts, m.open, m.carried = map[uint64]*attempt{}, nil, nil
	m.log, m.blockRequested = nil, false
	// Before Commit, which is the driver's longest work: consensus thinks about the next height meanwhile.
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Decided_{Decided: decided}})
	m.emit(commit)
	m.announced = false
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

// stored: storage has the oldest pending block.
func (m *Machine) stored() {
	c := m.pending[0]
	m.pending = m.pending[1:]
	m.committed, m.block, m.noRoom = c.Height, c.Header.PartialHash, ""
	m.emit(Stored{c.Height, c.Items})
}
