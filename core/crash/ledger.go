// Package crash finds out which question of a client ended the process of a plugin, and keeps such questions from the next
// process. Questions are calls that change nothing and that clients can cause: views, validations, compilations.
//
// A question that was in flight when the process failed is in question. When it was the only one, and no block was being built,
// it is the cause: it is refused by name, and its fingerprint is remembered for some time. When there were others, each is put
// again in quarantine: one of its kind at a time. One that was alone with the process there, or that ended it there twice, is
// the cause. A question that never reached the process is not in question.
//
// Ends of the process are counted by kind of question. A kind that causes too many within a window is paused, so that blocks go on.
package crash

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Kind of question. What one kind does is not held against another.
type Kind int

// The kinds.
const (
	View        Kind = iota // calls, estimates, simulations and traces
	Validation              // of transactions that want to be admitted
	Compilation             // of declared classes
	kinds
)

func (k Kind) String() string {
	return [...]string{"calls, estimates, simulations and traces", "validations of transactions", "compilations of classes"}[k]
}

// Options are the bounds of a Ledger. Zero values take the default.
type Options struct {
	Crashes int           // of the process by one kind of question within Window; one more pauses the kind. 8
	Window  time.Duration // 1 min
	Pause   time.Duration // of a kind; 30 s
	Memory  time.Duration // for how long what ended the process is refused; 5 min
	Keep    int           // fingerprints, at most; 4096
	Log     hclog.Logger
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		of *time.Duration
		or time.Duration
	}{{&o.Window, time.Minute}, {&o.Pause, 30 * time.Second}, {&o.Memory, 5 * time.Minute}} {
		if *d.of == 0 {
			*d.of = d.or
		}
	}
	if o.Crashes == 0 {
		o.Crashes = 8
	}
	if o.Keep == 0 {
		o.Keep = 4096
	}
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	return o
}

const (
	// holdLimit is how long questions make room for a block that is being built one transaction at a time.
	holdLimit = 20 * time.Second
	// notice is how long the end of a process may come after the end of its connections; moment is how long that is waited for
	// before the question looks whether the process is there.
	notice = 2 * time.Second
	moment = 50 * time.Millisecond
	// most times that a question may end the process in quarantine while something else ran beside it.
	mostTrials = 2
	// mostAbandoned questions are told apart of those that no caller waits for.
	mostAbandoned = 4096
)

// Ledger knows the questions that one stage has in hand. Make one with New; safe for concurrent use.
type Ledger struct {
	options Options

	mu      sync.Mutex
	runs    map[*Run]struct{}
	kinds   [kinds]tally
	marks   marks
	trials  map[*Trial]struct{} // in quarantine
	left    int                 // runs that are abandoned
	untold  time.Time           // until then the process may work on others of them
	held    bool                // until heldTo a block has the process for itself
	heldTo  time.Time
	waiting int
	change  chan struct{} // closed and replaced when one that waits may have its turn
}

// tally is what is counted of one kind.
type tally struct {
	running int // in hand, and waited for
	pending int // that are in quarantine, or wait for it
	crashes []crashed
	paused  time.Time
}

// crashed is an end of the process in which questions of a kind were in flight.
type crashed struct {
	at    time.Time
	block bool // a block was being built too
}

// New makes a ledger.
func New(o Options) *Ledger {
	o = o.withDefaults()
	return &Ledger{options: o, runs: map[*Run]struct{}{}, trials: map[*Trial]struct{}{}, marks: newMarks(o.Keep), change: make(chan struct{})}
}

// Question is what is put to the stage.
type Question struct {
	Kind Kind
	// Names are what it is remembered by, computed only when it matters. The first is the question itself; it is known by any.
	Names func() []Name
	// Several: it stands for several, which the caller can put one by one.
	Several bool
	// Quarantine: it was in question before.
	Quarantine bool
}

// Clean: nothing is remembered, and no kind is paused, so that any question may be put.
func (l *Ledger) Clean() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kind := range l.kinds {
		if time.Now().Before(l.kinds[kind].paused) {
			return false
		}
	}
	return l.marks.empty()
}

// Check tells whether a question may be put: the error is a Refused or a Paused.
func (l *Ledger) Check(q Question) (Level, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if k := &l.kinds[q.Kind]; now.Before(k.paused) {
		return unknown, &Paused{Kind: q.Kind, Crashes: l.options.Crashes + 1, Window: l.options.Window, Until: k.paused}
	}
	if l.marks.empty() || q.Names == nil {
		return unknown, nil
	}
	level, refused := l.marks.find(now, q.Names())
	if refused != nil {
		return level, refused
	}
	return level, nil
}

// blocked: not now. Under mu.
func (l *Ledger) blocked(t *Trial) bool {
	k := &l.kinds[t.Kind]
	switch {
	case l.held && time.Now().Before(l.heldTo):
		return true
	case t.Kind != Validation && l.kinds[Validation].pending > 0:
		return true // transactions get their verdict first
	case t.pending:
		return k.running > 0
	}
	return k.pending > 0
}

// wake lets those that wait look again. Under mu.
func (l *Ledger) wake() {
	if l.waiting > 0 {
		close(l.change)
		l.change = make(chan struct{})
	}
}

// End is what is known of the end of a process.
type End struct {
	Why    string
	Block  bool // the process owed something of a block
	Forced bool // it was ended from outside, or by the node
}

// Ended judges the questions that were in flight when the process ended. It says whether there were any.
func (l *Ledger) Ended(e End) (asked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var flight []*Run
	for r := range l.runs {
		if r.sent.Load() {
			flight = append(flight, r)
		}
	}
	if len(flight) == 0 {
		if !now.Before(l.untold) {
			return false
		}
		l.count(View, crashed{now, e.Block})
		return true
	}
	clean := len(flight) == 1 && !e.Block
	hit := [kinds]bool{}
	for _, r := range flight {
		t := r.trial
		hit[t.Kind] = true
		if r.tried && !clean {
			t.crashes++
			if e.Block {
				t.blocks++
			}
		}
		switch {
		case t.Several, r.abandoned && !r.tried:
			r.verdict = again
		case clean && (r.tried || !e.Forced), !e.Block && t.crashes >= mostTrials:
			r.verdict = guilty
		default:
			r.verdict = again
		}
		if r.verdict == guilty {
			_ = l.blame(t, e.Why)
		} else if !t.Several {
			l.marks.suspect(now.Add(l.options.Memory), t.Names())
			if !r.abandoned {
				t.quarantine()
			}
		}
		l.remove(r)
		close(r.ended)
	}
	if e.Block {
		l.held, l.heldTo = true, now.Add(holdLimit) // until it is known whether the block is looked at
	}
	for kind, was := range hit {
		if was {
			l.count(Kind(kind), crashed{now, e.Block})
		}
	}
	l.wake()
	return true
}

// blame refuses a question from now on. Under mu.
func (l *Ledger) blame(t *Trial, why string) *Refused {
	names, until := t.Names(), time.Now().Add(l.options.Memory)
	l.marks.refuse(until, crashedIt, names)
	l.options.Log.Error("a question ended the plugin and is refused from now on", "kind", t.Kind.String(), "why", why,
		"name", fmt.Sprintf("%x", names[0].Key[:8]), "for", l.options.Memory)
	return &Refused{What: names[0].What, Did: crashedIt, Until: until}
}

// Costly rejects an account whose transaction was thrown out of a block for its memory: it cost the block its time, and the
// account nothing.
func (l *Ledger) Costly(account []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks.refuse(time.Now().Add(l.options.Memory), costIt, []Name{Account(account)})
}

// count notes a crash of a kind, and pauses the kind when there are too many. Under mu.
func (l *Ledger) count(kind Kind, c crashed) {
	k := &l.kinds[kind]
	for len(k.crashes) > 0 && c.at.Sub(k.crashes[0].at) > l.options.Window {
		k.crashes = k.crashes[1:]
	}
	if k.crashes = append(k.crashes, c); len(k.crashes) > l.options.Crashes {
		k.crashes, k.paused = nil, c.at.Add(l.options.Pause)
		l.options.Log.Error("too many ends of the plugin: a kind of question is paused, blocks go on", "kind", kind.String(), "for", l.options.Pause)
	}
}

// Hold keeps questions away from the process while a block is built that may end it, so that it is known what did. The time that
// this may take begins anew with each call. An end beside a block holds them until Hold says otherwise.
func (l *Ledger) Hold(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if on {
		l.heldTo = time.Now().Add(holdLimit)
	}
	l.held = on
	l.wake()
}

// Found: a transaction of a block was the cause. What was counted against questions that ran beside it counts no more.
func (l *Ledger) Found() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kind := range l.kinds {
		k := &l.kinds[kind]
		kept := k.crashes[:0]
		for _, c := range k.crashes {
			if !c.block {
				kept = append(kept, c)
			}
		}
		k.crashes = kept
	}
	for t := range l.trials {
		t.crashes, t.blocks = t.crashes-t.blocks, 0
	}
}
