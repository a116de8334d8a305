// Package solo is the consensus of a chain with one sequencer: whatever it builds is decided at once. What remains to be
// said is when a block is made: as soon as there are transactions, on a timer, or on demand.
//
// It is a pure state machine, see sdk.Protocol. At any time at most one attempt is open. Its states:
//
//	Build ---(idle, deadline or full: the core seals it)--+
//	  |                                                   v
//	  +--- Seal (timer, demand) -----------------------> Built -> Decide -> Decided -> next height
//	                                                      |
//	                                                    Failed -> again: at once if it was only empty, else after a pause
package solo

import (
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Timers of the protocol.
const (
	timerTick  = 1 // interval: seal the open attempt
	timerRetry = 2 // build again after a failure
)

// Pauses after failures in a row: doubled from the first to the last.
const (
	firstPauseMs = 100
	lastPauseMs  = 5000
)

// Solo is the state machine of one Run stream.
type Solo struct {
	config Config
	now    uint64
	height uint64

	last    uint64 // number of the newest attempt
	stage   stage
	pending bool // there may be ready transactions that no attempt will take by itself

	// demands counts the blocks that the operator asked for and that no sealed attempt will yield.
	demands uint64
	// serving: the sealed attempt is the answer to a demand, so if it fails the demand is open again.
	serving bool

	allowedEmpty bool // of the open attempt

	tickAt  uint64 // interval: when the running tick is due
	pauseMs uint32 // before the next try; 0 when the last attempt went well
}

type stage int

const (
	waiting  stage = iota // no attempt: nothing to do
	building              // an attempt is open
	sealing               // we asked to close it
	deciding              // it is built, Decide is sent
	pausing               // it failed, timerRetry runs
)

// New makes the state machine; the configuration in Start, if there is one, replaces this one.
func New(c Config) *Solo { return &Solo{config: c} }

// Step implements sdk.Protocol.
func (s *Solo) Step(event *ordov1.ConsensusEvent) []*ordov1.Action {
	s.now = event.GetNowMs()
	switch e := event.GetEvent().(type) {
	case *ordov1.ConsensusEvent_Start_:
		return s.start(e.Start)
	case *ordov1.ConsensusEvent_Ready_:
		return s.ready()
	case *ordov1.ConsensusEvent_CreateBlock_:
		return s.demand()
	case *ordov1.ConsensusEvent_Timer_:
		return s.timer(e.Timer.GetId())
	case *ordov1.ConsensusEvent_Built_:
		return s.built(e.Built)
	case *ordov1.ConsensusEvent_Failed_:
		return s.failed(e.Failed)
	case *ordov1.ConsensusEvent_Decided_:
		return s.decided(e.Decided)
	}
	return nil // messages and verdicts: there is no other node
}

func (s *Solo) start(e *ordov1.ConsensusEvent_Start) []*ordov1.Action {
	if len(e.GetConfig()) > 0 {
		// Configure has refused what does not parse; keep what it accepted if a host sends something else here.
		if c, err := ParseConfig(e.GetConfig()); err == nil {
			s.config = c
		}
	}
	s.height = e.GetHeight()
	// Numbers of an instance before a restart must not come back within the height, and time has moved on since.
	s.last = s.now
	s.pending = e.GetPending() > 0
	s.tickAt = s.now + uint64(s.config.IntervalMs)
	return s.next()
}

func (s *Solo) ready() []*ordov1.Action {
	s.pending = true
	if s.stage == waiting {
		return s.next()
	}
	return nil // the open attempt takes it, or the core says again after Decided
}

func (s *Solo) demand() []*ordov1.Action {
	s.demands++
	switch s.stage {
	case waiting:
		return s.next()
	case building:
		return s.seal(nil)
	}
	return nil // an attempt that was sealed before the demand is not its answer: next() sees to it
}

func (s *Solo) timer(id uint64) []*ordov1.Action {
	switch {
	case id == timerTick && s.config.Mode == Interval && s.stage == building:
		return s.seal(nil)
	case id == timerRetry && s.stage == pausing:
		return s.next()
	}
	return nil
}

func (s *Solo) built(e *ordov1.ConsensusEvent_Built) []*ordov1.Action {
	if e.GetAttempt() != s.last || s.stage != building && s.stage != sealing {
		return nil // of an attempt that we gave up
	}
	s.stage = deciding
	return []*ordov1.Action{{Action: &ordov1.Action_Decide_{
		Decide: &ordov1.Action_Decide{Attempt: e.GetAttempt(), Value: e.GetValue()},
	}}}
}

func (s *Solo) decided(e *ordov1.ConsensusEvent_Decided) []*ordov1.Action {
	s.height = e.GetHeight() + 1
	s.pending = e.GetPending() > 0
	s.serving = false
	s.pauseMs = 0
	s.rearm()
	return s.next()
}

func (s *Solo) failed(e *ordov1.ConsensusEvent_Failed) []*ordov1.Action {
	if e.GetAttempt() != s.last || s.stage == waiting || s.stage == pausing {
		return nil
	}
	if s.serving {
		s.serving = false
		s.demands++
	}
	if e.GetEmpty() && !s.allowedEmpty { // the other kind of empty is a fault, and must not spin
		s.rearm()
		return s.next()
	}
	s.pending = true // what the attempt held is ready again
	s.pauseMs = min(max(2*s.pauseMs, firstPauseMs), lastPauseMs)
	s.stage = pausing
	return []*ordov1.Action{setTimer(timerRetry, s.pauseMs)}
}

// rearm sets when the next attempt is sealed by the timer. It keeps the rhythm, but when blocks take longer than the
// interval it leaves each at least half of it to fill.
func (s *Solo) rearm() {
	interval := uint64(s.config.IntervalMs)
	if soonest := s.now + (interval+1)/2; s.tickAt < soonest {
		s.tickAt = max(s.tickAt+interval, soonest)
	}
}

// next opens an attempt if there is a reason for one. No attempt is open.
func (s *Solo) next() []*ordov1.Action {
	if s.config.Mode == Transaction && !s.pending && s.demands == 0 {
		s.stage = waiting
		return nil
	}
	s.last++
	build := &ordov1.Action_Build{Attempt: s.last, AllowEmpty: s.demands > 0}
	switch s.config.Mode {
	case Transaction:
		// Under steady traffic the idle time never comes: the deadline bounds how long the first transaction waits.
		build.IdleMs, build.DeadlineMs = s.config.IdleMs, s.config.IntervalMs
		s.pending = false
	case Interval:
		build.AllowEmpty = build.AllowEmpty || s.config.EmptyBlocks
	case Demand:
		build.AllowEmpty = true
	}
	s.allowedEmpty = build.AllowEmpty
	s.stage = building
	actions := []*ordov1.Action{{Action: &ordov1.Action_Build_{Build: build}}}
	if s.demands > 0 {
		return s.seal(actions)
	}
	if s.config.Mode == Interval {
		after := uint64(1)
		if s.tickAt > s.now {
			after = s.tickAt - s.now
		}
		actions = append(actions, setTimer(timerTick, uint32(after)))
	}
	return actions
}

// seal asks to close the open attempt, which then answers one demand if there is one.
func (s *Solo) seal(actions []*ordov1.Action) []*ordov1.Action {
	s.stage = sealing
	if s.demands > 0 {
		s.demands--
		s.serving = true
	}
	return append(actions, &ordov1.Action{Action: &ordov1.Action_Seal_{Seal: &ordov1.Action_Seal{Attempt: s.last}}})
}

func setTimer(id uint64, afterMs uint32) *ordov1.Action {
	return &ordov1.Action{Action: &ordov1.Action_SetTimer_{SetTimer: &ordov1.Action_SetTimer{Id: id, AfterMs: afterMs}}}
}
