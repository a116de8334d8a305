package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// inFlight is how many chunks the core leaves unanswered.
const inFlight = 4

// through is the plugin process, reached as the core reaches it.
type through struct {
	plugin      *host.Plugin
	execution   ordov1.ExecutionClient
	description ordov1.PluginClient
	attempt     uint64
	calls       map[string]uint64 // counters of the plugin after the round before
}

func startPlugin(ctx context.Context, path string, o options, w *workload) (*through, error) {
	native := "off"
	if o.native {
		native = "wait" // compiled before the first use: what is measured is the running
	}
	settings, err := json.Marshal(map[string]any{"workers": o.workers, "executor": "concurrent", "native": native})
	if err != nil {
		return nil, err
	}
	p, err := host.Start(ctx, host.Options{Logger: hclog.New(&hclog.LoggerOptions{Name: "bench", Level: hclog.Warn, Output: os.Stderr})}, host.Spec{
		Stage: ordov1.Stage_STAGE_EXECUTION, Path: path, Config: settings,
		Chain: &ordov1.Chain{
			ChainId: chainID, StarknetVersion: w.open.Context.StarknetVersion,
			StrkFeeToken: genesis.STRKAddress().Append(nil), EthFeeToken: genesis.ETHAddress().Append(nil),
		},
	})
	if err != nil {
		return nil, err
	}
	t := &through{plugin: p, execution: ordov1.NewExecutionClient(p.Conn()), description: ordov1.NewPluginClient(p.Conn())}
	if _, err := t.execution.Apply(ctx, w.state); err != nil {
		p.Kill()
		return nil, fmt.Errorf("apply the state: %w", err)
	}
	return t, nil
}

// run builds the block once and measures from Open to Closed. The block is never applied, so each round starts equal.
func (t *through) run(ctx context.Context, w *workload) (round, error) {
	t.attempt++
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	used := usedBy(t.plugin.Pid())
	begun := time.Now()
	stream, err := t.execution.Build(ctx)
	if err != nil {
		return round{}, err
	}
	if err := stream.Send(open(w.open, t.attempt)); err != nil {
		return round{}, fmt.Errorf("build: %w", err)
	}
	sent, done := 0, 0
	for done < w.n {
		for sent < len(w.chunks) && (sent-done/perChunk) < inFlight {
			if err := stream.Send(add(w.chunks[sent])); err != nil {
				return round{}, fmt.Errorf("build: %w", err)
			}
			sent++
		}
		answer, err := stream.Recv()
		if err != nil {
			return round{}, fmt.Errorf("build: %w", err)
		}
		if full := answer.GetFull(); full != nil {
			return round{}, fmt.Errorf("build: the block is full at %d: %s", full.N, full.Why)
		}
		for _, r := range answer.GetResults().GetResults() {
			if r.Status != ordov1.TransactionResult_SUCCEEDED {
				return round{}, fmt.Errorf("build: transaction %d: %s: %s", done, r.Status, r.Reason)
			}
			done++
		}
	}
	if err := stream.Send(closing(w.n)); err != nil {
		return round{}, fmt.Errorf("build: %w", err)
	}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return round{}, errors.New("build: the stream ended before Closed")
		}
		if err != nil {
			return round{}, fmt.Errorf("build: %w", err)
		}
		if closed := answer.GetClosed(); closed != nil {
			r := round{Transactions: done, Seconds: time.Since(begun).Seconds(), DiffLength: length(closed.StateDiff)}
			r.Processor = usedBy(t.plugin.Pid()) - used
			return r, t.count(ctx, &r)
		}
	}
}

// usedBy is the processor time that a process has used so far, in steps of 10 ms; 0 where /proc is not there.
func usedBy(pid int) float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field is the name, in parentheses; it may hold anything.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

// count tells the calls of a round by the engine that ran them.
func (t *through) count(ctx context.Context, r *round) error {
	now, err := t.description.Describe(ctx, new(ordov1.DescribeRequest))
	if err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	r.NativeCalls = now.Counters["calls.native"] - t.calls["calls.native"]
	r.VMCalls = now.Counters["calls.vm"] - t.calls["calls.vm"]
	t.calls = now.Counters
	return nil
}

// length counts the cells that a diff changes.
func length(d *ordov1.StateDiff) int {
	n := (len(d.Deployed) + len(d.Replaced) + len(d.Nonces) + len(d.Declared)) / 64
	for _, s := range d.Storage {
		n += len(s.Entries) / 64
	}
	return n
}

// bare runs the crate without plugin, gRPC or results, in a process of its own that measures itself. It stays warm from
// round to round, as the plugin does.
type bare struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	path string
}

func startBare(ctx context.Context, path, file string, o options, more ...string) (*bare, error) {
	args := append([]string{"bench", file, "--workers", strconv.Itoa(o.workers), "--chain-id", chainID, "--rounds-from-stdin"}, more...)
	if o.native {
		args = append(args, "--native")
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stderr = io.Discard // class by class, which engine runs it: the plugin says the same
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &bare{cmd: cmd, in: in, out: bufio.NewScanner(out), path: path}, nil
}

func (b *bare) close() {
	_ = b.in.Close()
	_ = b.cmd.Wait()
}

func (b *bare) run() (round, error) {
	used := usedBy(b.cmd.Process.Pid)
	if _, err := io.WriteString(b.in, "round\n"); err != nil {
		return round{}, fmt.Errorf("%s bench: %w", b.path, err)
	}
	if !b.out.Scan() {
		return round{}, fmt.Errorf("%s bench ended: run `%s bench` by hand to see why", b.path, b.path)
	}
	var answer struct {
		Tx          int     `json:"tx"`
		Rejected    int     `json:"rejected"`
		Seconds     float64 `json:"seconds"`
		Length      int     `json:"state_diff_length"`
		NativeCalls uint64  `json:"native_calls"`
		VMCalls     uint64  `json:"vm_calls"`
	}
	if err := json.Unmarshal(b.out.Bytes(), &answer); err != nil {
		return round{}, fmt.Errorf("%s bench printed %q: %w", b.path, b.out.Text(), err)
	}
	if answer.Rejected > 0 {
		return round{}, fmt.Errorf("%s bench: %d transactions were rejected", b.path, answer.Rejected)
	}
	return round{
		Transactions: answer.Tx, Seconds: answer.Seconds, DiffLength: answer.Length,
		NativeCalls: answer.NativeCalls, VMCalls: answer.VMCalls,
		Processor: usedBy(b.cmd.Process.Pid) - used,
	}, nil
}
