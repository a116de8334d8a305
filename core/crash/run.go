package crash

import (
	"context"
	"sync/atomic"
	"time"
)

// Run is one try of a question.
type Run struct {
	trial *Trial
	sent  atomic.Bool
	// of mu
	counted   bool // among those that run
	tried     bool // in quarantine
	abandoned bool // its caller does not wait for it, and the process may work on it still
	verdict   verdict
	ended     chan struct{} // closed when the process has ended while it was in flight
}

type verdict int

const (
	innocent verdict = iota
	again
	guilty
)

type runKey struct{}

// Context marks the calls of a run.
func (r *Run) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, runKey{}, r)
}

// Sent says that the call of a context has reached the process.
func Sent(ctx context.Context) {
	if r, ok := ctx.Value(runKey{}).(*Run); ok {
		r.sent.Store(true)
	}
}

// Answered: the process answered, whatever it was.
func (r *Run) Answered() {
	t, l := r.trial, r.trial.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(r)
	t.whole()
	if t.pending {
		l.marks.forget(t.Names())
		t.release()
	}
	l.wake()
}

// whole: the process still runs, so that the connection that ended before was another matter. Under mu.
func (t *Trial) whole() {
	if t.broken != nil {
		t.ledger.remove(t.broken)
		t.broken = nil
	}
}

// Abandoned: the answer is not waited for. The process may work on it for so long still, and end of it.
func (r *Run) Abandoned(deadline time.Duration) {
	l := r.trial.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.wake()
	l.uncount(r)
	if !r.sent.Load() {
		l.remove(r)
		return
	}
	if l.left == mostAbandoned {
		l.remove(r)
		l.untold = time.Now().Add(deadline)
		return
	}
	// What it asked is let go, its names are enough.
	names := r.trial.Names()
	r.trial = &Trial{ledger: l, Question: Question{Kind: r.trial.Kind, Several: r.trial.Several, Names: func() []Name { return names }}}
	r.abandoned = true
	l.left++
	l.removeAfter(r, deadline)
}

// Broken: the connection ended under the call, or there was none. crashed: the process ended, and this question was in flight; the
// error is a Refused, or ErrSeveral for one that stands for several. When the word of the process's end is late, the next
// Enter has it: no other process begins before.
func (r *Run) Broken(ctx context.Context) (crashed bool, err error) {
	t, l := r.trial, r.trial.ledger
	if r.sent.Load() {
		timer := time.NewTimer(moment)
		defer timer.Stop()
		select {
		case <-r.ended:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.wake()
	switch {
	case r.verdict != innocent:
		return true, r.told()
	case r.sent.Load():
		t.whole()
		l.uncount(r)
		t.broken = r
	default:
		l.remove(r)
	}
	return false, nil
}

// told is what the caller of a run in which the process ended is told; nil: to put it again. Under mu.
func (r *Run) told() error {
	switch {
	case r.verdict == guilty:
		if _, refused := r.trial.ledger.marks.find(time.Now(), r.trial.Names()); refused != nil {
			return refused
		}
		return &Refused{What: r.trial.Names()[0].What, Did: crashedIt, Until: time.Now()}
	case r.trial.Several:
		return ErrSeveral
	}
	return nil
}

// remove ends a run. Under mu.
func (l *Ledger) remove(r *Run) {
	if _, there := l.runs[r]; there && r.abandoned {
		l.left--
	}
	delete(l.runs, r)
	l.uncount(r)
}

// uncount takes a run from those that others wait for. Under mu.
func (l *Ledger) uncount(r *Run) {
	if r.counted {
		r.counted = false
		l.kinds[r.trial.Kind].running--
	}
}

func (l *Ledger) removeAfter(r *Run, d time.Duration) {
	time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.remove(r)
	})
}
