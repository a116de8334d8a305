package host

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/internal/grpcerr"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// sized is a plugin with gRPC's own limit of 4 MiB for what it receives, which answers with as many bytes as it is told.
type sized struct {
	ordov1.UnimplementedPluginServer
	ordov1.UnimplementedOrderingServer
	ordov1.UnimplementedConsensusServer
	answer int
}

func (s *sized) Configure(context.Context, *ordov1.ConfigureRequest) (*ordov1.ConfigureResponse, error) {
	return &ordov1.ConfigureResponse{Diagnostics: []*ordov1.Diagnostic{{Summary: strings.Repeat("a", s.answer)}}}, nil
}

func (s *sized) Score(context.Context, *ordov1.ScoreRequest) (*ordov1.ScoreResponse, error) {
	return &ordov1.ScoreResponse{Hi: make([]uint64, s.answer)}, nil
}

func (s *sized) Run(stream ordov1.Consensus_RunServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	return stream.Send(&ordov1.Actions{Actions: []*ordov1.Action{{Action: &ordov1.Action_Persist_{Persist: &ordov1.Action_Persist{Data: make([]byte, s.answer)}}}}})
}

// TestWhatIsTooLargeIsNamed: gRPC says the same of a request that the plugin does not take and of an answer that the node does not take;
// the error tells them apart, and names the plugin.
func TestWhatIsTooLargeIsNamed(t *testing.T) {
	plugin := &sized{}
	b := bounds{name: func() string { return "ordering/mine" }}
	conn := fakestage.Dial(t, func(s *grpc.Server) {
		ordov1.RegisterPluginServer(s, plugin)
		ordov1.RegisterOrderingServer(s, plugin)
		ordov1.RegisterConsensusServer(s, plugin)
	}, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(sdk.MaxMessage)), grpc.WithUnaryInterceptor(b.unary), grpc.WithStreamInterceptor(b.stream)) // as sdk.Dial
	run := func(data []byte) error {
		stream, err := ordov1.NewConsensusClient(conn).Run(t.Context())
		if err != nil {
			return err
		}
		_ = stream.Send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Message_{Message: &ordov1.ConsensusEvent_Message{Data: data}}})
		_, err = stream.Recv()
		return err
	}
	configure := func(size int) error {
		_, err := ordov1.NewPluginClient(conn).Configure(t.Context(), &ordov1.ConfigureRequest{Config: make([]byte, size)})
		return err
	}
	score := func(size int) error {
		_, err := ordov1.NewOrderingClient(conn).Score(t.Context(), &ordov1.ScoreRequest{Transactions: []*ordov1.TransactionView{{Hash: make([]byte, size)}}})
		return err
	}
	const large = 5 << 20
	for _, c := range []struct {
		name   string
		answer int
		call   func() error
		code   codes.Code
		want   string
	}{
		{"request", 0, func() error { return score(large) }, codes.ResourceExhausted, "ordering/mine: Score: the plugin does not take a request of this size"},
		{"answer", 2_200_000, func() error { return score(0) }, codes.DataLoss, "ordering/mine: Score: the answer is larger than the 16 MiB"},
		{"request, with equal limits", 0, func() error { return configure(large) }, codes.ResourceExhausted, "ordering/mine: Configure: the plugin does not take a request"},
		{"answer, with equal limits", large, func() error { return configure(0) }, codes.DataLoss, "ordering/mine: Configure: the answer is larger than the 4 MiB"},
		{"event", 0, func() error { return run(make([]byte, large)) }, codes.ResourceExhausted, "ordering/mine: Run: the plugin does not take a request"},
		{"actions", 65 << 20, func() error { return run(nil) }, codes.DataLoss, "ordering/mine: Run: the answer is larger than the 64 MiB"},
	} {
		plugin.answer = c.answer
		err := c.call()
		if status.Code(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if tooLarge := c.code == codes.ResourceExhausted; grpcerr.TooLarge(err) != tooLarge {
			t.Errorf("%s: taken for a message that is too large: %v", c.name, !tooLarge)
		}
	}
}
