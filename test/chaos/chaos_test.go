package main

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/test/need"
)

var timeOfDay = regexp.MustCompile(`\d\d:\d\d:\d\d\.\d{3}`)

// TestChaos is the short form of `make chaos`: one chain and some strikes. ORDO_CHAOS_SEED repeats a run.
func TestChaos(t *testing.T) {
	bin := need.Binaries(t, "plugins/ordo-execution-blockifier", "plugins/ordo-storage-badger")
	report := short(t, options{bin: bin, kills: 16, each: 16, limit: 22 * time.Second})
	if report.strikes < 3 || report.included < 20 || report.roots == 0 {
		t.Errorf("nothing was tried: %d strikes, %d transactions, %d roots", report.strikes, report.included, report.roots)
	}
}

// TestChaosOfNetwork is the short form of `make chaos ARGS="--localnet 4"`: a strike on each node of a network, or more.
func TestChaosOfNetwork(t *testing.T) {
	bin := need.Binaries(t, "plugins/ordo-execution-blockifier", "plugins/ordo-storage-badger", "plugins/ordo-consensus-comet")
	report := short(t, options{bin: bin, kills: 4, each: 4, limit: 15 * time.Second, killOnly: true, localnet: 4, consensus: "comet"})
	if report.strikes < 2 || report.included < 20 || report.databases != 4 || len(report.proposers) < 2 {
		t.Errorf("nothing was tried: %d strikes, %d transactions, %d databases, blocks of %v", report.strikes, report.included, report.databases, report.proposers)
	}
}

// short is a run of one round, which finds nothing wrong.
func short(t *testing.T, o options) *report {
	if testing.Short() {
		t.Skip("starts and kills real processes for half a minute")
	}
	o.seed = uint64(time.Now().UnixNano()) % 1_000_000_000
	if text := os.Getenv("ORDO_CHAOS_SEED"); text != "" {
		var err error
		if o.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("ORDO_CHAOS_SEED: %v", err)
		}
	}
	o.pace, o.targets, o.logLevel = 60*time.Millisecond, append([]string{core}, stages...), "warn"
	var err error
	if o.dir, err = os.MkdirTemp("", "ordo-chaos-test-"); err != nil { // it stays, with what failed
		t.Fatal(err)
	}
	var out strings.Builder
	report, err := run(t.Context(), o, &out)
	t.Logf("%s\nagain: ORDO_CHAOS_SEED=%d go test ./test/chaos -run '^%s$'", out.String(), o.seed, t.Name())
	if err != nil {
		t.Fatal(err)
	}
	if failed := report.failed(); len(failed) > 0 {
		t.Errorf("%d violations", len(failed))
	}
	return report
}

// TestPlan: a seed gives the same strikes, and all kinds of them.
func TestPlan(t *testing.T) {
	draw := func(seed uint64) (list []string) {
		p := newPlanner(seed, options{targets: append([]string{core}, stages...)})
		for range 300 {
			list = append(list, p.next().String())
		}
		return list
	}
	one := draw(7)
	if !slices.Equal(one, draw(7)) || slices.Equal(one, draw(8)) {
		t.Error("the seed does not decide")
	}
	text := strings.Join(one, "\n")
	for _, kind := range []string{"kill -9 core", "kill -9 ordering", "kill -9 execution", "kill -9 storage", "kill -9 consensus", "kill -9 all five",
		"stop storage", "stop, kill -9 after", "stop for", "then after", "execution+storage"} {
		if !strings.Contains(text, kind) {
			t.Errorf("no %s", kind)
		}
	}
}

// TestPlanOfNetwork: the strikes fall on every node, and a node that is killed is down for a while.
func TestPlanOfNetwork(t *testing.T) {
	p := newPlanner(7, options{targets: append([]string{core}, stages...), localnet: 4})
	struck, down := map[int]int{}, 0
	for range 200 {
		s := p.next()
		struck[s.node]++
		if ends := s.has(core) && !s.resume; ends != (s.down > 0) {
			t.Errorf("%s: down for %s", s, s.down)
		}
		if s.down > 0 {
			down++
		}
	}
	if len(struck) != 4 || down < 40 {
		t.Errorf("strikes by node %v, %d nodes were down", struck, down)
	}
}
