package pipeline

import (
	"bytes"
	"fmt"
)

// recovery is what is left to do of what was under way before a restart.
type recovery struct {
	redo  []Decided // blocks to be built again before consensus begins
	order *Order    // taken over when the machine is at its height
}

// nextRedo builds the next of the blocks that were decided before a restart again; after the last, consensus begins.
func (m *Machine) nextRedo() {
	if len(m.recovery.redo) == 0 {
		if o := m.recovery.order; o != nil && len(o.Items) > 0 && o.Context.GetNumber() == m.height {
			m.carried = m.newAttempt(&poolSource{}, 0)
			m.carried.context, m.carried.order, m.carried.degraded = o.Context, o.Items, o.Degraded
		}
		m.recovery.order = nil
		m.beginConsensus()
		return
	}
	d := &m.recovery.redo[0]
	source := &redoSource{block: d, ordered: m.options.Lazy}
	if source.ordered && !m.sameOrder(source) {
		return
	}
	a := m.executing(source)
	m.open = a
}

// redone takes a block that was decided and is built.
func (m *Machine) redone(a *attempt) error {
	d, source := a.redo(), a.source.(*redoSource)
	same := source.ordered || bytes.Equal(a.block.header.PartialHash, d.Value)
	if source.learned {
		if !same {
			m.unlearn(a, fmt.Sprintf("0x%x there, 0x%x here", d.Value, a.block.header.PartialHash))
			return nil
		}
		m.voidActions()
		if err := m.conclude(a, d.Certificate); err != nil {
			return err
		}
		m.consensus.learned = m.consensus.seq
		if m.consensus.startDeferred {
			m.beginConsensus()
		}
		return nil
	}
	if !same {
		return fmt.Errorf("pipeline: block %d was decided as 0x%x before the restart, built again it is 0x%x: start with the execution plugin and the configuration that built it", m.height, d.Value, a.block.header.PartialHash)
	}
	if err := m.conclude(a, d.Certificate); err != nil {
		return err
	}
	if len(m.recovery.redo) == 0 { // an order that was decided by now
		if m.consensus.startDeferred {
			m.beginConsensus()
		}
		return m.runActions()
	}
	m.recovery.redo = m.recovery.redo[1:]
	m.nextRedo()
	return nil
}
