package fakestage

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Ordering ranks by tip. The fields below Mu are read and written under it.
type Ordering struct {
	ordov1.UnimplementedOrderingServer
	Mu       sync.Mutex
	Down     bool   // every call fails
	Restless bool   // a new generation in each answer
	Calls    uint64 // that were answered
}

// Score implements ordov1.OrderingServer.
func (f *Ordering) Score(_ context.Context, r *ordov1.ScoreRequest) (*ordov1.ScoreResponse, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if f.Down {
		return nil, status.Error(codes.Unavailable, "ordering is gone")
	}
	f.Calls++
	out := &ordov1.ScoreResponse{Generation: 1}
	if f.Restless {
		out.Generation = f.Calls
	}
	for _, view := range r.Transactions {
		out.Hi = append(out.Hi, view.Tip)
	}
	return out, nil
}
