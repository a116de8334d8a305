package consensustest

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Faulty is which faults a random scenario may have.
type Faulty int

// What nodes may do.
const (
	Byzantine Faulty = iota // up to (n-1)/3 nodes lie or stay down, others crash and come back
	CrashOnly               // nodes crash and come back, none lies
)

// window is the time in which the faults of a random scenario begin and end.
const window = 1200 * time.Millisecond

// Random is a scenario of a seed: some faults of network and nodes, which have ended after 1.2 s but for nodes that lie or stay down.
func Random(seed uint64, validators int, faulty Faulty) Scenario {
	r := rand.New(rand.NewPCG(seed, 2))
	s := Scenario{Seed: seed, Validators: validators, Every: 100 * time.Millisecond}
	down := (validators - 1) / 3 // how many may be faulty for ever
	if faulty == CrashOnly {
		down = 0
	}
	order := r.Perm(validators)
	for bad := r.IntN(down + 1); bad > 0; bad-- {
		f := Fault{Kind: pick(r, []Kind{Twin, Twin, Twin, Diverge, Invalid, Withhold, Crash}), Nodes: []int{order[bad-1]}}
		if f.Kind == Crash {
			f.From = moment(r, 0, window)
		}
		s.Faults = append(s.Faults, f)
	}
	twins := 0
	for _, f := range s.Faults {
		if f.Kind == Twin {
			twins++
		}
	}
	nodes := validators + twins
	for range 1 + r.IntN(5) {
		s.Faults = append(s.Faults, randomFault(r, nodes))
	}
	return s
}

func randomFault(r *rand.Rand, nodes int) Fault {
	f := Fault{Kind: pick(r, []Kind{Drop, Drop, Repeat, Stale, Corrupt, Delay, Jitter, Reorder, Cut, Partition, Partition, Bandwidth, Pause, Skew,
		Crash, Crash, Restart, SlowDisk, SlowRun, Late})}
	f.From = moment(r, 0, window/2)
	f.To = moment(r, f.From+time.Millisecond, window)
	some := func(most int) []int {
		list := r.Perm(nodes)[:1+r.IntN(most)]
		slices.Sort(list)
		return list
	}
	switch f.Kind {
	case Drop:
		f.Rate = float64(1+r.IntN(5)) / 10
	case Repeat, Stale, Corrupt, Reorder:
		f.Rate, f.Amount = float64(1+r.IntN(5))/10, moment(r, time.Millisecond, 200*time.Millisecond)
	case Delay, Jitter:
		f.Amount = moment(r, time.Millisecond, 300*time.Millisecond)
	case Cut:
		f.Nodes, f.Peers = some(nodes), some(nodes)
	case Partition:
		f.Nodes = some(max(1, nodes-1))
	case Bandwidth:
		f.Bytes = 2000 * (1 + r.IntN(50))
	case SlowDisk, Late:
		f.Amount = moment(r, time.Millisecond, 50*time.Millisecond)
	case SlowRun:
		f.Amount = moment(r, time.Millisecond, 200*time.Millisecond)
	}
	switch f.Kind {
	case Drop, Repeat, Stale, Corrupt, Delay, Jitter, Reorder:
		if r.IntN(2) == 0 {
			f.Nodes = some(nodes)
		}
		if r.IntN(2) == 0 {
			f.Peers = some(nodes)
		}
	case Pause, Crash, Restart, SlowDisk, SlowRun, Late, Bandwidth:
		f.Nodes = some(nodes)
	case Skew:
		f.Nodes, f.Amount = some(nodes), moment(r, 0, 3*time.Second)-1500*time.Millisecond
	}
	return f
}

func pick(r *rand.Rand, list []Kind) Kind { return list[r.IntN(len(list))] }

// moment draws a time in whole milliseconds.
func moment(r *rand.Rand, low, high time.Duration) time.Duration {
	return (low + time.Duration(r.Int64N(int64(high-low)+1))).Truncate(time.Millisecond)
}
