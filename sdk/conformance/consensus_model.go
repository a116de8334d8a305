package conformance

import (
	"fmt"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func open(t *testing.T, i *Instance) ordov1.Consensus_RunClient {
	t.Helper()
	stream, err := ordov1.NewConsensusClient(i.Conn).Run(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// attempt is an open attempt in the books of the model core.
type attempt struct {
	build  *ordov1.Action_Build
	sealed bool
	opened uint64
}

// closes tells whether the attempt ends without a Seal.
func (a *attempt) closes() bool {
	return a.sealed || a.build.GetDeadlineMs() > 0 || a.build.GetIdleMs() > 0
}

// core is the other end of a Run stream: what a node does, without transactions, in virtual time.
type core struct {
	t       *testing.T
	stream  ordov1.Consensus_RunClient
	seq     uint64
	now     uint64
	height  uint64
	ready   uint64 // transactions in the pool
	open    *attempt
	built   map[uint64]string // attempt -> value, of this height
	used    map[uint64]bool   // attempts of this height
	timers  map[uint64]uint64 // id -> due
	events  []*ordov1.ConsensusEvent
	answers []*ordov1.Actions
	unsaid  []*ordov1.Action_Sign // of the answer that is looked at
}

func begin(t *testing.T, s Subject, i *Instance, height, pending uint64) *core {
	c := &core{t: t, stream: open(t, i), height: height, ready: pending, now: 1_000_000,
		built: map[uint64]string{}, used: map[uint64]bool{}, timers: map[uint64]uint64{}}
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Start_{
		Start: &ordov1.ConsensusEvent_Start{Height: height, Pending: pending, Config: s.Config}}})
	return c
}

// send gives an event to the plugin and takes its actions into the books.
func (c *core) send(e *ordov1.ConsensusEvent) {
	c.t.Helper()
	c.seq++
	e.Seq, e.NowMs = c.seq, c.now
	c.events = append(c.events, e)
	if err := c.stream.Send(e); err != nil {
		c.t.Fatal(err)
	}
	actions, err := c.stream.Recv()
	if err != nil {
		c.t.Fatalf("event %v: %v", e, err)
	}
	if actions.GetSeq() != c.seq {
		c.t.Fatalf("event %d was answered as %d", c.seq, actions.GetSeq())
	}
	c.answers = append(c.answers, actions)
	for _, a := range actions.GetActions() {
		c.act(a)
	}
	for len(c.unsaid) > 0 {
		sign := c.unsaid[0]
		c.unsaid = c.unsaid[1:]
		c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Signed_{Signed: &ordov1.ConsensusEvent_Signed{Id: sign.GetId()}}}) // refused: it is no validator
	}
}

// learn tells that the others have decided the height.
func (c *core) learn() {
	c.t.Helper()
	decided := &ordov1.ConsensusEvent_Decided{Height: c.height, Value: []byte("of others"), Pending: c.ready}
	c.height++
	c.open, c.built, c.used = nil, map[uint64]string{}, map[uint64]bool{}
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Decided_{Decided: decided}})
	if c.ready > 0 {
		c.send(readyEvent(c.ready))
	}
}

func (c *core) act(action *ordov1.Action) {
	c.t.Helper()
	switch a := action.GetAction().(type) {
	case *ordov1.Action_Build_:
		if c.used[a.Build.GetAttempt()] {
			c.t.Fatalf("attempt %d is used twice at height %d", a.Build.GetAttempt(), c.height)
		}
		c.used[a.Build.GetAttempt()] = true
		c.open = &attempt{build: a.Build, opened: c.now}
	case *ordov1.Action_Seal_:
		if !c.used[a.Seal.GetAttempt()] {
			c.t.Fatalf("seal of attempt %d, which height %d does not have", a.Seal.GetAttempt(), c.height)
		}
		if c.open != nil && c.open.build.GetAttempt() == a.Seal.GetAttempt() {
			c.open.sealed = true
		}
	case *ordov1.Action_Abandon_:
		if c.open != nil && c.open.build.GetAttempt() == a.Abandon.GetAttempt() {
			c.open = nil
		}
	case *ordov1.Action_Decide_:
		value, ok := c.built[a.Decide.GetAttempt()]
		if !ok || value != string(a.Decide.GetValue()) {
			c.t.Fatalf("decides attempt %d as %q at height %d, where it was built as %q", a.Decide.GetAttempt(), a.Decide.GetValue(), c.height, value)
		}
		decided := &ordov1.ConsensusEvent_Decided{Height: c.height, Value: a.Decide.GetValue(), Pending: c.ready}
		c.height++
		c.open, c.built, c.used = nil, map[uint64]string{}, map[uint64]bool{}
		c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Decided_{Decided: decided}})
		if c.ready > 0 {
			c.send(readyEvent(c.ready))
		}
	case *ordov1.Action_SetTimer_:
		c.timers[a.SetTimer.GetId()] = c.now + uint64(a.SetTimer.GetAfterMs())
	case *ordov1.Action_CancelTimer_:
		delete(c.timers, a.CancelTimer.GetId())
	case *ordov1.Action_Send_, *ordov1.Action_Persist_, *ordov1.Action_Report_:
	case *ordov1.Action_Sign_:
		c.unsaid = append(c.unsaid, a.Sign)
	case *ordov1.Action_Halt_:
		c.t.Fatalf("halts the node: %s", a.Halt.GetReason())
	case *ordov1.Action_Validate_:
		c.t.Fatal("validates a proposal although no peer sent one")
	default:
		c.t.Fatalf("an action without content: %v", action)
	}
}

func readyEvent(n uint64) *ordov1.ConsensusEvent {
	return &ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Ready_{Ready: &ordov1.ConsensusEvent_Ready{Pending: n}}}
}

// arrive puts transactions into the pool.
func (c *core) arrive(n uint64) {
	c.t.Helper()
	was := c.ready
	c.ready += n
	if was == 0 && c.ready > 0 {
		c.send(readyEvent(c.ready))
	}
}

func (c *core) demand() {
	c.t.Helper()
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_CreateBlock_{CreateBlock: &ordov1.ConsensusEvent_CreateBlock{}}})
}

// fail ends the open attempt without a value.
func (c *core) fail(empty bool) {
	c.t.Helper()
	failed := &ordov1.ConsensusEvent_Failed{Attempt: c.open.build.GetAttempt(), Reason: "test", Empty: empty}
	c.open = nil
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Failed_{Failed: failed}})
}

// until lets time pass until the wish comes true: an attempt that has to close closes, the next timer fires.
func (c *core) until(wish func() bool, what string) {
	c.t.Helper()
	for range 200 {
		if wish() {
			return
		}
		if !c.advance() {
			break
		}
	}
	if !wish() {
		c.t.Fatalf("does not %s: height %d, %d ready, open %v, timers %v", what, c.height, c.ready, c.open, c.timers)
	}
}

// advance does the next thing that would happen by itself.
func (c *core) advance() bool {
	c.t.Helper()
	if a := c.open; a != nil && (a.sealed || a.build.GetIdleMs() > 0 && c.ready > 0 || a.build.GetDeadlineMs() > 0) {
		c.close(a)
		return true
	}
	var id, due uint64
	for k, at := range c.timers {
		if due == 0 || at < due || at == due && k < id {
			id, due = k, at
		}
	}
	if due == 0 {
		return false
	}
	c.now = max(c.now, due)
	delete(c.timers, id)
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: id}}})
	return true
}

// close ends an attempt as a core does: with what is ready, or as empty.
func (c *core) close(a *attempt) {
	c.t.Helper()
	switch {
	case a.sealed:
	case a.build.GetIdleMs() > 0 && c.ready > 0:
		c.now += uint64(a.build.GetIdleMs())
	default:
		c.now = max(c.now, a.opened+uint64(a.build.GetDeadlineMs()))
	}
	if c.ready == 0 && !a.build.GetAllowEmpty() {
		c.fail(true)
		return
	}
	n := c.ready
	if limit := uint64(a.build.GetMaxTransactions()); limit > 0 {
		n = min(n, limit)
	}
	c.ready -= n
	number := a.build.GetAttempt()
	value := fmt.Sprintf("block %d of attempt %d", c.height, number)
	c.built[number] = value
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Built_{
		Built: &ordov1.ConsensusEvent_Built{Attempt: number, Value: []byte(value), N: n}}})
}
