package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/latency"
	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/load"
	"github.com/ordo-sequencer/ordo/test/attack/attacker"
)

// TestDeal: every attack has as many turns as any other, and the seed decides their order.
func TestDeal(t *testing.T) {
	names := func(seed uint64, n int) (list []string) {
		next := deal(attacker.All(), seed)
		for range n {
			list = append(list, next().Name())
		}
		return list
	}
	all := len(attacker.All())
	list, times := names(1, 3*all), map[string]int{}
	for _, name := range list {
		times[name]++
	}
	if len(times) != all {
		t.Errorf("%d of %d attacks had a turn", len(times), all)
	}
	for name, n := range times {
		if n != 3 {
			t.Errorf("%s had %d turns", name, n)
		}
	}
	if strings.Join(list, ",") != strings.Join(names(1, 3*all), ",") || strings.Join(list, ",") == strings.Join(names(2, 3*all), ",") {
		t.Error("the seed does not decide the order")
	}
}

// TestJudge: each promise, broken alone, is told.
func TestJudge(t *testing.T) {
	good := func() *round {
		times := func(ms float64) latency.Percentiles { return latency.Percentiles{P99: ms} }
		return &round{options: options{ceilingMiB: 100, factor: 3}, part: &Part{
			Calm:     &load.Report{PreConfirmed: times(10)},
			Attacked: &load.Report{Submitted: 50, Accepted: 50, PreConfirmed: times(29)},
			Memory:   Memory{Peak: 99},
		}}
	}
	for _, c := range []struct {
		name, want string
		change     func(*Part)
	}{
		{"all is well", "", func(*Part) {}},
		{"memory", "the ceiling is 100", func(p *Part) { p.Memory.Peak = 101 }},
		{"lost", "1 lost", func(p *Part) { p.Attacked.Accepted, p.Attacked.Lost = 49, 1 }},
		{"not taken", "2 not taken", func(p *Part) { p.Attacked.Unsent = 2 }},
		{"refused", "1 refusals", func(p *Part) { p.Attacked.Refused = map[string]int{"-32005 busy": 1} }},
		{"slow", "3.1 times", func(p *Part) { p.Attacked.PreConfirmed.P99 = 31 }},
		{"nothing seen", "0.0 times", func(p *Part) { p.Attacked.PreConfirmed.P99 = 0 }},
		{"an attack that did not happen", "it had no turn", func(p *Part) {
			p.Attacks = []*attacker.Tally{attacker.NewTally(attacker.All()[0].Name())}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := good()
			c.change(r.part)
			r.judge()
			got := strings.Join(r.part.Failed, "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) || c.want != "" && len(r.part.Failed) != 1 {
				t.Errorf("failed: %q, want %q", got, c.want)
			}
		})
	}
}

// TestCgroup: a process in it that takes more than the limit is ended, and counted.
func TestCgroup(t *testing.T) {
	if why := cgroupsMissing(); why != "" {
		t.Skip(why)
	}
	g, err := newCgroup(16)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.remove(); err != nil {
			t.Error(err)
		}
	}()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(mib string) error {
		cmd := exec.Command(self, "-test.run=TestTakesMemory")
		cmd.Env = append(os.Environ(), "ORDO_ATTACK_ENTER="+g.dir, "ORDO_ATTACK_TAKE="+mib)
		return cmd.Run()
	}
	if err := run("1M"); err != nil {
		t.Errorf("below the limit: %v", err)
	}
	if n, err := g.kills(); n != 0 || err != nil {
		t.Errorf("%d kills, %v", n, err)
	}
	if run("64M") == nil {
		t.Error("a process took four times the limit")
	}
	if n, err := g.kills(); n != 1 || err != nil {
		t.Errorf("%d kills, want 1, %v", n, err)
	}
	if p := g.peak(); p < 8 || p > 17 {
		t.Errorf("the peak is %.1f MiB", p)
	}
}

// TestTakesMemory is not a test: TestCgroup runs it as the process that enters and takes.
func TestTakesMemory(t *testing.T) {
	dir := os.Getenv("ORDO_ATTACK_ENTER")
	if dir == "" {
		t.Skip("TestCgroup runs it")
	}
	// dd reads a block of that size into memory at once.
	t.Fatal(enter([]string{dir, "/bin/dd", "if=/dev/zero", "of=/dev/null", "count=1", "status=none", "bs=" + os.Getenv("ORDO_ATTACK_TAKE")}))
}
