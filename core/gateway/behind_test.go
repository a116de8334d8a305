package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/internal/retry"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// TestARejectionOnAnOldState: while execution lacks a decided block it is asked once more before a transaction is rejected.
func TestARejectionOnAnOldState(t *testing.T) {
	asked := 0
	refuses := func(_ context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
		asked++
		out := accept(q)
		out.Verdicts[0].Rejection, out.Verdicts[0].Reason = ordov1.RejectionCode_VALIDATION_FAILURE, "not deployed"
		return out, nil
	}
	e, b := &fakestage.Questions{}, &basket{}
	g := startWithin(t, Limits{Grace: 200 * time.Millisecond}, e, b)
	present := g.chain.(*chainview.Chain)

	e.OnValidate = func(ctx context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
		if present.Behind() {
			time.AfterFunc(20*time.Millisecond, func() { present.Executed(7) })
			return refuses(ctx, q)
		}
		asked++
		return accept(q), nil
	}
	present.Unexecuted()
	if _, err := g.Submit(t.Context(), transaction("INVOKE")); err != nil || asked != 2 || len(b.taken) != 1 {
		t.Errorf("caught up: %v, asked %d times, %d taken", err, asked, len(b.taken))
	}

	e.OnValidate, asked = refuses, 0
	var refused *Rejection
	if _, err := g.Submit(t.Context(), transaction("INVOKE", "nonce", `"0x4"`)); !errors.As(err, &refused) || asked != 1 {
		t.Errorf("with nothing missing: %v, asked %d times", err, asked)
	}
	present.Unexecuted()
	asked = 0
	var away *retry.Down
	if _, err := g.Submit(t.Context(), transaction("INVOKE", "nonce", `"0x5"`)); !errors.As(err, &away) || asked != 1 {
		t.Errorf("never caught up: %v, asked %d times", err, asked)
	}
}
