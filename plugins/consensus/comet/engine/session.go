package engine

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/bridge"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// session is one Run stream of the core, with the machine of the bridge.
type session struct {
	log   hclog.Logger
	start *ordov1.ConsensusEvent_Start
	bells chan bridge.Bell // what waits is lost at worst: it is rung again

	mu      sync.Mutex // of machine, and of sending: actions leave in the order of the machine
	machine *bridge.Machine
	stream  ordov1.Consensus_RunServer
	calls   uint64
	waiting chan bridge.Answer // of the open call

	ended chan struct{} // closed when the stream is over
}

// errEnded is the answer to a call of CometBFT after the end of the stream.
var errEnded = errors.New("the core's stream has ended")

// newSession takes the first event of a stream and answers it.
func newSession(log hclog.Logger, o bridge.Options, stream ordov1.Consensus_RunServer) (*session, error) {
	event, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if event.GetStart() == nil {
		return nil, status.Error(codes.FailedPrecondition, "run: Start is the first event of a stream")
	}
	s := &session{log: log, start: event.GetStart(), stream: stream, machine: bridge.New(o), bells: make(chan bridge.Bell, 4), ended: make(chan struct{})}
	s.step(bridge.Event{ConsensusEvent: event}, event.GetSeq())
	return s, nil
}

// receive gives events to the machine until the stream ends.
func (s *session) receive() error {
	for {
		event, err := s.stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case event.GetStart() != nil:
			return status.Error(codes.FailedPrecondition, "run: Start is the first event of a stream, and only the first")
		}
		s.step(bridge.Event{ConsensusEvent: event}, event.GetSeq())
	}
}

// step gives an input to the machine and carries out what it asks for. Actions answer the event seq, or none.
func (s *session) step(in bridge.Input, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stepLocked(in, seq)
}

func (s *session) stepLocked(in bridge.Input, seq uint64) {
	out := s.machine.Step(in)
	for _, text := range out.Log {
		s.log.Warn(text)
	}
	if seq > 0 || len(out.Actions) > 0 {
		_ = s.stream.Send(&ordov1.Actions{Seq: seq, Actions: out.Actions}) // receive gets the reason
	}
	if out.Answer != nil && s.waiting != nil {
		s.waiting <- *out.Answer
		s.waiting = nil
	}
	if out.Ring != bridge.NoBell {
		select {
		case s.bells <- out.Ring:
		default:
		}
	}
}

// ask makes a call of CometBFT an input and waits for its answer: until the limit, when there is one, or the end of the stream.
func (s *session) ask(limit time.Duration, in func(call uint64) bridge.Input) (bridge.Answer, error) {
	answer := make(chan bridge.Answer, 1)
	s.mu.Lock()
	s.calls++
	call := s.calls
	s.waiting = answer
	s.stepLocked(in(call), 0)
	s.mu.Unlock()
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	for {
		select {
		case a := <-answer:
			return a, nil
		case <-s.ended:
			return bridge.Answer{}, errEnded
		case <-late:
			late = nil
			s.step(bridge.Expired{Call: call}, 0)
		}
	}
}

// halt stops the node.
func (s *session) halt(reason string) {
	s.log.Error(reason)
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.stream.Send(&ordov1.Actions{Actions: []*ordov1.Action{{Action: &ordov1.Action_Halt_{Halt: &ordov1.Action_Halt{Reason: reason}}}}})
}

// end ends the open call and all later ones. It is called once.
func (s *session) end() { close(s.ended) }

// over says whether the stream is over.
func (s *session) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}
