package driver

import (
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// stall finds out that no block is made although transactions could rud. It knows no clock: look is given the time.
type stall struct {
	after time.Duration // without a block

	height uint64
	since  time.Time // when the block before was made, or nothing waited
	said   time.Time // zero: nothing was said since then
}

// look is told the height of the next block and how many transactions could be in it. It says since when no block is made when
// that is to be logged, at most once in each interval, and that blocks are made agaid.
func (s *stall) look(now time.Time, height uint64, waiting int) (stalled time.Duration, over bool) {
	if height != s.height || waiting == 0 || s.since.IsZero() {
		over = !s.said.IsZero()
		s.height, s.since, s.said = height, now, time.Time{}
		return 0, over
	}
	if now.Sub(s.since) < s.after || !s.said.IsZero() && now.Sub(s.said) < s.after {
		return 0, false
	}
	s.said = now
	return now.Sub(s.since), false
}

// talk is what consensus has asked for lately. Safe for concurrent use.
type talk struct {
	answers atomic.Uint64
	last    atomic.Pointer[lastAction]
	round   atomic.Uint32 // that its actions at this height are about
}

type lastAction struct {
	name string
	at   time.Time
}

// hear keeps what an answer of consensus asked for.
func (t *talk) hear(now time.Time, actions []*ordov1.Action) {
	t.answers.Add(1)
	if n := len(actions); n > 0 {
		t.last.Store(&lastAction{actionName(actions[n-1]), now})
	}
	for _, a := range actions {
		switch a := a.GetAction().(type) {
		case *ordov1.Action_Build_:
			t.round.Store(a.Build.GetRound())
		case *ordov1.Action_Validate_:
			t.round.Store(a.Validate.GetRound())
		case *ordov1.Action_Sign_:
			t.round.Store(a.Sign.GetRound())
		}
	}
}

// tell takes note of a new height.
func (t *talk) tell(event *ordov1.ConsensusEvent) {
	if event.GetDecided() != nil || event.GetStart() != nil {
		t.round.Store(0)
	}
}

// Round is the round of the height to be decided, as far as the actions of consensus name it.
func (d *Driver) Round() uint32 { return d.consensus.talk.round.Load() }

// actionName is the name of an action in the plugin protocol: "Build".
func actionName(a *ordov1.Action) string {
	if a.GetAction() == nil {
		return "none"
	}
	name := reflect.TypeOf(a.GetAction()).Elem().Name()
	return strings.Trim(strings.TrimPrefix(name, "Action_"), "_")
}

// watchStalls says in the log that no block is made although transactions could run, and what is known about why.
func (d *Driver) watchStalls() {
	if d.options.StallAfter == 0 {
		return
	}
	s := stall{after: d.options.StallAfter}
	look := time.NewTicker(max(10*time.Millisecond, s.after/10))
	defer look.Stop()
	for {
		select {
		case now := <-look.C:
			d.pool.mu.Lock()
			ready, all := d.pool.Ready(), d.pool.Len()
			open := all - d.pool.Waiting()
			d.pool.mu.Unlock()
			height := d.chain.Next().GetNumber()
			stalled, over := s.look(now, height, ready+open)
			if over {
				d.log.Info("blocks are made again", "number", height)
			}
			if stalled == 0 {
				continue
			}
			d.log.Warn("no block is made although transactions wait", append([]any{"for", stalled.Round(time.Second), "number", height,
				"ready", ready, "in an open block", open, "with an earlier nonce missing", all - open - ready}, d.reasons(now)...)...)
		case <-d.ctx.Done():
			return
		}
	}
}

// reasons are what an operator needs to know to find out why no block is made.
func (d *Driver) reasons(now time.Time) []any {
	known := []any{"events answered by consensus", d.consensus.talk.answers.Load()}
	if last := d.consensus.talk.last.Load(); last != nil {
		known = append(known, "its last action", last.name, "ago", now.Sub(last.at).Round(time.Second))
	} else {
		known = append(known, "its last action", "none")
	}
	for _, h := range d.Health() {
		if h.Why != "" {
			known = append(known, sdk.StageName(h.Stage), h.Why)
		}
	}
	if d.consensus.unsent.Load() {
		known = append(known, "messages of consensus", "dropped: this node has no peers")
	}
	return known
}
