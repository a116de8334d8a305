package crash

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func named(name string) Question { return of(View, name) }

func of(kind Kind, names ...string) Question {
	return Question{Kind: kind, Names: func() []Name {
		var all []Name
		for i, name := range names {
			n := Name{What: []string{"this call", "a transaction of this account", "an account of this class"}[i]}
			copy(n.Key[:], name)
			if i == 2 {
				n.Causes = 2
			}
			all = append(all, n)
		}
		return all
	}}
}

// asked is a question in flight.
type asked struct {
	t     *testing.T
	trial *Trial
	run   *Run
}

func ask(t *testing.T, l *Ledger, q Question) *asked {
	t.Helper()
	trial, err := l.Trial(q)
	if err != nil {
		t.Fatal(err)
	}
	a := &asked{t: t, trial: trial}
	a.enter()
	return a
}

// enter puts it, and it reaches the process.
func (a *asked) enter() {
	a.t.Helper()
	run, err := a.trial.Enter(a.t.Context(), time.Now().Add(10*time.Second))
	if err != nil {
		a.t.Fatal(err)
	}
	a.run = run
	Sent(run.Context(a.t.Context()))
}

// broken is what its caller is told when the process has ended.
func (a *asked) broken(want string) {
	a.t.Helper()
	crashed, err := a.run.Broken(a.t.Context())
	switch {
	case !crashed:
		a.t.Error("it is not known that the process ended")
	case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		a.t.Errorf("told %v, want %q", err, want)
	}
	if want != "" {
		a.trial.Close()
	}
}

func (a *asked) answered() {
	a.run.Answered()
	a.trial.Close()
}

func refusal(l *Ledger, q Question) string {
	if _, err := l.Check(q); err != nil {
		return err.Error()
	}
	return ""
}

// TestAlone: the only question in flight is the cause, and is refused for some time, others are not.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		a := ask(t, l, named("a"))
		if !l.Ended(End{Why: "signal: aborted"}) {
			t.Error("nothing was in flight")
		}
		a.broken("this call ended the execution plugin: refused until 00:05:00 UTC (supervision.question_memory)")
		if refusal(l, named("a")) == "" || refusal(l, named("b")) != "" {
			t.Error("the wrong one is refused")
		}
		if _, err := l.Trial(named("a")); err == nil {
			t.Error("it may run again")
		}
		time.Sleep(5*time.Minute + time.Second)
		if told := refusal(l, named("a")); told != "" {
			t.Error(told)
		}
		if l.Ended(End{}) {
			t.Error("something is in flight")
		}
	})
}

// TestAmongOthers: each runs alone in its kind, and the one that ends the process there is the cause.
func TestAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		a, k, b := ask(t, l, named("a")), ask(t, l, named("k")), ask(t, l, named("b"))
		l.Ended(End{})
		var order []string
		done := make(chan string)
		for name, q := range map[string]*asked{"a": a, "k": k, "b": b} {
			q.broken("")
			go func() {
				run, err := q.trial.Enter(t.Context(), time.Now().Add(time.Minute))
				if err != nil {
					t.Error(name, err)
					done <- name
					return
				}
				Sent(run.Context(t.Context()))
				time.Sleep(time.Second) // it runs
				q.run = run
				if name == "k" {
					l.Ended(End{})
					q.broken("this call ended")
				} else {
					q.answered()
				}
				done <- name
			}()
		}
		fresh := make(chan time.Duration)
		go func() { // new questions wait until those are through
			begin := time.Now()
			ask(t, l, named("fresh")).answered()
			fresh <- time.Since(begin)
		}()
		// Another kind does not.
		v := ask(t, l, of(Validation, "tx"))
		v.answered()
		for range 3 {
			order = append(order, <-done)
		}
		if took := <-fresh; took != 3*time.Second {
			t.Errorf("%v ran within %s, and not one after the other", order, took)
		}
		if refusal(l, named("k")) == "" || refusal(l, named("a")) != "" || refusal(l, named("b")) != "" {
			t.Error("the wrong one is refused")
		}
	})
}

// TestABlockBeside: nothing is proved by one end beside a block, or one from outside. In quarantine the second end proves it, but not
// when the block was the cause.
func TestABlockBeside(t *testing.T) {
	for _, e := range []End{{Block: true}, {Forced: true}} {
		synctest.Test(t, func(t *testing.T) {
			l := New(Options{})
			a := ask(t, l, named("a"))
			l.Ended(e)
			a.broken("")
			l.Hold(false)
			a.enter()
			l.Ended(e)
			if !e.Block {
				a.broken("this call ended")
				return
			}
			a.broken("")
			for range 5 { // a transaction of the block it was, each time
				l.Hold(true)
				l.Found()
				l.Hold(false)
				a.enter()
				l.Ended(e)
				a.broken("")
			}
			l.Hold(true)
			l.Hold(false) // nothing was found
			a.enter()
			l.Ended(e)
			a.broken("")
			l.Hold(false)
			if _, err := a.trial.Enter(t.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), "this call ended") {
				t.Error(err)
			}
			a.trial.Close()
			if l.kinds[View].pending != 0 || len(l.trials) != 0 || refusal(l, named("a")) == "" {
				t.Error("it is not refused")
			}
		})
	}
}

// TestNeverSent: what did not reach the process is not in question, nor what was answered.
func TestNeverSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		trial, _ := l.Trial(named("a"))
		run, err := trial.Enter(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		ask(t, l, named("b")).answered()
		if l.Ended(End{}) {
			t.Error("something was in flight")
		}
		if crashed, err := run.Broken(t.Context()); crashed || err != nil {
			t.Error(crashed, err)
		}
		trial.Close()
	})
}

// TestLateWord: the connection ends long before the process is known to have ended. The question is not put to the next.
func TestLateWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		a := ask(t, l, named("a"))
		if crashed, err := a.run.Broken(t.Context()); crashed || err != nil {
			t.Fatal(crashed, err)
		}
		if !l.Ended(End{}) {
			t.Error("nothing was in flight")
		}
		if _, err := a.trial.Enter(t.Context(), time.Now().Add(time.Second)); err == nil || !strings.Contains(err.Error(), "this call ended") {
			t.Error(err)
		}
		a.trial.Close()
		// The process still runs: it was the connection, or what the plugin itself asks.
		b := ask(t, l, named("b"))
		if crashed, err := b.run.Broken(t.Context()); crashed || err != nil {
			t.Fatal(crashed, err)
		}
		b.enter()
		b.answered()
		if l.Ended(End{}) {
			t.Error("something is in flight")
		}
	})
}

// TestLeft: a caller that leaves takes nothing away from what its question does.
func TestLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		for range 2 {
			a := ask(t, l, named("a"))
			a.run.Abandoned(25 * time.Second)
			a.trial.Close()
			time.Sleep(5 * time.Second)
			if !l.Ended(End{}) {
				t.Fatal("nothing was in flight")
			}
		}
		if told := refusal(l, named("a")); told == "" { // the second time it was in quarantine
			t.Error("it may run again")
		}
		a := ask(t, l, named("b"))
		a.run.Abandoned(25 * time.Second)
		a.trial.Close()
		time.Sleep(26 * time.Second)
		if l.Ended(End{}) {
			t.Error("it is in flight for ever")
		}
	})
}

// TestManyLeft: callers that leave, in any number, are counted up to a bound, and then only that there were some.
func TestManyLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		for range mostAbandoned + 100 {
			a := ask(t, l, named("a"))
			a.run.Abandoned(25 * time.Second)
			a.trial.Close()
		}
		if len(l.runs) != mostAbandoned || l.left != mostAbandoned {
			t.Errorf("%d runs, %d left", len(l.runs), l.left)
		}
		l.Ended(End{})
		if len(l.runs) != 0 || l.left != 0 {
			t.Errorf("%d runs, %d left", len(l.runs), l.left)
		}
		if !l.Ended(End{}) {
			t.Error("those that were not counted are forgotten")
		}
		time.Sleep(26 * time.Second)
		if l.Ended(End{}) {
			t.Error("they run for ever")
		}
	})
}

// TestSeveral: a question that stands for several is put one by one; an account is rejected with its transaction, its class when
// two of its accounts were the cause.
func TestSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		batch := of(Validation, "batch")
		batch.Several = true
		a := ask(t, l, batch)
		l.Ended(End{})
		if _, err := a.run.Broken(t.Context()); !errors.Is(err, ErrSeveral) {
			t.Error(err)
		}
		a.trial.Close()
		if told := refusal(l, batch); told != "" {
			t.Error(told)
		}
		for _, one := range []string{"tx 1", "tx 2", "tx 3"} {
			q := of(Validation, one, "account of "+one, "class")
			q.Quarantine = true
			if one == "tx 3" {
				if told := refusal(l, q); !strings.HasPrefix(told, "an account of this class ended") {
					t.Errorf("of the class: %q", told)
				}
				break
			}
			b := ask(t, l, q)
			l.Ended(End{})
			b.broken("this call ended")
			if told := refusal(l, of(Validation, "tx 9", "account of "+one)); !strings.HasPrefix(told, "a transaction of this account ended") {
				t.Errorf("of the account: %q", told)
			}
		}
	})
}

// TestPause: a kind that ends the process too often is not put for a while; the others are.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{Crashes: 2})
		for i := range 3 {
			a := ask(t, l, named(string(rune('a'+i))))
			l.Ended(End{})
			a.broken("this call ended")
		}
		want := "busy: calls, estimates, simulations and traces ended the execution plugin 3 times within 1m0s (supervision.question_crashes): none is taken until 00:00:30 UTC"
		if told := refusal(l, named("z")); !strings.HasPrefix(told, want) {
			t.Error(told)
		}
		ask(t, l, of(Validation, "tx")).answered()
		time.Sleep(31 * time.Second)
		ask(t, l, named("z")).answered()
		// What a block did counts no more when it is known.
		for range 5 {
			a := ask(t, l, named("y"))
			l.Ended(End{Block: true})
			a.broken("")
			l.Found()
			l.Hold(false)
			a.enter()
			a.answered()
		}
	})
}

// TestHold: a block that is built alone is waited for, not for ever.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		l.Hold(true)
		trial, _ := l.Trial(named("a"))
		defer trial.Close()
		if _, err := trial.Enter(t.Context(), time.Now().Add(10*time.Second)); !errors.Is(err, ErrTurn) {
			t.Error(err)
		}
		gone, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := trial.Enter(gone, time.Now().Add(10*time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		begin := time.Now()
		go func() {
			time.Sleep(time.Second)
			l.Hold(false)
		}()
		r, err := trial.Enter(t.Context(), time.Now().Add(10*time.Second))
		if err != nil || time.Since(begin) != time.Second {
			t.Error(err, time.Since(begin))
		}
		r.Answered()
		l.Hold(true)
		begin = time.Now()
		if r, err = trial.Enter(t.Context(), time.Now().Add(time.Minute)); err != nil || time.Since(begin) != holdLimit {
			t.Error(err, time.Since(begin))
		}
		r.Answered()
	})
}

// TestBounded: what is remembered has a bound, the oldest goes.
func TestBounded(t *testing.T) {
	m := newMarks(3)
	until := time.Now().Add(time.Hour)
	for _, name := range []string{"a", "b", "c", "d", "d"} {
		m.refuse(until, crashedIt, named(name).Names())
	}
	if len(m.of) != 3 || len(m.order) != 3 {
		t.Errorf("%d names", len(m.of))
	}
	if _, refused := m.find(time.Now(), named("a").Names()); refused != nil {
		t.Error("the oldest is remembered")
	}
	if _, refused := m.find(time.Now(), named("d").Names()); refused == nil {
		t.Error("the newest is not")
	}
	m.find(until, named("d").Names())
	if len(m.of) != 2 || len(m.order) != 2 {
		t.Errorf("%d names, one is over", len(m.of))
	}
}

// TestCostly: an account whose transaction was thrown out of a block for its memory is rejected for a while, and no other.
func TestCostly(t *testing.T) {
	l := New(Options{Memory: time.Hour})
	l.Costly([]byte{7})
	ask := func(account byte) error {
		_, err := l.Check(Question{Kind: Validation, Names: func() []Name { return []Name{Account([]byte{account})} }})
		return err
	}
	if err := ask(7); err == nil || !strings.Contains(err.Error(), "limits.transaction_mib") {
		t.Errorf("the account is told %v", err)
	}
	if err := ask(8); err != nil {
		t.Errorf("another account is told %v", err)
	}
}
