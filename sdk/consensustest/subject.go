package consensustest

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Subject is the protocol that is run.
type Subject struct {
	// Begin makes an instance; each node has one, and another after each restart.
	Begin func() (Instance, error)
	// Verify checks a certificate: nil, or why it proves nothing. It is nil when the protocol makes no certificates.
	Verify func(*ordov1.VerifyRequest) error
	// Config is the configuration in Start.
	Config []byte
	// Words shows a message of the protocol in transcripts; nil shows its bytes.
	Words func(message []byte) string
}

// Instance is one state machine.
type Instance interface {
	// Step answers an event. An error is a fault of the protocol.
	Step(event *ordov1.ConsensusEvent) ([]*ordov1.Action, error)
	Close()
}

// InProcess is a protocol in this process. The verifier is nil when it makes no certificates.
func InProcess(begin func() sdk.Protocol, verifier sdk.Verifier) Subject {
	s := Subject{Begin: func() (Instance, error) { return inProcess{begin()}, nil }}
	if verifier != nil {
		s.Verify = verifier.Verify
	}
	return s
}

type inProcess struct{ protocol sdk.Protocol }

func (p inProcess) Step(event *ordov1.ConsensusEvent) (actions []*ordov1.Action, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	return p.protocol.Step(event), nil
}

func (p inProcess) Lines() []sdk.LogLine {
	if logging, ok := p.protocol.(sdk.Logging); ok {
		return logging.Lines()
	}
	return nil
}

func (inProcess) Close() {}

// Over is a plugin process: each instance is a Run stream of it. Certificates says whether the plugin has the capability of this name.
func Over(conn grpc.ClientConnInterface, certificates bool) Subject {
	client := ordov1.NewConsensusClient(conn)
	s := Subject{Begin: func() (Instance, error) {
		ctx, cancel := context.WithCancel(context.Background())
		run, err := client.Run(ctx)
		if err != nil {
			cancel()
			return nil, err
		}
		return &stream{run: run, cancel: cancel}, nil
	}}
	if certificates {
		s.Verify = func(request *ordov1.VerifyRequest) error {
			answer, err := client.Verify(context.Background(), request)
			switch {
			case err != nil:
				return fmt.Errorf("verify: %w", err)
			case !answer.GetValid():
				return fmt.Errorf("%s", answer.GetReason())
			}
			return nil
		}
	}
	return s
}

type stream struct {
	run    ordov1.Consensus_RunClient
	cancel context.CancelFunc
}

func (s *stream) Step(event *ordov1.ConsensusEvent) ([]*ordov1.Action, error) {
	if err := s.run.Send(event); err != nil {
		_, err = s.run.Recv() // the reason
		return nil, err
	}
	answer, err := s.run.Recv()
	if err != nil {
		return nil, err
	}
	if answer.GetSeq() != event.GetSeq() {
		return nil, fmt.Errorf("event %d was answered as %d", event.GetSeq(), answer.GetSeq())
	}
	return answer.GetActions(), nil
}

func (s *stream) Close() { s.cancel() }
