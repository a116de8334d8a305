package byzantine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/test/need"
)

// share is how many faults `go test` tries of each stage. ORDO_BYZANTINE=all tries all, another number that many of each stage.
const share = 3

// chosen are the trials of this run: all, or of each stage some that the seed draws. They are the same in each run, so that a change is
// what turns a run red; ORDO_BYZANTINE_SEED draws others, or "time" what no run drew before.
func chosen(t *testing.T) []trial {
	all, each := trials(), share
	switch text := os.Getenv("ORDO_BYZANTINE"); text {
	case "all":
		return all
	case "":
	default:
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("ORDO_BYZANTINE: %v", err)
		}
		each = n
	}
	seed := uint64(1)
	switch text := os.Getenv("ORDO_BYZANTINE_SEED"); text {
	case "":
	case "time":
		seed = uint64(time.Now().UnixNano()) % 1_000_000_000
	default:
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("ORDO_BYZANTINE_SEED: %v", err)
		}
	}
	fmt.Printf("faults of plugins: ORDO_BYZANTINE_SEED=%d\n", seed)
	return draw(all, seed, each)
}

// draw takes some trials of each stage, of as many methods as there are.
func draw(all []trial, seed uint64, each int) (drawn []trial) {
	r := rand.New(rand.NewPCG(seed, 0))
	all = slices.Clone(all)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	count, seen := make(map[string]int), make(map[string]int)
	for round := 0; round < len(all); round++ {
		for _, c := range all {
			if count[c.stage] < each && seen[c.stage+c.method] == round && !slices.Contains(drawn, c) {
				count[c.stage]++
				seen[c.stage+c.method]++
				drawn = append(drawn, c)
			}
		}
	}
	return drawn
}

// TestFaultsOfPlugins runs each trial against a node of its own, two at a time: the fault is injected, the node does what it must, and
// what it said to be accepted is in a chain that honest plugins execute again with the same roots.
func TestFaultsOfPlugins(t *testing.T) {
	need.Binaries(t)
	program := buildProxy(t)
	for _, c := range chosen(t) {
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			n := begin(t, program, c.stage, fault{Method: c.method, After: c.after, Do: c.do, Once: c.once})
			said := n.outcome(t, c.want, c.says)
			did := serves
			switch {
			case strings.HasPrefix(said, "refuses: "):
				did = refuses
			case said != "":
				did = stops
			}
			t.Logf("%s, the fault injected %d times; %s", did, n.injected(), said)
			if did != c.want && c.want != either {
				t.Errorf("the node %s, want %s: %s", did, c.want, said)
			}
			if did != serves && !strings.Contains(said, c.says) {
				t.Errorf("the error does not say %q: %s", c.says, said)
			}
			n.sound(t, did == serves, c.ends, c.differs)
			if n.injected() == 0 {
				t.Error("the fault was never injected")
			}
		})
	}
}

// sound stops the node, which must end well or say why not, and executes its chain again. With whole, the head of that must be the one
// that the node had. Where the chain differs, for a reason, that must be found.
func (n *node) sound(t *testing.T, whole bool, ends, differs string) {
	t.Helper()
	var hash string
	var number uint64
	if !n.Ended() {
		if whole {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			head, err := n.head(ctx)
			if err != nil {
				t.Errorf("no head: %v", err)
			}
			hash, number = head.Hash, head.Number
		}
		if err := n.Stop(stopLimit); (err != nil) != (ends != "") {
			t.Errorf("stopped: %v, want %q", err, ends)
		} else if !strings.Contains(n.Out.String(), ends) {
			t.Errorf("stopped: %v, it does not say %q", err, ends)
		}
	}
	n.mu.Lock()
	accepted := n.accepted
	n.mu.Unlock()
	replayed, again, err := n.replay(t)
	switch {
	case err != nil && accepted.Hash == "" && !whole:
		t.Logf("no chain: %v", err)
	case err != nil && differs != "":
		t.Logf("%v, for %s", err, differs)
	case err != nil:
		t.Error(err)
	case differs != "":
		t.Errorf("executed again with the same roots, in spite of: %s", differs)
	case accepted.Hash != "" && (replayed < accepted.Number || replayed == accepted.Number && again != accepted.Hash):
		t.Errorf("block %d %s was accepted, the stored chain ends with %d %s", accepted.Number, accepted.Hash, replayed, again)
	case whole && (replayed < number || replayed == number && again != hash):
		t.Errorf("the head was %d %s, that of the stored chain is %d %s", number, hash, replayed, again)
	}
}

// TestDrawIsSeeded: a seed gives the same trials, of every stage, and another seed others.
func TestDrawIsSeeded(t *testing.T) {
	names := func(seed uint64) (list []string) {
		for _, c := range draw(trials(), seed, share) {
			list = append(list, c.name())
		}
		return list
	}
	one := names(7)
	if !slices.Equal(one, names(7)) || slices.Equal(one, names(8)) {
		t.Error("the seed does not decide")
	}
	if len(one) != 4*share {
		t.Errorf("drawn %v", one)
	}
}

// TestTrialsAreDetermined: each trial says what the node must do, or why two ends are right.
func TestTrialsAreDetermined(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range trials() {
		if (c.want == either) != (c.why != "") {
			t.Errorf("%s: want %q for the reason %q", c.name(), c.want, c.why)
		}
		if c.want != serves && c.says == "" {
			t.Errorf("%s: the error is not looked at", c.name())
		}
		if name := c.name(); names[name] {
			t.Errorf("%s is there twice", name)
		} else {
			names[name] = true
		}
	}
}
