package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/latency"
	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/process"
)

// TestIntervals: only heights that follow each other and that are wanted count, from one decision to the next.
func TestIntervals(t *testing.T) {
	at := func(height uint64, ms, txs int) decidedHeight {
		return decidedHeight{height, time.Unix(1_800_000_000, 0).Add(time.Duration(ms) * time.Millisecond), txs}
	}
	list := []decidedHeight{at(1, 0, 0), at(2, 10, 500), at(3, 40, 500), at(4, 80, 499), at(5, 90, 500), at(7, 500, 500), at(8, 520, 500)}
	var times latency.Histogram
	if n := intervals(list, &times, func(a, b decidedHeight) bool { return a.Transactions == 500 && b.Transactions == 500 }); n != 2 {
		t.Errorf("%d intervals", n)
	}
	if p := times.Percentiles(); p.Count != 2 || p.Max != 30 || p.Mean != 25 {
		t.Errorf("%+v", p)
	}
	if n := intervals(nil, &times, nil); n != 0 {
		t.Error(n)
	}
}

// TestNetworkRatios: they are to solo, wherever it stands; without it there are none.
func TestNetworkRatios(t *testing.T) {
	run := func(name string, n int, empty, full, cpu, speed float64) NetworkRun {
		return NetworkRun{Consensus: name, Validators: n, Empty: Heights{Milliseconds: latency.Percentiles{P50: empty}, CPU: cpu},
			Full: Heights{Milliseconds: latency.Percentiles{P50: full}, CPU: cpu * 10, Processes: map[string]float64{"ordo": cpu * 10}}, Load: NetworkLoad{Speed: speed}}
	}
	r := &NetworkReport{Baseline: "solo, 1 validator", Block: 500, Skipped: []string{"raft: it is not built: make build"}, Runs: []NetworkRun{run("comet", 4, 30, 320, 12, 500), run(solo, 1, 3, 100, 6, 2000)}}
	r.compare()
	if q := *r.Runs[0].Ratios; q != (Ratios{Empty: 10, Full: 3.2, EmptyCPU: 2, FullCPU: 2, Speed: 0.25, Allowed: 440}) {
		t.Errorf("%+v", q)
	}
	if q := *r.Runs[1].Ratios; q != (Ratios{Empty: 1, Full: 1, EmptyCPU: 1, FullCPU: 1, Speed: 1}) {
		t.Errorf("%+v", q)
	}
	var out bytes.Buffer
	r.Print(&out)
	for _, want := range []string{"comet  4    30.0 ms", "440 ms", "not measured: raft: it is not built", "500 txs p50", "comet, 4: ordo 0.0 / 120.0"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	r.Runs = r.Runs[:1]
	r.Runs[0].Ratios = nil
	if r.compare(); r.Baseline != "" || r.Runs[0].Ratios != nil {
		t.Error("ratios to nothing")
	}
	r.Print(&out)
}

// TestUsageShare: what processes used between two looks, those that began in between too, is shared.
func TestUsageShare(t *testing.T) {
	before := usage{1: {Name: "ordo", CPU: 5}, 2: {Name: "comet", CPU: 1}}
	after := usage{1: {Name: "ordo", CPU: 7}, 2: {Name: "comet", CPU: 1.5}, 3: process.Usage{Name: "ordo", CPU: 0.5}}
	sum := usage{}
	sum.add(after.since(before))
	sum.add(after.since(before))
	if all, by := sum.share(100); all != 60 || by["ordo"] != 50 || by["comet"] != 10 || after[1].CPU != 7 {
		t.Errorf("%v %v", all, by)
	}
}

// TestNetworkOptionsAreChecked: what cannot be measured is refused before anything starts.
func TestNetworkOptionsAreChecked(t *testing.T) {
	good := defaultNetwork()
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for flag, change := range map[string]func(*networkOptions){
		"--consensus": func(o *networkOptions) { o.consensus = nil }, "--validators": func(o *networkOptions) { o.validators = []int{0} },
		"--heights": func(o *networkOptions) { o.heights = 5000 }, "--blocks": func(o *networkOptions) { o.blocks = 2 },
		"--accounts": func(o *networkOptions) { o.accounts = 256 }, "--duration": func(o *networkOptions) { o.duration = time.Millisecond },
	} {
		o := good
		if change(&o); o.check() == nil || !strings.Contains(o.check().Error(), flag) {
			t.Errorf("%s: %v", flag, o.check())
		}
	}
}
