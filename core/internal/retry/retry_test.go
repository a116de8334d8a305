package retry

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAsk(t *testing.T) {
	away := status.Error(codes.Unavailable, "execution/blockifier: away, restarting")
	for _, c := range []struct {
		name    string
		answers []error // the last one repeats; nil: it is answered
		hang    bool
		want    string // empty: no error
		asked   int    // zero: any number
	}{
		{"an answer", []error{nil}, false, "", 1},
		{"back in time", []error{away, away, nil}, false, "", 3},
		{"away", []error{away}, false, "execution is restarting, try again", 0},
		{"back without a state", []error{away, status.Error(codes.FailedPrecondition, "there is no tip yet"), nil}, false, "", 3},
		{"never a state", []error{status.Error(codes.FailedPrecondition, "there is no tip yet")}, false, "execution is restarting, try again", 0},
		{"an error", []error{status.Error(codes.InvalidArgument, "no")}, false, "execution: rpc error: code = InvalidArgument desc = no", 1},
		{"silence", nil, true, "execution did not answer within 20ms, try again", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			err := Asker{Stage: "execution", Deadline: 20 * time.Millisecond, Grace: 100 * time.Millisecond}.Ask(t.Context(), func(ctx context.Context) error {
				asked++
				if c.hang {
					<-ctx.Done()
					return status.FromContextError(ctx.Err()).Err()
				}
				return c.answers[min(asked, len(c.answers))-1]
			})
			if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
				t.Errorf("got %v", err)
			}
			if c.asked > 0 && asked != c.asked || c.asked == 0 && asked < 3 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

// TestTheCallerLeaves: the question ends with its caller, whatever the stage does.
func TestTheCallerLeaves(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	err := Asker{Stage: "storage", Deadline: time.Hour, Grace: time.Hour}.Ask(ctx, func(context.Context) error { return status.Error(codes.Unavailable, "away") })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
