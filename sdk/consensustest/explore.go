package consensustest

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Search is many scenarios, one for each seed.
type Search struct {
	First    uint64 // seed
	Count    int
	Parallel int // runs at a time; 0: as many as there are processors
	Scenario func(seed uint64) Scenario
}

// Explore plays the scenarios of a search. The test fails with the first seed whose run fails: with what is left of its faults when those
// that do not matter are removed, and the end of the transcript.
func Explore(t testing.TB, subject Subject, search Search) {
	t.Helper()
	began := time.Now()
	failed, events, err := search.run(subject)
	if err != nil {
		t.Fatal(err)
	}
	if failed == nil {
		took := time.Since(began)
		t.Logf("%d schedules, %d events in %v: %.0f schedules/s", search.Count, events, took.Round(time.Millisecond), float64(search.Count)/took.Seconds())
		return
	}
	Explain(t, subject, failed)
}

// run plays the search and returns the failure of the lowest seed.
func (s Search) run(subject Subject) (failed *Result, events int64, err error) {
	parallel := s.Parallel
	if parallel == 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	var next, total atomic.Int64
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for {
				k := next.Add(1) - 1
				mu.Lock()
				over := failed != nil || err != nil
				mu.Unlock()
				if over || k >= int64(s.Count) {
					return
				}
				r, problem := Run(subject, s.Scenario(s.First+uint64(k)))
				mu.Lock()
				switch {
				case problem != nil:
					err = problem
				case r.Failure != nil && (failed == nil || r.Scenario.Seed < failed.Scenario.Seed):
					failed = r
				}
				mu.Unlock()
				if problem == nil {
					total.Add(int64(r.Events))
				}
			}
		})
	}
	workers.Wait()
	return failed, total.Load(), err
}

// Explain fails a test with a failed run: it plays it again, removes faults, and prints what is left.
func Explain(t testing.TB, subject Subject, failed *Result) {
	t.Helper()
	again, err := Run(subject, failed.Scenario)
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest != failed.Digest {
		t.Errorf("seed %d does not replay: the protocol is not a pure state machine (a clock, a random number, the order of a map): digests %s and %s",
			failed.Scenario.Seed, failed.Digest, again.Digest)
	}
	small := Shrink(subject, failed)
	t.Fatalf("%v\n%v\nshrunk from %d to %d faults\n%s", small.Failure, small.Scenario, len(failed.Scenario.Faults), len(small.Scenario.Faults),
		strings.TrimRight(small.Excerpt(150), "\n"))
}

// Shrink removes faults from a failed scenario, and shortens those that are left, as long as the same checker fires. The result has its transcript.
func Shrink(subject Subject, failed *Result) *Result {
	best := failed
	try := func(faults []Fault) bool {
		s := best.Scenario
		s.Faults = faults
		r, err := Run(subject, s)
		if err != nil || r.Failure == nil || r.Failure.Checker != failed.Failure.Checker {
			return false
		}
		best = r
		return true
	}
	for again := true; again; {
		again = false
		for i := len(best.Scenario.Faults) - 1; i >= 0; i-- {
			again = try(without(best.Scenario.Faults, i)) || again
		}
	}
	for i := range best.Scenario.Faults {
		for range 4 { // each time half of what is left, from the end and then from the beginning
			f := best.Scenario.Faults[i]
			half := ((f.To - f.From) / 2).Truncate(time.Millisecond)
			if half <= 0 {
				break
			}
			shorter, later := f, f
			shorter.To, later.From = f.To-half, f.From+half
			if !try(with(best.Scenario.Faults, i, shorter)) && !try(with(best.Scenario.Faults, i, later)) {
				break
			}
		}
	}
	s := best.Scenario
	s.Keep = true
	if kept, err := Run(subject, s); err == nil && kept.Failure != nil {
		return kept
	}
	return best
}

func without(faults []Fault, i int) []Fault {
	list := append([]Fault(nil), faults[:i]...)
	return append(list, faults[i+1:]...)
}

func with(faults []Fault, i int, f Fault) []Fault {
	list := append([]Fault(nil), faults...)
	list[i] = f
	return list
}
