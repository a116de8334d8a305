package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestReport: the machine slows down from the second pair on; the ratio is that of pairs, not of medians.
func TestReport(t *testing.T) {
	r := Report{Transactions: 100, Workers: 2, Processors: 2}
	for _, seconds := range [][2]float64{{1, 1}, {4, 2}, {8, 4}} {
		r.Plugin.Rounds = append(r.Plugin.Rounds, round{Transactions: 100, Seconds: seconds[0]})
		r.Bare.Rounds = append(r.Bare.Rounds, round{Transactions: 100, Seconds: seconds[1]})
		r.Published.Rounds = append(r.Published.Rounds, round{Transactions: 100, Seconds: 2 * seconds[0]})
	}
	r.settle()
	if r.Plugin.Median != 25 || r.Bare.Median != 50 || r.Ratio != 0.5 || r.Gain != 2 {
		t.Errorf("got %+v", r)
	}
	var out bytes.Buffer
	if err := r.print(&out, ""); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"plugin            25 tx/s  (12 to 100 in 3 rounds)", "bare crate        50 tx/s", "ratio          0.500", "published         12 tx/s", "ratio           2.00       (plugin / crates as published)"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q in\n%s", line, out.String())
		}
	}
}
