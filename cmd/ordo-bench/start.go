package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/client"
)

const startLong = `Measure the time from the start of the process ` + "`ordo dev`" + ` to its first answered request.

Cold: nothing is there, neither a chain nor what plugins keep in their cache. Warm: the chain and the cache of a run before,
with some blocks in the chain. Files are in the page cache of the system both times.`

// StartReport is what a run found.
type StartReport struct {
	Environment
	Cold  Starts   `json:"cold"`
	Warm  Starts   `json:"warm"`
	Flags []string `json:"flags,omitempty"`
}

// Starts is several starts of a kind, in milliseconds.
type Starts struct {
	Median float64   `json:"median_ms"`
	All    []float64 `json:"all_ms"`
	Phases []Phase   `json:"phases"` // of the median start
}

// Phase ends with something that the log tells.
type Phase struct {
	Until string  `json:"until"`
	MS    float64 `json:"ms"`
}

type startOptions struct {
	rounds   int
	nodeArgs []string
	json     string
	quiet    bool
}

func startCommand() *cobra.Command {
	o := startOptions{rounds: 5}
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Time from the start of a node to its first answer",
		Long:  startLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := runStart(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("start: %w", err)
			}
			report.Print(cmd.OutOrStdout())
			return writeJSON(o.json, report)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.rounds, "rounds", o.rounds, "starts of each kind")
	f.StringArrayVar(&o.nodeArgs, "node-arg", nil, "another argument for the node, repeatable")
	f.StringVar(&o.json, "json", "", "also write the report to this file")
	f.BoolVar(&o.quiet, "quiet", false, "no progress bar")
	f.SortFlags = false
	return cmd
}

func runStart(ctx context.Context, o startOptions) (*StartReport, error) {
	if o.rounds < 1 {
		return nil, errors.New("--rounds must be at least 1")
	}
	dir, remove, err := scratch("")
	if err != nil {
		return nil, err
	}
	defer remove()
	report := &StartReport{Environment: environment(), Flags: o.nodeArgs}
	bar := newBar(2*o.rounds+1, o.quiet, "cold start")
	defer bar.Finish()
	var cold, warm []started
	for i := range o.rounds {
		s, err := startOnce(ctx, filepath.Join(dir, fmt.Sprintf("cold-%d", i)), o.nodeArgs, false)
		if err != nil {
			return nil, err
		}
		cold = append(cold, s)
		_ = bar.Add(1)
	}
	bar.Describe("warm start")
	for i := range o.rounds + 1 { // the first makes what the others find
		s, err := startOnce(ctx, filepath.Join(dir, "warm"), o.nodeArgs, i == 0)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			warm = append(warm, s)
		}
		_ = bar.Add(1)
	}
	report.Cold, report.Warm = starts(cold), starts(warm)
	return report, nil
}

// started is one start.
type started struct {
	took   time.Duration
	phases []Phase
}

func starts(list []started) Starts {
	slices.SortFunc(list, func(a, b started) int { return int(a.took - b.took) })
	middle := list[(len(list)-1)/2]
	out := Starts{Median: milliseconds(middle.took), Phases: middle.phases}
	for _, s := range list {
		out.All = append(out.All, milliseconds(s.took))
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// startOnce starts a node and asks it from the first moment on. Its port is chosen here, so that no caller has to wait for the
// line that tells it.
func startOnce(ctx context.Context, dir string, args []string, blocks bool) (started, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return started{}, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	cache := filepath.Join(dir, "cache")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return started{}, err
	}
	args = append([]string{"--port", strconv.Itoa(port), "--log-level", "info"}, args...)
	n, err := launch(filepath.Join(dir, "chain"), "", []string{"XDG_CACHE_HOME=" + cache}, args...)
	if err != nil {
		return started{}, err
	}
	node := client.Node{URL: fmt.Sprintf("http://127.0.0.1:%d", port), HTTP: &http.Client{Timeout: readyTimeout}}
	s := started{}
	for {
		var height uint64
		if node.Call(ctx, "starknet_blockNumber", []any{}, &height) == nil {
			s.took = time.Since(n.Begun)
			break
		}
		select {
		case <-n.done:
			return s, fmt.Errorf("ordo dev ended before it answered: %w: %s", n.end(), n.errors)
		case <-ctx.Done():
			return s, errors.Join(ctx.Err(), n.stop())
		case <-time.After(time.Millisecond):
		}
	}
	s.phases = phases(n.errors.String(), n.Begun, s.took)
	if blocks {
		for range 12 { // more than the protocol looks back
			if err := node.Call(ctx, "devnet_createBlock", []any{}, nil); err != nil {
				return s, errors.Join(err, n.stop())
			}
		}
	}
	return s, n.stop()
}

// logLine is such as `21:00:00.123 [INFO]  ordo.storage/badger: started: version=0.1.0 pid=7`.
var logLine = regexp.MustCompile(`^(\d\d:\d\d:\d\d\.\d{3}) \[INFO\] +([^ ]+): started: .*$`)

// phases reads from the log when each plugin was ready.
func phases(log string, begun time.Time, took time.Duration) []Phase {
	var list []Phase
	last := time.Duration(0)
	add := func(until string, at time.Duration) {
		list = append(list, Phase{until, milliseconds(at - last)})
		last = at
	}
	for line := range strings.Lines(log) {
		m := logLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		clock, err := time.ParseInLocation("15:04:05.000", m[1], begun.Location())
		if err != nil {
			continue
		}
		// The log has no date: the line is of the day of the start, or of the next.
		at := time.Date(begun.Year(), begun.Month(), begun.Day(), clock.Hour(), clock.Minute(), clock.Second(), clock.Nanosecond(), begun.Location()).Sub(begun)
		if at < -time.Hour {
			at += 24 * time.Hour
		}
		name := m[2][strings.LastIndexByte(m[2], '.')+1:]
		add(name+" ready", max(at, last))
	}
	add("first answer", max(took, last))
	return list
}

// Print writes a report for people.
func (r *StartReport) Print(out io.Writer) {
	for _, kind := range []struct {
		name string
		Starts
	}{{"cold", r.Cold}, {"warm", r.Warm}} {
		fmt.Fprintf(out, "%s start: %.0f ms to the first answer (median of %d, %.0f to %.0f)\n", kind.name, kind.Median, len(kind.All), slices.Min(kind.All), slices.Max(kind.All))
		for _, p := range kind.Phases {
			fmt.Fprintf(out, "  %8.0f ms until %s\n", p.MS, p.Until)
		}
	}
}
