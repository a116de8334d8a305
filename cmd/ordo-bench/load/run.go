// Package load sends signed transactions to a Starknet node and follows each into an accepted block.
package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/latency"
	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/process"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Options are those of one run.
type Options struct {
	Kind         string
	Model        string  // open or closed
	Rate         float64 // of the open model, transactions a second
	Depth        int     // of the closed one
	Accounts     int
	AccountsFile string
	AccountClass string   // openzeppelin or native, declared where it is not known; "": that of the node's own accounts
	Fund         *big.Int // for each account that the node does not have already
	Transactions int      // 0: as many as the time allows
	Duration     time.Duration
	Batch        int
	Connections  int
	Presign      int // transactions to sign before the run; 0: what the run is expected to need
	Poll         time.Duration
	Token        string
	Recipients   int
	Markets      int
	Subscribers  int    // sockets with a subscription each, of all kinds
	Contracts    string // folder of class files: for --account-class, --token erc20 and swaps
	Progress     io.Writer
}

// Models.
const (
	Open   = "open"
	Closed = "closed"
)

// Check says what is wrong with the options.
func (o *Options) Check() error {
	switch {
	case o.Model != Open && o.Model != Closed:
		return fmt.Errorf("--model %q: choose %s or %s", o.Model, Open, Closed)
	case o.Model == Open && !(o.Rate > 0):
		return errors.New("--model open needs a --rate above 0")
	case o.Accounts < 1 || o.Depth < 1 || o.Batch < 1 || o.Recipients < 1 || o.Markets < 1:
		return errors.New("--accounts, --depth, --batch, --recipients and --markets must be at least 1")
	case o.Transactions < 0 || o.Connections < 0 || o.Presign < 0 || o.Subscribers < 0:
		return errors.New("--transactions, --connections, --presign and --subscribers must not be negative")
	case o.Duration < time.Second:
		return errors.New("--duration must be at least 1s")
	case o.Poll < 100*time.Microsecond:
		return errors.New("--poll must be at least 100us")
	case o.AccountClass != "" && o.AccountClass != string(genesis.Native) && o.AccountClass != string(genesis.OpenZeppelin):
		return fmt.Errorf("--account-class %q: choose %s or %s", o.AccountClass, genesis.OpenZeppelin, genesis.Native)
	case o.Fund == nil || o.Fund.Sign() <= 0:
		return errors.New("--fund must be above 0")
	}
	return nil
}

// Report is what a run found.
type Report struct {
	Target        string              `json:"target"`
	Note          string              `json:"note,omitempty"` // what is special about the node or the run
	Kind          string              `json:"kind"`
	Model         string              `json:"model"`
	Rate          float64             `json:"rate,omitempty"`
	Depth         int                 `json:"depth,omitempty"`
	Accounts      int                 `json:"accounts"`
	AccountClass  string              `json:"account_class"`
	Token         string              `json:"token,omitempty"`
	Batch         int                 `json:"batch"`
	Connections   int                 `json:"connections"`
	Submitted     int                 `json:"submitted"`      // answered with a hash
	Accepted      int                 `json:"accepted_on_l2"` //
	Lost          int                 `json:"lost"`           // submitted, and in no accepted block at the end
	Unsent        int                 `json:"unsent"`         // due in the open model, and never taken by the node
	Refused       map[string]int      `json:"refused"`
	Blocks        int                 `json:"blocks"` // with transactions of this run
	SendSeconds   float64             `json:"send_seconds"`
	Seconds       float64             `json:"seconds"` // first submission to last acceptance
	Speed         float64             `json:"tx_per_second"`
	PerSecond     []int               `json:"accepted_per_second"`
	SignedBefore  int                 `json:"signed_before"`
	SignedLate    int                 `json:"signed_late"` // while the run was on: the tool took processor time from the node
	SignMicros    float64             `json:"sign_us_per_tx"`
	Answer        latency.Percentiles `json:"answer_ms"`        // until the node has answered with the hash
	PreConfirmed  latency.Percentiles `json:"pre_confirmed_ms"` // until it is seen in the pre-confirmed block
	Accept        latency.Percentiles `json:"accepted_ms"`      // until its block is seen accepted
	Subscriptions *Subscriptions      `json:"subscriptions,omitempty"`
	ToolCPU       float64             `json:"tool_cpu_seconds"` // what the load itself cost the machine
	Processes     []process.Usage     `json:"processes,omitempty"`
}

// patience is how long a run waits for what is on its way when nothing is accepted any more.
const patience = 20 * time.Second

// run is one run.
type run struct {
	Options
	setup    *setup
	workload workload
	accounts []*account
	sender   *sender
	tracker  *tracker
	schedule schedule
	report   *Report
	bar      *progressbar.ProgressBar
	begun    time.Time
	wanted   atomic.Int64
}

// Run loads the node at url. A report comes also with an error when the books do not balance. pid is the node's process, to
// be watched; 0: it is not known.
func Run(ctx context.Context, o Options, url string, pid int) (*Report, error) {
	to, err := parseTarget(url)
	if err != nil {
		return nil, err
	}
	if o.Connections == 0 {
		o.Connections = min(o.Accounts, 64)
	}
	r := &run{Options: o, report: &Report{Target: url, Kind: o.Kind, Model: o.Model, Accounts: o.Accounts, Token: o.Token, Batch: o.Batch, Connections: o.Connections}}
	if o.Model == Open {
		r.report.Rate = o.Rate
	} else {
		r.report.Depth = o.Depth
	}
	r.bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(o.Progress), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("tx"), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(200*time.Millisecond))
	defer r.bar.Finish()

	if err := r.prepare(ctx, client.Node{URL: url, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}, to); err != nil {
		return nil, err
	}
	if err := r.presign(ctx); err != nil {
		return nil, err
	}
	var height uint64
	if err := r.setup.Call(ctx, "starknet_blockNumber", []any{}, &height); err != nil {
		return nil, err
	}
	var subscribers *crowd
	if r.Subscribers > 0 {
		listening, leave := context.WithCancel(ctx)
		defer leave()
		if subscribers, err = r.subscribe(listening, url, height); err != nil {
			return nil, err
		}
	}
	var watcher *process.Watcher
	if pid > 0 {
		if watcher, err = process.Watch(pid, time.Second); err != nil {
			return nil, err
		}
	}
	used := ownCPU()
	err = r.play(ctx, height)
	r.report.ToolCPU = (ownCPU() - used).Seconds()
	if watcher != nil {
		r.report.Processes = watcher.Stop()
	}
	if err != nil {
		return nil, err
	}
	r.settle()
	r.bar.Describe("auditing")
	if subscribers != nil {
		if err := subscribers.check(ctx, r); err != nil {
			return r.report, err
		}
	}
	return r.report, r.audit(ctx)
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// prepare makes accounts and contracts ready.
func (r *run) prepare(ctx context.Context, node client.Node, to target) (err error) {
	if r.setup, err = newSetup(ctx, node, r.AccountsFile, r.bar.Describe); err != nil {
		return err
	}
	// Addresses of this run are its own: a chain that is kept has those of the runs before.
	salt := felt.Reduce(new(big.Int).Lsh(big.NewInt(time.Now().UnixNano()), 80).Bytes())
	if r.workload, err = newWorkload(r.Options, salt); err != nil {
		return err
	}
	list, err := r.setup.accounts(ctx, r.Accounts, r.Fund, r.Options.AccountClass, r.Contracts)
	if err != nil {
		return err
	}
	var class felt.Felt
	if err := r.setup.Call(ctx, "starknet_getClassHashAt", []any{"latest", list[0].Address.Hex()}, &class); err != nil {
		return err
	}
	r.report.AccountClass = class.Hex()
	if err := r.workload.prepare(ctx, r.setup, list); err != nil {
		return fmt.Errorf("prepare %s: %w", r.Kind, err)
	}
	encoder, err := newEncoder(r.setup.signer.bounds)
	if err != nil {
		return err
	}
	r.tracker = &tracker{node: node, looks: newConn(to), every: r.Poll, flights: map[felt.Felt]*flight{}, freed: r.freed}
	r.sender = &sender{
		target: to, batch: r.Batch, workload: r.workload, signer: r.setup.signer, encoder: encoder, tracker: r.tracker,
		ready: make(chan *account, len(list)), refused: map[string]int{},
	}
	r.accounts = make([]*account, len(list))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(16)
	for i, a := range list {
		r.accounts[i] = &account{identity: a, index: i}
		work.Go(func() (err error) {
			r.accounts[i].first, err = node.Nonce(ctx, "pre_confirmed", a.Address)
			return err
		})
	}
	return work.Wait()
}

// expectedRate is how many transactions a second of the closed model are signed ahead when nothing else is known.
const expectedRate = 2500

// presignMost bounds the memory for what is signed ahead: about a hundred bytes each.
const presignMost = 2_000_000

func (r *run) presign(ctx context.Context) error {
	total := r.Presign
	if total == 0 {
		rate := expectedRate + 0.0
		if r.Model == Open {
			rate = r.Rate
		}
		total = int(rate * r.Duration.Seconds())
		if r.Transactions > 0 {
			total = min(total, r.Transactions)
		}
	}
	total = min(total, presignMost)
	r.bar.Describe(fmt.Sprintf("signing %d", total))
	begun := time.Now()
	each := (total + len(r.accounts) - 1) / len(r.accounts)
	for _, a := range r.accounts {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.stock = r.setup.signer.signMany(a.transactions(r.workload, 0, each))
		r.report.SignedBefore += each
	}
	if r.report.SignedBefore > 0 {
		r.report.SignMicros = float64(time.Since(begun).Microseconds()) / float64(r.report.SignedBefore)
	}
	return nil
}

// play sends and waits.
func (r *run) play(ctx context.Context, height uint64) error {
	sending, enough := context.WithTimeout(ctx, r.Duration)
	defer enough()
	serving, stopServing := context.WithCancel(ctx)
	defer stopServing()
	following, stopFollowing := context.WithCancel(ctx)
	defer stopFollowing()
	if r.Model == Open {
		n := int(r.Rate * r.Duration.Seconds())
		if r.Transactions > 0 {
			n = min(n, r.Transactions)
		}
		r.schedule = &open{rate: r.Rate, accounts: len(r.accounts), most: n, another: r.another}
	} else {
		r.schedule = &closed{depth: r.Depth, accounts: len(r.accounts), another: func() bool { return sending.Err() == nil && r.another() }}
	}

	r.bar.Reset()
	r.bar.Describe("accepted")
	r.begun = time.Now()
	r.tracker.begun, r.tracker.last = r.begun, r.begun
	var work sync.WaitGroup
	defer r.tracker.looks.close()
	defer work.Wait()
	defer stopFollowing()
	defer stopServing()
	for range r.Connections {
		work.Go(func() { r.sender.serve(serving) })
	}
	followed := make(chan error, 1)
	work.Go(func() { followed <- r.tracker.follow(following, height) })
	scheduled := make(chan struct{})
	work.Go(func() {
		defer close(scheduled)
		r.schedule.run(sending, r.want)
	})

	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	ending := sending.Done()
	defer func() { r.report.SendSeconds = min(r.Duration, time.Since(r.begun)).Seconds() }()
	for over := false; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-followed:
			return err
		case <-ending:
			ending, over = nil, true
		case <-look.C:
		}
		accepted, last := r.tracker.progress()
		_ = r.bar.Set(accepted)
		select {
		case <-scheduled:
			over = over || r.Model == Open || r.Transactions > 0 && int(r.wanted.Load()) == r.Transactions
		default:
			continue
		}
		left := int(r.wanted.Load()) - accepted
		switch {
		case !over:
		case left == 0, time.Since(last) > patience:
			return nil
		case r.Model == Closed && sending.Err() != nil && r.tracker.flying() == 0:
			return nil // what is due and not sent when the time is over is not sent any more
		}
	}
}

// another reserves one transaction of those that were asked for.
func (r *run) another() bool {
	if n := r.wanted.Add(1); r.Transactions > 0 && n > int64(r.Transactions) {
		r.wanted.Add(-1)
		return false
	}
	return true
}

func (r *run) want(i int, at time.Time) {
	if a := r.accounts[i]; a.want(at) {
		r.sender.put(a)
	}
}

func (r *run) freed(a *account) {
	r.schedule.freed(a.index, time.Now(), r.want)
}

func (r *run) settle() {
	t, s := r.tracker, r.sender
	n, last := t.progress()
	r.report.Submitted, r.report.Accepted, r.report.Blocks = s.total(), n, t.blocks
	r.report.Lost = max(0, r.report.Submitted-n)
	if r.Model == Open {
		r.report.Unsent = max(0, int(r.wanted.Load())-r.report.Submitted)
	}
	r.report.Refused, r.report.SignedLate, r.report.PerSecond = s.refused, s.late, t.seconds
	r.report.Seconds = last.Sub(r.begun).Seconds()
	if r.report.Seconds > 0 {
		r.report.Speed = float64(n) / r.report.Seconds
	}
	r.report.Answer, r.report.PreConfirmed, r.report.Accept = t.answered.Percentiles(), t.visible.Percentiles(), t.accepted.Percentiles()
}

// audit compares what the node's state says with what was accepted.
func (r *run) audit(ctx context.Context) error {
	had := make([]uint64, len(r.accounts))
	total := 0
	work, within := errgroup.WithContext(ctx)
	work.SetLimit(16)
	for i, a := range r.accounts {
		work.Go(func() error {
			nonce, err := r.setup.Nonce(within, "latest", a.Address)
			had[i] = nonce - a.first
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return err
	}
	for _, n := range had {
		total += int(n)
	}
	if total != r.report.Accepted {
		return fmt.Errorf("%d transactions were seen in accepted blocks, the nonces moved by %d", r.report.Accepted, total)
	}
	if r.tracker.lastHash != "" {
		if err := r.setup.succeeded(ctx, r.tracker.lastHash); err != nil {
			return fmt.Errorf("the last transaction: %w", err)
		}
	}
	return r.workload.audit(ctx, r.setup, had)
}
