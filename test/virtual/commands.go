package virtual

import (
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// restartTime is the longest time until another process of a plugin serves.
const restartTime = 20 * time.Millisecond

// carryOut does what the machine commands, in order.
func (n *node) carryOut(commands []pipeline.Command) {
	h := n.host
	for _, c := range commands {
		switch c := c.(type) {
		case pipeline.Tell:
			n.tell(c.Event)
		case pipeline.Send:
			for _, to := range h.Others() {
				if to.Validator() && (len(c.To) == 0 || to.HasKey(c.To)) {
					h.Send(to, consensustest.Message{Data: c.Data})
				}
			}
		case pipeline.Report:
			h.Reported(&ordov1.Action_Report{Kind: c.Kind, About: c.About, Data: c.Data})
		case pipeline.RefuseSignature:
			h.Note("a second text for kind %d of round %d is not signed", c.Kind, c.Round)
			h.Fail(consensustest.DoubleSign, "it wants to sign a second text as kind %d of round %d at height %d", c.Kind, c.Round, c.Height)
		case pipeline.RecordDecision:
			n.record(c)
		case pipeline.Persist:
			n.journal.persist(c)
		case pipeline.SetTimer:
			n.setTimer(c)
		case pipeline.CancelTimer:
			delete(n.timers, c.ID)

		case pipeline.Publish:
			n.publish(c)
		case pipeline.Keep:
			n.peers.bodies[string(c.Value)] = body{c.Height, c.Body, true}
		case pipeline.Fetch:
			n.fetch(c)
		case pipeline.Unlearned:
			h.Note("block %d that it learned is wrong: %s", c.Height, c.Why)
			n.peers.learning = 0

		case pipeline.Open:
			n.orders.open(c)
			n.execution.open(c)
		case pipeline.Add:
			n.orders.add(c, n.execution.handed(c.Build))
			n.execution.add(c, n.post)
		case pipeline.DropCandidates:
			n.orders.drop(len(c.Items))
		case pipeline.Close:
			n.execution.close(c, n.post)
		case pipeline.Abort:
			n.execution.abort(c.Build)
		case pipeline.Check:
			n.check(c)
		case pipeline.HashHeader:
			n.hashHeader(c)
		case pipeline.Apply:
			n.execution.apply(c, n.post)
		case pipeline.Adopt:
			n.execution.adopt(c, n.disk.stateAt(c.Height), n.post)

		case pipeline.Commit:
			n.commit(c)
		case pipeline.Stored:
			n.stored(c)
		case pipeline.ReportDropped:
			n.dropped(c.Dropped)

		case pipeline.Preconfirm, pipeline.ResetPreconfirmed, pipeline.Accept, pipeline.CulpritFound: // of readers, of which there are none
		case pipeline.SuspectStage:
			n.fault("it suspects %v, which has done nothing wrong: %s", c.Stage, c.Why)
		default:
			n.fault("the machine commands %T, which this core does not know", c)
		}
	}
}

// tell gives an event to the plugin.
func (n *node) tell(event *ordov1.ConsensusEvent) {
	if s := event.GetSigned(); s != nil && n.host.Does(consensustest.Refuse) {
		event = proto.CloneOf(event)
		event.GetSigned().Signature = nil
	}
	seq := event.Seq
	n.host.Step(event, func(actions []*ordov1.Action) {
		n.post(pipeline.Answered{Actions: &ordov1.Actions{Seq: seq, Actions: actions}})
	})
}

// sign signs, and tells the checkers what.
func (n *node) sign(message []byte) []byte {
	rest := message[len("ordo/sign/1")+1+len(consensustest.Chain):]
	n.host.Signed(binary.BigEndian.Uint64(rest), &ordov1.Action_Sign{Kind: binary.BigEndian.Uint32(rest[8:]), Round: binary.BigEndian.Uint32(rest[12:]), Data: rest[16:]})
	return n.host.Sign(message)
}

func (n *node) setTimer(c pipeline.SetTimer) {
	n.settings++
	setting := n.settings
	n.timers[c.ID] = setting
	n.host.After(time.Duration(c.AfterMs)*time.Millisecond, func() {
		if n.timers[c.ID] == setting {
			delete(n.timers, c.ID)
			n.post(pipeline.TimerFired{ID: c.ID})
		}
	})
}

// line is work that is done one after the other.
type line struct {
	host *consensustest.Host
	jobs []job
}

type job struct {
	takes func() time.Duration
	do    func()
}

// put adds work that takes so long from when it begins.
func (l *line) put(takes func() time.Duration, do func()) {
	l.jobs = append(l.jobs, job{takes, do})
	if len(l.jobs) == 1 {
		l.next()
	}
}

func (l *line) next() {
	first := l.jobs[0]
	l.host.After(first.takes(), func() {
		first.do()
		if l.jobs = l.jobs[1:]; len(l.jobs) > 0 {
			l.next()
		}
	})
}

func hex(b []byte) string { return fmt.Sprintf("%x", b[:min(4, len(b))]) }
