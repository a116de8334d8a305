package pipeline

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// ReadLearned reads the body of a block that other nodes have decided, and says what is wrong with it at first sight, "" when nothing is.
func ReadLearned(height uint64, value, body []byte) (p *ordov1.Proposal, why string) {
	p = &ordov1.Proposal{}
	switch err := proto.Unmarshal(body, p); {
	case err != nil:
		return nil, "its body cannot be decoded"
	case p.Context.GetNumber() != height:
		return nil, fmt.Sprintf("its body is of block %d", p.Context.GetNumber())
	case len(value) != len(mempool.Key{}):
		return nil, fmt.Sprintf("its value has %d bytes", len(value))
	case p.N != uint64(len(p.Transactions)):
		return nil, fmt.Sprintf("its body lists %d transactions and counts %d", len(p.Transactions), p.N)
	}
	return p, ""
}

// CheckLearned says why a proposal cannot be the next block, "" when it can: what does not depend on its transactions.
func (m *Machine) CheckLearned(p *ordov1.Proposal) string {
	c := p.Context
	old, _ := m.oldHash()
	switch {
	case c.GetNumber() != m.height:
		return fmt.Sprintf("it is block %d, block %d is next", c.GetNumber(), m.height)
	case c.Timestamp < m.timestamp:
		return "it is older than its parent"
	case len(old) > 0 && !bytes.Equal(c.OldBlockHash, old):
		return fmt.Sprintf("it names another hash for block %d", m.height-hashLag)
	}
	return ""
}

// learn begins to execute a block that other nodes have decided. What consensus wants waits meanwhile; it is told when this node has come to the
// same value.
func (m *Machine) learn(in Learned) {
	if in.Height != m.height || m.draining || m.learning() || m.ordered != nil || len(m.recovery.redo) > 0 {
		return
	}
	d := in.Decided
	source := &redoSource{block: &d, learned: true, proven: in.Proven, ordered: m.options.Lazy}
	if source.ordered && !m.sameOrder(source) {
		return
	}
	if a := m.open; a != nil {
		if m.becomeAbandoned(a); m.attempts[a.id] == a {
			m.consensus.lost = a
		}
	}
	if m.carried != nil {
		m.becomeAbandoned(m.carried)
	}
	m.open = m.executing(source)
}

// unlearn lets go of a learned block that came to something else here. A certificate proves a value and not the body that came with it, so the
// node that sent them may be wrong in any case, and must not be able to stop this one.
func (m *Machine) unlearn(a *attempt, why string) {
	if a.source.(*redoSource).proven {
		why += "; the validators decided the value: the body is of another block, or this node has another execution, configuration or state"
	}
	m.becomeAbandoned(a)
	m.emit(Unlearned{m.height, why})
	c := &m.consensus
	if c.startDeferred {
		m.beginConsensus()
	}
	if lost := c.lost; lost != nil {
		c.lost, c.announced = nil, false
		m.becomeFailed(lost)
		m.tellFailed(lost, "it was abandoned for a block that a peer said was decided", false)
	}
	if err := m.runActions(); err != nil && m.fault == nil {
		m.fault = err
	}
}

// learning says whether a learned block is being executed.
func (m *Machine) learning() bool {
	if m.open == nil {
		return false
	}
	s, ok := m.open.source.(*redoSource)
	return ok && s.learned
}

// voidActions drops what consensus wants at this height and what is not done yet.
func (m *Machine) voidActions() {
	c := &m.consensus
	for i := range c.writes {
		c.writes[i].sign = nil
	}
	todo, held := c.todo, c.held
	c.todo, c.held, c.signing, c.lost = nil, nil, 0, nil
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
