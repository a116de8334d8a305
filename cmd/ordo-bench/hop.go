package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/latency"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/node"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

const hopLong = `Measure what a call of a plugin costs when the plugin has next to nothing to do: one call at a time, over the socket and
through the counters that the core uses, for batches of different sizes.

The ends are real plugins: ordering/fifo in Go and the example policy in Python score a batch of transactions; execution in
Rust refuses a batch of transactions that cannot be read. A transaction is an ERC-20 transfer as the core sends it.`

// HopReport is what a run found.
type HopReport struct {
	Environment
	Hops []Hop    `json:"hops"`
	Not  []string `json:"not_measured,omitempty"` // which ends, and why
}

// Hop is one end with one size of batch.
type Hop struct {
	End    string  `json:"end"` // go, rust, python
	Plugin string  `json:"plugin"`
	TLS    bool    `json:"tls"`
	Batch  int     `json:"batch"`
	Bytes  int     `json:"request_bytes"`
	Micros float64 `json:"us_per_call"` // median
	P99    float64 `json:"us_per_call_p99"`
	PerTx  float64 `json:"us_per_transaction"`
	CPU    float64 `json:"caller_cpu_us_per_call"`
	Calls  int     `json:"calls"`
}

type hopOptions struct {
	batches []int
	each    time.Duration
	python  string
	json    string
	quiet   bool
}

func hopCommand() *cobra.Command {
	o := hopOptions{batches: []int{1, 10, 100, 1000}, each: 2 * time.Second}
	cmd := &cobra.Command{
		Use:   "hop",
		Short: "What a call of a plugin costs",
		Long:  hopLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := runHop(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("hop: %w", err)
			}
			report.Print(cmd.OutOrStdout())
			return writeJSON(o.json, report)
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&o.batches, "batch", o.batches, "transactions in a call")
	f.DurationVar(&o.each, "each", o.each, "time for each end and batch")
	f.StringVar(&o.python, "python", "", "plugin file of the Python end (default: examples/ordering-python beside the binary's folder)")
	f.StringVar(&o.json, "json", "", "also write the report to this file")
	f.BoolVar(&o.quiet, "quiet", false, "no progress bar")
	f.SortFlags = false
	return cmd
}

// end is a plugin with a call that costs it next to nothing.
type end struct {
	language string
	stage    ordov1.Stage
	path     string
	// request makes the call for a batch, and tells how many bytes it sends.
	request func(conn *host.Plugin, n int) (call func(context.Context) error, bytes int)
}

func runHop(ctx context.Context, o hopOptions) (*HopReport, error) {
	if len(o.batches) == 0 || slices.Min(o.batches) < 1 || o.each <= 0 {
		return nil, errors.New("--batch and --each must be above 0")
	}
	installed, err := node.Installed()
	if err != nil {
		return nil, err
	}
	if o.python == "" {
		o.python = filepath.Join(filepath.Dir(filepath.Dir(installed.Plugins)), "examples", "ordering-python", "plugin")
	}
	ends := []end{
		{"go", ordov1.Stage_STAGE_ORDERING, filepath.Join(installed.Plugins, "ordo-ordering-fifo"), scoring},
		{"rust", ordov1.Stage_STAGE_EXECUTION, filepath.Join(installed.Plugins, "ordo-execution-blockifier"), refusing},
		{"python", ordov1.Stage_STAGE_ORDERING, o.python, scoring},
	}
	report := &HopReport{Environment: environment()}
	bar := newBar(len(ends)*2*len(o.batches), o.quiet, "hop")
	defer bar.Finish()
	for _, e := range ends {
		for _, tls := range []bool{false, true} {
			bar.Describe(fmt.Sprintf("hop to %s", e.language))
			if err := report.measure(ctx, o, e, tls, func() { _ = bar.Add(1) }); err != nil {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				with := ""
				if tls {
					with = " with TLS"
				}
				why, _, _ := strings.Cut(err.Error(), "\n") // what the plugin wrote follows
				report.Not = append(report.Not, fmt.Sprintf("%s%s: %s", e.language, with, strings.ReplaceAll(why, e.path, filepath.Base(e.path))))
			}
		}
	}
	if len(report.Hops) == 0 {
		return nil, fmt.Errorf("no plugin answered: %s", report.Not)
	}
	return report, nil
}

func (r *HopReport) measure(ctx context.Context, o hopOptions, e end, tls bool, done func()) error {
	if _, err := os.Stat(e.path); err != nil {
		return err
	}
	p, err := host.Start(ctx, host.Options{Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Off})}, host.Spec{
		Stage: e.stage, Path: e.path, TLS: tls, Config: []byte("{}"), Chain: &ordov1.Chain{
			ChainId: chainID, StarknetVersion: starknet.LatestVersion,
			StrkFeeToken: genesis.STRKAddress().Append(nil), EthFeeToken: genesis.ETHAddress().Append(nil),
		},
	})
	if err != nil {
		return err
	}
	defer p.Kill()
	if e.stage == ordov1.Stage_STAGE_EXECUTION { // it refuses everything before it has a state
		if _, err := ordov1.NewExecutionClient(p.Conn()).Apply(ctx, &ordov1.ApplyRequest{StateDiff: &ordov1.StateDiff{}}); err != nil {
			return fmt.Errorf("apply the state: %w", err)
		}
	}
	for _, n := range o.batches {
		call, bytes := e.request(p, n)
		h := Hop{End: e.language, Plugin: p.Name(), TLS: tls, Batch: n, Bytes: bytes}
		if err := h.run(ctx, call, o.each); err != nil {
			return err
		}
		r.Hops = append(r.Hops, h)
		done()
	}
	return nil
}

// run calls one after the other for a while, after a tenth of it that does not count.
func (h *Hop) run(ctx context.Context, call func(context.Context) error, each time.Duration) error {
	for warm := time.Now().Add(each / 10); time.Now().Before(warm); {
		if err := call(ctx); err != nil {
			return err
		}
	}
	var times latency.Histogram
	used := ownCPU()
	for end := time.Now().Add(each); time.Now().Before(end); {
		begun := time.Now()
		if err := call(ctx); err != nil {
			return err
		}
		times.Add(time.Since(begun))
	}
	h.Calls = int(times.Count())
	h.Micros, h.P99 = micros(times.Quantile(0.5)), micros(times.Quantile(0.99))
	h.PerTx, h.CPU = h.Micros/float64(h.Batch), micros(ownCPU()-used)/float64(h.Calls)
	return nil
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// scoring asks for the ranks of transfers.
func scoring(p *host.Plugin, n int) (func(context.Context) error, int) {
	client := ordov1.NewOrderingClient(p.Conn())
	request := &ordov1.ScoreRequest{NowMs: 1, Height: 1, L2GasPrice: make([]byte, 16)}
	for i, tx := range someTransfers(n) {
		request.Transactions = append(request.Transactions, &ordov1.TransactionView{
			Hash: tx.Hash, Type: tx.Type, Sender: tx.Sender, Nonce: tx.Nonce, ResourceBounds: tx.ResourceBounds, ArrivalSeq: uint64(i),
			ArrivalMs: 1, Size: 500, CalldataLen: uint32(len(tx.Calldata) / felt.Size), MaxFee: make([]byte, 16),
			Calls: []*ordov1.Call{{To: tx.Sender, Selector: tx.Hash}},
		})
	}
	return func(ctx context.Context) error {
		answer, err := client.Score(ctx, request)
		if err == nil && len(answer.Hi) != n {
			err = fmt.Errorf("%d scores for %d transactions", len(answer.Hi), n)
		}
		return err
	}, proto.Size(request)
}

// refusing asks for verdicts on transfers of a type that there is not.
func refusing(p *host.Plugin, n int) (func(context.Context) error, int) {
	client := ordov1.NewExecutionClient(p.Conn())
	request := &ordov1.ValidateRequest{Context: &ordov1.BlockContext{
		Number: 1, Timestamp: 1, Sequencer: felt.One().Append(nil), StarknetVersion: starknet.LatestVersion, L1Gas: price(), L1DataGas: price(), L2Gas: price(), BlobDa: true,
	}}
	for _, tx := range someTransfers(n) {
		tx.Type = 77
		request.Items = append(request.Items, &ordov1.ValidateRequest_Item{Transaction: tx})
	}
	return func(ctx context.Context) error {
		answer, err := client.Validate(ctx, request)
		switch {
		case err != nil:
		case len(answer.Verdicts) != n:
			err = fmt.Errorf("%d verdicts on %d transactions", len(answer.Verdicts), n)
		case answer.Verdicts[0].Rejection == ordov1.RejectionCode_REJECTION_CODE_UNSPECIFIED:
			err = errors.New("a transaction of no known type was accepted")
		}
		return err
	}, proto.Size(request)
}

func someTransfers(n int) []*ordov1.Transaction {
	a := client.NewAccount(genesis.Accounts(0, 1)[0], chainID)
	tx := a.Invoke(0, client.Transfer(genesis.STRKAddress(), felt.FromUint64(7), 1)).Transaction
	list := make([]*ordov1.Transaction, n)
	for i := range list {
		list[i] = proto.CloneOf(tx)
		list[i].Nonce = felt.FromUint64(uint64(i)).Append(nil)
	}
	return list
}

// Print writes a report for people.
func (r *HopReport) Print(out io.Writer) {
	fmt.Fprintf(out, "%-8s %-5s %6s %10s %12s %12s %12s %14s\n", "end", "TLS", "batch", "bytes", "us/call p50", "us/call p99", "us/tx", "caller CPU us")
	for _, h := range r.Hops {
		tls := "no"
		if h.TLS {
			tls = "yes"
		}
		fmt.Fprintf(out, "%-8s %-5s %6d %10d %12.0f %12.0f %12.2f %14.0f\n", h.End, tls, h.Batch, h.Bytes, h.Micros, h.P99, h.PerTx, h.CPU)
	}
	for _, not := range r.Not {
		fmt.Fprintf(out, "not measured: %s\n", not)
	}
}
