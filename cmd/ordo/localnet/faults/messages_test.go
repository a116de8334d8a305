package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/disturb"
	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/sdk/regions"
)

func keys(n int) (all []identity.ID) {
	for k := range n {
		all = append(all, identity.ID{byte(k + 1)})
	}
	return all
}

// TestMessageText: what a rule says of itself, and what is wrong with one.
func TestMessageText(t *testing.T) {
	span, err := ParseSpan("50ms..200ms")
	if err != nil {
		t.Fatal(err)
	}
	m := Message{Rule: disturb.Rule{Seed: 7, Drop: 0.1, Duplicate: 0.05, Corrupt: 0.01, Delay: span, Reorder: true}, Between: []int{1, 2}}
	if got, want := m.String(), "messages: drop 0.1, duplicate 0.05, corrupt 0.01, delay 50ms..200ms, reorder, between 1,2 (seed 7)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := m.Check([]int{0, 1, 2, 3}); err != nil {
		t.Error(err)
	}
	for want, m := range map[string]Message{
		"name a fault":             {},
		"from 0 to 1":              {Rule: disturb.Rule{Drop: 1.5}},
		"the shorter one first":    {Rule: disturb.Rule{Delay: disturb.Span{Low: time.Second}}},
		"choose among [0 1 2 3]":   {Rule: disturb.Rule{Drop: 0.5}, Between: []int{7}},
		"choose a duration from 0": {Rule: disturb.Rule{Delay: disturb.Span{High: time.Hour}}},
	} {
		if err := m.Check([]int{0, 1, 2, 3}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", m, err, want)
		}
	}
	for _, text := range []string{"", "5", "1ms..", "fast"} {
		if _, err := ParseSpan(text); err == nil {
			t.Errorf("%q is a span", text)
		}
	}
	if _, err := ParseNodes("1,x"); err == nil {
		t.Error("x is a node")
	}
}

// TestPlanOf: a rule reaches the messages that it names, and regions add half a round trip.
func TestPlanOf(t *testing.T) {
	all := []int{0, 1, 2, 3}
	receivers := func(m Message, from int) (list []int) {
		for _, r := range PlanOf([]Message{m}, from, keys(4), all).Rules {
			for _, to := range r.To {
				list = append(list, int(to[0])-1)
			}
		}
		return list
	}
	drop := disturb.Rule{Drop: 0.5}
	for _, c := range []struct {
		between []int
		from    int
		want    int
	}{{nil, 0, 3}, {[]int{1, 2}, 1, 1}, {[]int{1, 2}, 0, 0}, {[]int{3}, 3, 3}, {[]int{3}, 0, 1}} {
		if got := receivers(Message{Rule: drop, Between: c.between}, c.from); len(got) != c.want {
			t.Errorf("between %v: node %d has a rule for %v", c.between, c.from, got)
		}
	}
	twins := keys(4)
	twins[3] = twins[0]
	if p := PlanOf([]Message{{Rule: drop}}, 0, twins, all); len(p.Rules) != 1 || len(p.Rules[0].To) != 2 {
		t.Errorf("a node and its twin: %+v", p)
	}
	m := Message{Rule: disturb.Rule{Delay: disturb.Span{High: time.Millisecond}}}
	if err := m.SetRegions("us-east, eu-west"); err != nil {
		t.Fatal(err)
	}
	p := PlanOf([]Message{m}, 0, keys(4), all)
	if len(p.Rules) != 2 || p.Rules[0].Delay.Low != regions.RoundTrip("us-east", "eu-west")/2 || p.Rules[0].Delay.High != p.Rules[0].Delay.Low+time.Millisecond {
		t.Errorf("%+v", p)
	}
}

// TestRegionsFile: a table of one-way times, and what is wrong with one.
func TestRegionsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table")
	try := func(text string) (m Message, err error) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return m, m.SetRegions(path)
	}
	m, err := try("# from to\n0s 40ms\n\n35ms 0s # back\n")
	if err != nil || m.way(0, 1) != 40*time.Millisecond || m.way(1, 2) != 35*time.Millisecond || m.way(2, 0) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	for text, want := range map[string]string{"": "as many columns as rows", "0s 1s\n": "as many columns as rows", "0s x\n1s 0s\n": "line 1", "0s 1h\n1s 0s\n": "durations from 0s to 10s"} {
		if _, err := try(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if err := new(Message).SetRegions("mars"); err == nil || !strings.Contains(err.Error(), "us-east") {
		t.Error(err)
	}
}
