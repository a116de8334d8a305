package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestCatchUpGoesOnAtRest: a chain that rests brings no new head. A node that is behind fetches again all the same after what went wrong, with
// pauses that grow, until it has the whole chain; then it rests too.
func TestCatchUpGoesOnAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const head = 9
		var next atomic.Uint64
		next.Store(4)
		var tried []time.Duration
		began := time.Now()
		ahead := make(chan struct{}, 1)
		c := &catchUp{log: hclog.NewNullLogger(), ahead: ahead, next: next.Load, lag: func() int64 { return lagOf(head, next.Load()) },
			await: func(ctx context.Context, number uint64) { <-ctx.Done() },
			fetch: func(_ context.Context, from uint64) error {
				tried = append(tried, time.Since(began))
				switch len(tried) {
				case 1, 2, 3:
					return errors.New("execution is down")
				case 4:
					next.Store(6) // some blocks, and then all peers are passed over
					return nil
				}
				next.Store(head + 1)
				return nil
			}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.run(ctx) }()
		time.Sleep(time.Minute)
		if len(tried) > 0 {
			t.Errorf("no peer is ahead, and blocks were asked for after %s", tried)
		}
		ahead <- struct{}{}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(tried) != 5 {
			t.Fatalf("tried after %s", tried)
		}
		for i, pause := range []time.Duration{100, 200, 400, 100} {
			if got := tried[i+1] - tried[i] - patience; got != pause*time.Millisecond {
				t.Errorf("pause %d is %s, want %s", i, got, pause*time.Millisecond)
			}
		}
		cancel()
		<-done
	})
}
