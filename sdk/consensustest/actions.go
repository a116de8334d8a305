package consensustest

import (
	"bytes"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// maxSend is the most bytes of a message.
const maxSend = 1 << 20

// runActions carries out actions up to the next barrier. They wait while a block of a peer is executed.
func (n *node) runActions() {
	for len(n.todo) > 0 && n.learning == nil && !n.barrier() && n.w.failure == nil && n.up() {
		action := n.todo[0]
		n.todo = n.todo[1:]
		n.run(action)
	}
}

func (n *node) runTimer(action *ordov1.Action) bool {
	switch a := action.GetAction().(type) {
	case *ordov1.Action_SetTimer_:
		n.settings++
		id, setting := a.SetTimer.Id, n.settings
		n.timers[id] = setting
		n.w.after(time.Duration(a.SetTimer.AfterMs)*time.Millisecond, n, func() {
			if n.timers[id] == setting {
				delete(n.timers, id)
				n.failedAt = -1
				n.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: id}}})
			}
		})
	case *ordov1.Action_CancelTimer_:
		delete(n.timers, a.CancelTimer.Id)
	default:
		return false
	}
	return true
}

func (n *node) run(action *ordov1.Action) {
	if n.runTimer(action) {
		return
	}
	switch a := action.GetAction().(type) {
	case *ordov1.Action_Build_:
		n.build(a.Build)
	case *ordov1.Action_Seal_:
		switch attempt := n.attempts[a.Seal.Attempt]; {
		case attempt == nil:
			n.fault("seal: height %d has no attempt %d", n.height, a.Seal.Attempt)
		case attempt == n.open && attempt.state == building && !attempt.sealed:
			n.seal(attempt)
		}
	case *ordov1.Action_Abandon_:
		if attempt := n.attempts[a.Abandon.Attempt]; attempt != nil {
			n.abandon(attempt)
		}
	case *ordov1.Action_Validate_:
		n.validate(a.Validate)
	case *ordov1.Action_Decide_:
		n.decide(a.Decide)
	case *ordov1.Action_Send_:
		n.sendMessage(a.Send)
	case *ordov1.Action_Persist_:
		n.write(write{record: a.Persist.Data, lasting: a.Persist.Lasting})
	case *ordov1.Action_Sign_:
		n.sign(a.Sign)
	case *ordov1.Action_Report_:
		n.w.checks.reported(n, a.Report)
	case *ordov1.Action_Halt_:
		n.stop(Halted, "it halts: "+a.Halt.Reason)
	default:
		n.fault("an action without content")
	}
}

// fault is an action that a core refuses.
func (n *node) fault(format string, args ...any) { n.w.fail(ProtocolFault, n, format, args...) }

// stop ends the core for good.
func (n *node) stop(checker Checker, why string) {
	n.stopped = why
	n.w.recorder.note(n.w, n, "stops: %s", why)
	if n.honest {
		n.w.fail(checker, n, "%s", why)
	}
}

func (n *node) sendMessage(s *ordov1.Action_Send) {
	if len(s.Data) > maxSend {
		n.fault("send: a message of %d bytes, at most %d can be sent", len(s.Data), maxSend)
		return
	}
	n.others(func(to *node) {
		if to.signs() && (len(s.To) == 0 || bytes.Equal(s.To, to.key.public)) {
			n.send(to, Message{s.Data})
		}
	})
}

func (n *node) decide(d *ordov1.Action_Decide) {
	a := n.attempts[d.Attempt]
	switch {
	case a == nil:
		n.fault("decide: height %d has no attempt %d", n.height, d.Attempt)
	case a.state != built:
		n.fault("decide: attempt %d of height %d is %s, neither built nor found valid", d.Attempt, n.height, a.state)
	case !bytes.Equal(a.value, d.Value):
		n.fault("decide: attempt %d of height %d has value %x, not %x", d.Attempt, n.height, a.value, d.Value)
	default:
		if n.w.subject.Verify != nil && n.honest {
			n.w.checks.certificate(n, n.height, d.Value, d.Certificate)
		}
		n.conclude(block{n.height, a.value, a.body, d.Certificate})
	}
}

// conclude ends the height with a block and tells the protocol.
func (n *node) conclude(b block) {
	n.w.checks.decided(n, b.height, b.value, n.honestValue(b))
	n.write(write{decided: &b})
	n.chain = append(n.chain, b)
	n.include(b.body)
	pool := n.pool[:0]
	for _, id := range n.pool {
		if !n.included[id] {
			pool = append(pool, id)
		}
	}
	n.pool = pool
	n.height++
	n.signed = map[ballot][]byte{}
	n.forgetAttempts()
	for value, have := range n.bodies {
		if have.height < n.height {
			delete(n.bodies, value)
		}
	}
	decided := &ordov1.ConsensusEvent_Decided{Height: b.height, Value: b.value, Pending: uint64(len(n.pool))}
	n.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Decided_{Decided: decided}})
	n.announced = false
	n.announce()
}
