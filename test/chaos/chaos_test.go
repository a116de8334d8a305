package main

import (
	"os"
	"path/filepath"
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
	if testing.Short() {
		t.Skip("starts and kills real processes for half a minute")
	}
	seed := uint64(time.Now().UnixNano()) % 1_000_000_000
	if text := os.Getenv("ORDO_CHAOS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("ORDO_CHAOS_SEED: %v", err)
		}
	}
	var out strings.Builder
	report, err := run(t.Context(), options{
		bin: bin, seed: seed, kills: 16, each: 16, limit: 22 * time.Second, pace: 60 * time.Millisecond,
		targets: append([]string{core}, stages...), dir: filepath.Join(os.TempDir(), "ordo-chaos-test-"+strconv.FormatUint(seed, 10)),
	}, &out)
	t.Logf("%s\nagain: ORDO_CHAOS_SEED=%d go test ./test/chaos", out.String(), seed)
	if err != nil {
		t.Fatal(err)
	}
	if failed := report.failed(); len(failed) > 0 {
		t.Errorf("%d violations", len(failed))
	}
	if report.strikes < 5 || report.included < 20 || report.roots == 0 {
		t.Errorf("nothing was tried: %d strikes, %d transactions, %d roots", report.strikes, report.included, report.roots)
	}
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
