package sdk

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/schema"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Protocol is a consensus protocol as a pure state machine. Step gets one event and returns what is to be done, in order.
// It is called by one goroutine at a time and must not know a clock, a socket, a file, a random number or a map's order:
// the same events give the same actions, on any machine. The first event of a Protocol is Start.
//
// An event that a protocol does not know (a later minor of the plugin protocol) is answered with no action. On gives each event to the
// function for it, Build, Decide and the other functions make actions, and a protocol that embeds Log writes lines without a logger.
type Protocol interface {
	Step(event *ordov1.ConsensusEvent) []*ordov1.Action
}

// Verifier checks certificates for a protocol. Verify returns nil when the certificate proves that the value was decided, else why it does
// not. It is pure, and everything in the request is from a stranger.
type Verifier interface {
	Verify(request *ordov1.VerifyRequest) error
}

// ServeProtocol serves a protocol: begin makes a new state machine for each Run stream, that is, after every restart.
// A part that also implements Configurer, Drainer or Verifier is given as part; nil is fine. A Verifier adds the capability certificates.
func ServeProtocol(d Description, part any, begin func() Protocol) *Service {
	h := &protocolService{begin: begin}
	if v, ok := part.(Verifier); ok {
		h.verifier = v
		if !slices.Contains(d.Capabilities, CapCertificates) {
			d.Capabilities = append(slices.Clone(d.Capabilities), CapCertificates)
		}
	}
	s := Consensus(d, h)
	h.rules, s.impl = s.rules, part
	s.logs = func(log hclog.Logger) { h.log.Store(&log) }
	return s
}

type protocolService struct {
	ordov1.UnimplementedConsensusServer
	begin    func() Protocol
	verifier Verifier // nil: no certificates
	rules    *schema.Schema
	log      atomic.Pointer[hclog.Logger] // nil before the service runs
}

// Verify says whether a certificate proves a decision.
func (h *protocolService) Verify(ctx context.Context, request *ordov1.VerifyRequest) (*ordov1.VerifyResponse, error) {
	if h.verifier == nil {
		return h.UnimplementedConsensusServer.Verify(ctx, request)
	}
	if err := h.verifier.Verify(request); err != nil {
		return &ordov1.VerifyResponse{Reason: err.Error()}, nil
	}
	return &ordov1.VerifyResponse{Valid: true}, nil
}

// Run answers each event with exactly one Actions of the same seq.
func (h *protocolService) Run(stream ordov1.Consensus_RunServer) error {
	protocol := h.begin()
	logging, _ := protocol.(Logging)
	lines := lineWriter{log: hclog.NewNullLogger()}
	if log := h.log.Load(); log != nil {
		lines.log = *log
	}
	started := false
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		start := event.GetStart()
		if (start != nil) == started {
			return status.Error(codes.FailedPrecondition, "run: Start is the first event of a stream, and only the first")
		}
		started = true
		if start != nil {
			if whole, problems := h.rules.Complete(start.Config); len(problems) == 0 {
				start.Config = whole // with the defaults, as in Configure
			}
		}
		lines.before(event)
		actions := &ordov1.Actions{Seq: event.GetSeq(), Actions: protocol.Step(event)}
		if logging != nil {
			lines.after(logging.Lines())
		}
		if err := stream.Send(actions); err != nil {
			return err
		}
	}
}
