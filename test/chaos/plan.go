package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// strike is one attack: a signal to one or several processes at the same moment.
type strike struct {
	pause   time.Duration // before it
	targets []string
	stop    bool          // SIGSTOP; else SIGKILL
	hold    time.Duration // after a SIGSTOP
	resume  bool          // then SIGCONT; else SIGKILL. A plugin that is not resumed is left to the supervisor
	again   *strike       // while the node recovers from this one
	network bool
	node    int           // of a network
	down    time.Duration // how long a node of a network is down before it is started again
}

func (s strike) String() string {
	signal := "kill -9"
	if s.stop {
		signal = "stop"
		if s.resume {
			signal = fmt.Sprintf("stop for %s", s.hold)
		} else if s.has(core) {
			signal = fmt.Sprintf("stop, kill -9 after %s", s.hold)
		}
	}
	text := fmt.Sprintf("%s %s", signal, s.target())
	if s.network {
		text += fmt.Sprintf(" of node %d", s.node)
	}
	if s.down > 0 {
		text += fmt.Sprintf(", down for %s", s.down)
	}
	if s.again != nil {
		text += fmt.Sprintf(", then after %s %s", s.again.pause, s.again)
	}
	return text
}

// target is how the table names the targets.
func (s strike) target() string {
	switch len(s.targets) {
	case len(stages) + 1:
		return "all five"
	case len(stages):
		return "all plugins"
	default:
		return strings.Join(s.targets, "+")
	}
}

func (s strike) has(target string) bool {
	for _, t := range s.targets {
		if t == target {
			return true
		}
	}
	return false
}

// planner draws strikes. The same seed gives the same ones; when they hit is up to the machine.
type planner struct {
	random  *rand.Rand
	targets []string
	kill    bool // only SIGKILL
	nodes   int  // of a network; 0: there is one node
}

func newPlanner(seed uint64, o options) *planner {
	return &planner{random: rand.New(rand.NewPCG(seed, 0)), targets: o.targets, kill: o.killOnly, nodes: o.localnet}
}

func (p *planner) next() strike {
	s := p.one()
	// Pauses up to some blocks, often much shorter, so that what a recovery leaves to be done is hit too.
	s.pause = p.between(0, 1500*time.Millisecond)
	if p.random.IntN(3) == 0 {
		s.pause = p.between(0, 60*time.Millisecond)
	}
	if p.random.IntN(6) == 0 {
		again := p.one()
		again.pause = p.between(0, 400*time.Millisecond)
		if s.has(core) { // a start takes longer: hit all of it
			again.pause = p.between(0, 900*time.Millisecond)
		}
		s.again = &again
	}
	return s
}

func (p *planner) one() strike {
	s := p.aim()
	if p.nodes > 0 {
		s.network, s.node = true, p.random.IntN(p.nodes)
		if s.has(core) && !s.resume {
			s.down = p.between(0, 3*time.Second)
		}
	}
	return s
}

// aim chooses the targets and the signal.
func (p *planner) aim() strike {
	var s strike
	switch roll := p.random.IntN(100); {
	case roll < 62:
		s.targets = []string{p.targets[p.random.IntN(len(p.targets))]}
	case roll < 76:
		s.targets = []string{p.targets[0]} // the core, when it is among them: more than its share
	case roll < 88 && len(p.targets) > 1:
		i, j := p.random.IntN(len(p.targets)), p.random.IntN(len(p.targets)-1)
		if j >= i {
			j++
		}
		s.targets = []string{p.targets[min(i, j)], p.targets[max(i, j)]}
	default:
		s.targets = p.targets
	}
	if p.kill || p.random.IntN(100) >= 28 {
		return s
	}
	s.stop = true
	switch p.random.IntN(3) {
	case 0: // a hiccup, shorter than what the supervisor takes for an end
		s.resume, s.hold = true, p.between(10*time.Millisecond, 500*time.Millisecond)
	case 1: // long, and then it goes on, if it is still there
		s.resume, s.hold = true, p.between(500*time.Millisecond, 3*time.Second)
	default:
		s.hold = p.between(100*time.Millisecond, 1500*time.Millisecond)
	}
	return s
}

func (p *planner) between(from, to time.Duration) time.Duration {
	return (from + time.Duration(p.random.Int64N(int64(to-from)))).Round(time.Millisecond)
}
