package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk/regions"
)

func mustPartition(t *testing.T, p Plan, groups string) Plan {
	t.Helper()
	p, err := p.Partition(groups)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustDelay(t *testing.T, p Plan, text string, jitter time.Duration, rate int64) Plan {
	t.Helper()
	p, err := p.Delayed(text, jitter, rate)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPartitionCutsBetweenGroupsOnly: both directions are cut, within a group nothing is, and nodes that are not named stay together.
func TestPartitionCutsBetweenGroupsOnly(t *testing.T) {
	for _, c := range []struct {
		groups string
		same   [][2]int
		cut    [][2]int
	}{
		{"0,1|2,3", [][2]int{{0, 1}, {2, 3}, {4, 5}}, [][2]int{{0, 2}, {1, 3}, {0, 4}, {3, 4}}},
		{"3", [][2]int{{0, 1}, {1, 2}, {0, 9}}, [][2]int{{0, 3}, {3, 9}}},
		{" 0 | 1 , 2 ", [][2]int{{1, 2}}, [][2]int{{0, 1}, {0, 2}}},
	} {
		p := mustPartition(t, Plan{}, c.groups)
		for _, pair := range c.same {
			if p.Between(pair[0], pair[1]).Cut || p.Between(pair[1], pair[0]).Cut {
				t.Errorf("%q cuts %v", c.groups, pair)
			}
		}
		for _, pair := range c.cut {
			if !p.Between(pair[0], pair[1]).Cut || !p.Between(pair[1], pair[0]).Cut {
				t.Errorf("%q does not cut %v", c.groups, pair)
			}
		}
		if p.Heal().Between(0, 3).Cut || p.Heal().String() != "" {
			t.Errorf("%q is not healed", c.groups)
		}
	}
}

// TestDelaysAreHalfARoundTrip: regions repeat over the nodes, the table is symmetrical, and a partition keeps its delays.
func TestDelaysAreHalfARoundTrip(t *testing.T) {
	p := mustDelay(t, Plan{}, "us-east,eu-west,ap-northeast", 3*time.Millisecond, 1000)
	if got, want := p.Between(0, 1), (Fault{Delay: 40500 * time.Microsecond, Jitter: 3 * time.Millisecond, Rate: 1000}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if p.Between(0, 3).Delay != 500*time.Microsecond || p.Between(3, 4) != p.Between(0, 1) {
		t.Error("node 3 is not in the region of node 0")
	}
	for _, a := range regions.Names() {
		for _, b := range regions.Names() {
			if regions.RoundTrip(a, b) != regions.RoundTrip(b, a) || regions.RoundTrip(a, b) == 0 || (a == b) != (regions.RoundTrip(a, b) == time.Millisecond) {
				t.Errorf("%s to %s: %s, back %s", a, b, regions.RoundTrip(a, b), regions.RoundTrip(b, a))
			}
		}
	}
	cut := mustPartition(t, p, "0|1")
	if f := cut.Between(0, 1); !f.Cut || f.Delay != p.Between(0, 1).Delay {
		t.Errorf("%+v", f)
	}
	if cut.Heal().Between(0, 1) != p.Between(0, 1) {
		t.Error("delays are lost when a partition is healed")
	}
	if p := mustDelay(t, p, "0", 0, 0); p.Between(0, 1) != (Fault{}) {
		t.Errorf("%+v", p.Between(0, 1))
	}
	if got, want := mustDelay(t, cut, "20ms", time.Millisecond, 0).String(), "partition 0|1, delay 20ms, jitter 1ms"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestWrongPlansAreRefused: each error says what to write, and nothing changes.
func TestWrongPlansAreRefused(t *testing.T) {
	for _, groups := range []string{"", "a", "0,|1", "0,0", "0|1,0", "-1", "64", "0||1"} {
		if _, err := (Plan{}).Partition(groups); err == nil || !strings.Contains(err.Error(), "partition") {
			t.Errorf("%q: %v", groups, err)
		}
	}
	for _, c := range []struct {
		text   string
		jitter time.Duration
		rate   int64
	}{{"", 0, 0}, {"moon", 0, 0}, {"us-east,", 0, 0}, {"-1ms", 0, 0}, {"1h", 0, 0}, {"1ms", -1, 0}, {"1ms", time.Hour, 0}, {"1ms", 0, -1}} {
		if _, err := (Plan{}).Delayed(c.text, c.jitter, c.rate); err == nil || !strings.Contains(err.Error(), "delay") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
