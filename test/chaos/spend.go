package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// spend is a round of its own: one stage ends more often than the budget allows. The node must stop and say whose budget
// it was; started again, it must have lost nothing.
func (r *nodeRound) spend(ctx context.Context, o options) error {
	const restarts = 2
	finish, end, err := r.begin(ctx, o, r.flags(restarts, "60s"))
	if end != nil {
		defer end()
	}
	if err != nil {
		return err
	}
	r.report.spent++
	random := rand.New(rand.NewPCG(r.seed, 0))
	stage := stages[random.IntN(len(stages))]
	if !sleep(ctx, 2*time.Second) {
		return nil
	}
	from := time.Now()
	first := r.node.current()
	for n := 0; n <= restarts; n++ {
		gone := map[int]bool{}
		s := strike{targets: []string{stage}}
		r.hit(ctx, s, gone)
		if n == restarts {
			break
		}
		if _, err := r.up(ctx, gone); err != nil {
			return fmt.Errorf("end %d of %s: %w", n+1, stage, err)
		}
		sleep(ctx, time.Duration(random.Int64N(int64(time.Second))))
	}
	select {
	case <-first.Done():
	case <-time.After(upLimit):
		r.fail("%s ended %d times, the budget is %d restarts: the node goes on", stage, restarts+1, restarts)
		r.revive(ctx)
	}
	if words := r.node.lastOutput(12); first.Err() == nil || !strings.Contains(words, stage+"/") {
		r.fail("%s spent its budget: the node ended with %v and does not name it:\n%s", stage, first.Err(), words)
	}
	if first.Ended() && r.node.current() == first {
		first.asked = true
		if err := r.relaunch(); err != nil {
			return err
		}
	}
	if _, err := r.up(ctx, nil); err != nil {
		return fmt.Errorf("after a spent budget: %w", err)
	}
	// The last end of the stage and the end of the core are one event after the other, and no single one.
	r.windows = append(r.windows, window{from: from, to: time.Now(), text: "budget of " + stage})
	sleep(ctx, time.Second)
	finish()
	if ctx.Err() == nil {
		r.judge(ctx, o)
	}
	return nil
}
