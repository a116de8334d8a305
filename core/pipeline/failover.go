package pipeline

import (
	"bytes"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// stageDown takes that the process of a stage is gone. What it was asked is asked again when another one serves; what readers have seen stays as it was shown.
func (m *Machine) stageDown(in StageDown) error {
	if m.isDown(in.Stage) {
		return nil
	}
	m.down[in.Stage] = in.Why
	switch in.Stage {
	case ordov1.Stage_STAGE_EXECUTION:
		m.execution.instance++
		m.execution.adoption = adoptNext
		return m.executionDown(in)
	case ordov1.Stage_STAGE_CONSENSUS:
		m.detachConsensus()
	case ordov1.Stage_STAGE_STORAGE:
		m.storage.noRoom = ""
	}
	return nil
}

// executionDown interrupts the open attempt, and holds the end of execution against what it had not answered.
func (m *Machine) executionDown(in StageDown) error {
	c := cause{in.Why, failedWeight, in.Shared}
	if in.Forced {
		c.weight = endedWeight
	}
	switch a := m.open; {
	case a == nil:
	case a.state.streaming() || a.state == closing:
		return m.interrupt(a, c, true)
	case a.state.waiting() && !a.resume.unexplained.empty():
		return m.recordCrash(a, a.resume.unexplained, c)
	}
	return nil
}

// stageUp takes that a new process serves a stage.
func (m *Machine) stageUp(in StageUp) error {
	if !m.isDown(in.Stage) {
		return fmt.Errorf("pipeline: %v is up and was not down: restart the node", in.Stage)
	}
	delete(m.down, in.Stage)
	m.capabilities.set(in.Stage, in.Capabilities)
	switch in.Stage {
	case ordov1.Stage_STAGE_EXECUTION:
		if a := m.open; a != nil && a.state == checking && a.fromPeer().proposal != nil { // else its body is awaited
			m.emit(Check{a.build, a.fromPeer().proposal})
		}
	case ordov1.Stage_STAGE_CONSENSUS:
		m.beginConsensus()
	case ordov1.Stage_STAGE_STORAGE:
		return m.reconcileStorage(in)
	}
	return nil
}

// maybeAdopt lets a new execution adopt the last decided block, which storage must have by then.
func (m *Machine) maybeAdopt() {
	if m.execution.adoption == adoptNext && m.storage.committed == m.height-1 && !m.isDown(ordov1.Stage_STAGE_EXECUTION) && !m.isDown(ordov1.Stage_STAGE_STORAGE) {
		m.execution.adoption = adopting
		m.emit(Adopt{m.storage.committed})
	}
}

func (m *Machine) blockAdopted(height uint64) error {
	if m.execution.adoption != adopting || height > m.storage.committed {
		return fmt.Errorf("pipeline: execution adopted block %d unasked: restart the node", height)
	}
	m.execution.applied, m.execution.adoption = height, adopted
	if height != m.height-1 {
		m.execution.adoption = adoptNext
	}
	return nil
}

// reconcileStorage compares what a new storage holds with what the old one had answered, and goes on from there.
func (m *Machine) reconcileStorage(in StageUp) error {
	s := &m.storage
	if in.Head < s.committed {
		return fmt.Errorf("pipeline: storage came back at block %d: it had committed block %d: its data is lost or another one's: restore a backup", in.Head, s.committed)
	}
	for s.committed < in.Head {
		if len(s.pending) == 0 {
			return fmt.Errorf("pipeline: storage came back at block %d, which is not decided: another process writes to it", in.Head)
		}
		if c := s.pending[0]; c.Height == in.Head && !bytes.Equal(c.Header.PartialHash, in.Block) {
			return fmt.Errorf("pipeline: storage came back with 0x%x as block %d: decided is 0x%x: another process writes to it", in.Block, in.Head, c.Header.PartialHash)
		}
		m.stored()
	}
	if s.block != nil && !bytes.Equal(s.block, in.Block) {
		return fmt.Errorf("pipeline: storage came back with 0x%x as block %d: it was 0x%x: its data is another one's", in.Block, in.Head, s.block)
	}
	m.emit(FollowRoots{s.accepted + 1})
	for _, c := range s.pending {
		c.Again = true
		m.emit(c)
	}
	return nil
}
