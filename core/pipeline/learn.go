package pipeline

import ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"

// learn begins to execute a block that the other validators have decided, and whose certificate was found valid. Consensus is told
// when this node has come to the same value.
func (m *Machine) learn(in Learned) {
	if in.Height != m.height || m.draining || m.learning() || len(m.recovery.redo) > 0 {
		return
	}
	if m.open != nil {
		m.becomeAbandoned(m.open)
	}
	if m.carried != nil {
		m.becomeAbandoned(m.carried)
	}
	m.voidActions()
	d := in.Decided
	a := m.newAttempt(&redoSource{block: &d, learned: true}, d.Round)
	a.context, a.degraded, a.order = d.Context, d.Degraded, d.Items
	m.open = a
}

// learning says whether a learned block is being executed. What consensus wants at this height has no effect meanwhile.
func (m *Machine) learning() bool {
	if m.open == nil {
		return false
	}
	s, ok := m.open.source.(*redoSource)
	return ok && s.learned
}

// voidActions drops what consensus wants and what is not done yet.
func (m *Machine) voidActions() {
	c := &m.consensus
	for i := range c.writes {
		c.writes[i].sign = nil
	}
	todo, held := c.todo, c.held
	c.todo, c.held, c.signing = nil, nil, 0
	for _, action := range todo {
		m.runTimer(action)
	}
	for _, event := range held {
		m.tell(event)
	}
}

// runTimer carries out an action if it is about a timer: timers outlast a height.
func (m *Machine) runTimer(action *ordov1.Action) (done bool) {
	switch a := action.Action.(type) {
	case *ordov1.Action_SetTimer_:
		m.consensus.timers[a.SetTimer.Id] = true
		m.emit(SetTimer{TimerID{ConsensusTimer, a.SetTimer.Id}, a.SetTimer.AfterMs})
	case *ordov1.Action_CancelTimer_:
		delete(m.consensus.timers, a.CancelTimer.Id)
		m.emit(CancelTimer{TimerID{ConsensusTimer, a.CancelTimer.Id}})
	default:
		return false
	}
	return true
}
