package crash

import (
	"context"
	"time"
)

// Trial is a question over all its runs. End it with Close.
type Trial struct {
	ledger *Ledger
	Question
	pending bool // counted in quarantine
	crashes int  // in quarantine, beside something else
	blocks  int  // of those, beside a block: they count when the block was looked at and nothing found
	broken  *Run // whose connection ended, and not known yet whether its process did
}

// Trial begins with a question. Its error is a Refused or a Paused.
func (l *Ledger) Trial(q Question) (*Trial, error) {
	t := &Trial{ledger: l, Question: q}
	level, err := l.Check(q)
	if err != nil {
		return nil, err
	}
	if level == suspected || q.Quarantine {
		l.mu.Lock()
		t.quarantine()
		l.mu.Unlock()
	}
	return t, nil
}

// Close ends a trial.
func (t *Trial) Close() {
	l := t.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	t.release()
	if r := t.broken; r != nil {
		if _, there := l.runs[r]; there {
			r.abandoned = true
			l.left++
		}
		l.removeAfter(r, notice)
	}
}

// quarantine puts a question among those that run one at a time. Under mu.
func (t *Trial) quarantine() {
	if !t.pending {
		t.pending = true
		t.ledger.trials[t] = struct{}{}
		t.ledger.kinds[t.Kind].pending++
	}
}

// release takes it from there. Under mu.
func (t *Trial) release() {
	if t.pending {
		t.pending = false
		delete(t.ledger.trials, t)
		t.ledger.kinds[t.Kind].pending--
		t.ledger.wake()
	}
}

// Enter waits until the question may run, but not beyond the end that is given. The error is a Refused or a Paused, that its time is
// over (ErrTurn), or the context's.
func (t *Trial) Enter(ctx context.Context, end time.Time) (*Run, error) {
	l := t.ledger
	l.mu.Lock()
	for l.blocked(t) {
		now := time.Now()
		wait := end.Sub(now)
		if l.held {
			wait = min(wait, max(time.Millisecond, l.heldTo.Sub(now)))
		}
		if !now.Before(end) {
			l.mu.Unlock()
			return nil, ErrTurn
		}
		change := l.change
		l.waiting++
		l.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-change:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		l.mu.Lock()
		l.waiting--
		if ctx.Err() != nil {
			l.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	defer l.mu.Unlock()
	if r := t.broken; r != nil && r.verdict != innocent {
		t.broken = nil
		if err := r.told(); err != nil {
			return nil, err
		}
	}
	if t.crashes >= mostTrials {
		return nil, l.blame(t, "it ended again beside a block in which nothing was found")
	}
	if k := &l.kinds[t.Kind]; time.Now().Before(k.paused) {
		return nil, &Paused{Kind: t.Kind, Crashes: l.options.Crashes + 1, Window: l.options.Window, Until: k.paused}
	}
	r := &Run{trial: t, counted: true, tried: t.pending, ended: make(chan struct{})}
	l.runs[r] = struct{}{}
	l.kinds[t.Kind].running++
	return r, nil
}
