package main

import (
	"context"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseProcessorTimes(t *testing.T) {
	for _, c := range []struct {
		text string
		want processorTimes
		ok   bool
	}{
		{"cpu  100 20 30 4000 50 1 2 7 60 5\ncpu0 1 1 1 1 1 1 1 1 0 0\nintr 5\n", processorTimes{160, 4210}, true}, // guests are counted as users
		{"intr 5\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu  1 2 3 4\n", processorTimes{6, 10}, true},                          // before Linux 2.6
		{"cpu  1 2 3 4 5 6 7 8 9 10 11 12\n", processorTimes{27, 36}, true},
		{"cpu0 1 2 3 4 5 6 7 8 0 0\n", processorTimes{}, false},
		{"cpu  1 2 3\n", processorTimes{}, false},
		{"cpu  1 2 x 4\n", processorTimes{}, false},
		{"cpu  1 2 -3 4\n", processorTimes{}, false},
		{"", processorTimes{}, false},
	} {
		if got, ok := parseProcessorTimes(c.text); got != c.want || ok != c.ok {
			t.Errorf("%q: %+v, %t", c.text, got, ok)
		}
	}
}

func TestShareInUse(t *testing.T) {
	before := processorTimes{busy: 1000, all: 5000}
	for _, c := range []struct {
		now  processorTimes
		want float64
	}{
		{processorTimes{1025, 5100}, 0.25},
		{processorTimes{1100, 5100}, 1},
		{processorTimes{1100, 5090}, 1}, // iowait went back
		{processorTimes{1000, 5100}, 0},
		{before, 0},
		{processorTimes{}, 0},
	} {
		if got := c.now.since(before); got != c.want {
			t.Errorf("%+v: %f, not %f", c.now, got, c.want)
		}
	}
}

// TestBusy: a processor that works all the time is seen.
func TestBusy(t *testing.T) {
	if _, err := os.Stat("/proc/stat"); err != nil {
		t.Skip("no /proc here")
	}
	var stop atomic.Bool
	defer stop.Store(true)
	go func() {
		for !stop.Load() {
		}
	}()
	if share := busy(); share < 0.5/float64(runtime.NumCPU()) || share > 1 {
		t.Errorf("%.2f of %d processors", share, runtime.NumCPU())
	}
}

func TestQuietEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		begun := time.Now()
		if quiet(ended); time.Since(begun) > 0 {
			t.Error("waits on after the end")
		}
	})
}
