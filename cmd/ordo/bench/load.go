package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/core/genesis"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/client"
)

const loadLong = `Send signed transfers to a running dev node and follow each into an accepted block.

The model is closed: every account keeps --depth transactions on their way and signs the next one when a block brings one
of them. A run ends after --transactions or --seconds, whatever comes first, then waits for what is still on its way.
At the end the books are checked: every account's nonce, and what its recipient holds.`

// Load is what a run of `ordo bench load` found.
type Load struct {
	Accounts  int            `json:"accounts"`
	Submitted int            `json:"submitted"` // answered with a hash
	Accepted  int            `json:"accepted_on_l2"`
	Lost      int            `json:"lost"` // submitted, and in no accepted block at the end
	Refused   map[string]int `json:"refused"`
	Blocks    int            `json:"blocks"`  // with transactions of this run
	Seconds   float64        `json:"seconds"` // first submission to last acceptance
	Speed     float64        `json:"tx_per_second"`
	Answer    span           `json:"answer_ms"`   // until the node has answered with the hash
	Accept    span           `json:"accepted_ms"` // until a block with it is accepted
}

type span struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

type loadOptions struct {
	url                           string
	accounts, transactions, depth int
	seconds                       int
	json                          string
	quiet                         bool
}

func loadCommand() *cobra.Command {
	o := loadOptions{url: "http://127.0.0.1:5050"}
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Transfers to a running dev node, followed until they are accepted",
		Long:  loadLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.transactions < 0 || o.accounts < 1 || o.seconds < 1 || o.depth < 1 {
				return errors.New("bench: load: --accounts, --seconds and --depth must be at least 1")
			}
			report, err := runLoad(cmd.Context(), o)
			if report != nil { // also when its books do not balance
				err = errors.Join(report.print(cmd.OutOrStdout(), o.json), err)
			}
			if err != nil {
				return fmt.Errorf("bench: load: %w", err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.url, "url", o.url, "address of the node")
	f.IntVar(&o.accounts, "accounts", 10, "senders, of the node's predeployed accounts")
	f.IntVar(&o.transactions, "transactions", 0, "transfers to send; 0: as many as the time allows")
	f.IntVar(&o.seconds, "seconds", 30, "longest time to send for")
	f.IntVar(&o.depth, "depth", 4, "transactions of an account that are on their way at the same time")
	f.StringVar(&o.json, "json", "", "also write the report to this file")
	f.BoolVar(&o.quiet, "quiet", false, "no progress bar")
	return cmd
}

// load is one run.
type load struct {
	loadOptions
	node  client.Node
	token felt.Felt
	bar   *progressbar.ProgressBar

	mu       sync.Mutex
	sent     int // signed, so that the limit holds whoever sends
	waiting  map[string]*pending
	accepted map[string]bool // before the answer with the hash had come: blocks can be faster
	report   Load
	answers  []time.Duration
	accepts  []time.Duration
	last     time.Time
}

type pending struct {
	since time.Time
	slot  chan struct{}
}

// sender is one account, with a recipient of its own whose balance proves what arrived.
type sender struct {
	account *client.Account
	first   uint64
	nonce   uint64
	to      felt.Felt
	slots   chan struct{}
}

// patience is how long a run waits for what is on its way when nothing is accepted any more.
const patience = 20 * time.Second

func runLoad(ctx context.Context, o loadOptions) (*Load, error) {
	l := &load{loadOptions: o, token: genesis.STRKAddress(), waiting: map[string]*pending{}, accepted: map[string]bool{}, report: Load{Accounts: o.accounts, Refused: map[string]int{}}}
	l.node = client.Node{URL: o.url, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2*o.accounts + 8}}}
	senders, err := l.senders(ctx)
	if err != nil {
		return nil, err
	}
	height, err := l.height(ctx)
	if err != nil {
		return nil, err
	}
	most := -1
	if o.transactions > 0 {
		most = o.transactions
	}
	l.bar = progressbar.NewOptions(most, progressbar.OptionSetWriter(progressOutput(o.quiet)), progressbar.OptionSetDescription("accepted"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("tx"), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(200*time.Millisecond))
	defer l.bar.Finish()

	following, stop := context.WithCancel(ctx)
	defer stop()
	followed := make(chan error, 1)
	go func() { followed <- l.follow(following, height) }()
	sending, enough := context.WithTimeout(ctx, time.Duration(o.seconds)*time.Second)
	defer enough()
	begun := time.Now()
	l.last = begun
	var work sync.WaitGroup
	for _, s := range senders {
		work.Go(func() { l.send(sending, ctx, s) })
	}
	sentAll := make(chan struct{})
	go func() { work.Wait(); close(sentAll) }()
	select {
	case <-sentAll:
	case err := <-followed:
		return nil, err
	}
	for l.outstanding() {
		select {
		case err := <-followed:
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
	stop()
	l.settle(begun)
	return &l.report, l.audit(ctx, senders)
}

// senders takes the accounts that the node has deployed: their keys are public.
func (l *load) senders(ctx context.Context) ([]*sender, error) {
	var chain felt.Felt
	if err := l.node.Call(ctx, "starknet_chainId", []any{}, &chain); err != nil {
		return nil, fmt.Errorf("%s: %w: is a dev node running there? name another with --url", l.url, err)
	}
	var accounts []struct {
		Address felt.Felt `json:"address"`
		Private felt.Felt `json:"private_key"`
	}
	if err := l.node.Call(ctx, "devnet_getPredeployedAccounts", []any{}, &accounts); err != nil {
		return nil, err
	}
	if len(accounts) < l.accounts {
		return nil, fmt.Errorf("the node has %d accounts, not %d: start it with --accounts %d", len(accounts), l.accounts, l.accounts)
	}
	salt := new(big.Int).Lsh(big.NewInt(time.Now().UnixNano()), 64)
	var list []*sender
	for i, a := range accounts[:l.accounts] {
		to, err := felt.FromBig(new(big.Int).Add(salt, big.NewInt(int64(i+2))))
		if err != nil {
			return nil, err
		}
		s := &sender{to: to, slots: make(chan struct{}, l.depth),
			account: &client.Account{Address: a.Address, Key: a.Private, Chain: chain, Bounds: client.WideBounds()}}
		if s.first, err = l.node.Nonce(ctx, "pre_confirmed", a.Address); err != nil {
			return nil, fmt.Errorf("nonce of %s: %w", a.Address.Hex(), err)
		}
		s.nonce = s.first
		for range l.depth {
			s.slots <- struct{}{}
		}
		list = append(list, s)
	}
	return list, nil
}

// send keeps one account busy. A refusal waits for a slot again and then asks the node where the account stands.
func (l *load) send(sending, ctx context.Context, s *sender) {
	for {
		select {
		case <-s.slots:
		case <-sending.Done():
			return
		}
		if sending.Err() != nil || !l.another() {
			return
		}
		tx := s.account.Invoke(s.nonce, client.Transfer(l.token, s.to, 1))
		begun := time.Now()
		hash, err := l.node.Submit(ctx, tx)
		if err == nil {
			s.nonce++
			l.submitted(hash, begun, s)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		l.refused(err)
		s.slots <- struct{}{}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-sending.Done():
			return
		}
		if n, err := l.node.Nonce(ctx, "pre_confirmed", s.account.Address); err == nil && n > s.nonce {
			s.nonce = n
		}
	}
}

func (l *load) another() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.transactions > 0 && l.sent == l.transactions {
		return false
	}
	l.sent++
	return true
}

func (l *load) refused(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent--
	what := err.Error()
	if e := (*client.Error)(nil); errors.As(err, &e) {
		what = fmt.Sprintf("%d %s", e.Code, e.Message)
	}
	l.report.Refused[what]++
}

func (l *load) submitted(hash string, begun time.Time, s *sender) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.report.Submitted++
	l.answers = append(l.answers, now.Sub(begun))
	p := &pending{begun, s.slots}
	if l.accepted[hash] {
		delete(l.accepted, hash)
		l.arrived(p, now)
		return
	}
	l.waiting[hash] = p
}

func (l *load) arrived(p *pending, now time.Time) {
	l.report.Accepted++
	l.accepts = append(l.accepts, now.Sub(p.since))
	l.last = now
	p.slot <- struct{}{}
	_ = l.bar.Add(1)
}

// follow looks at every accepted block after height, once.
func (l *load) follow(ctx context.Context, height uint64) error {
	for misses := 0; ; {
		top, err := l.height(ctx)
		for err == nil && height < top {
			var block client.Block
			if block, err = l.node.Block(ctx, height+1); err == nil {
				height++
				l.block(block)
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			misses = 0
		default:
			if misses++; misses == 10 {
				return fmt.Errorf("the node does not answer any more: %w", err)
			}
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *load) height(ctx context.Context) (n uint64, err error) {
	return n, l.node.Call(ctx, "starknet_blockNumber", []any{}, &n)
}

func (l *load) block(b client.Block) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, before := time.Now(), l.report.Accepted
	for _, hash := range b.Transactions {
		if p := l.waiting[hash]; p != nil {
			delete(l.waiting, hash)
			l.arrived(p, now)
		} else {
			l.accepted[hash] = true
		}
	}
	if l.report.Accepted > before {
		l.report.Blocks++
	}
}

func (l *load) outstanding() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > 0 && time.Since(l.last) < patience
}

func (l *load) settle(begun time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.report
	r.Lost = len(l.waiting)
	r.Seconds = l.last.Sub(begun).Seconds()
	if r.Seconds > 0 {
		r.Speed = float64(r.Accepted) / r.Seconds
	}
	r.Answer, r.Accept = spanOf(l.answers), spanOf(l.accepts)
}

func spanOf(all []time.Duration) span {
	if len(all) == 0 {
		return span{}
	}
	slices.Sort(all)
	at := func(percent int) float64 { return float64(all[(len(all)-1)*percent/100]) / float64(time.Millisecond) }
	return span{at(50), at(99)}
}

// audit compares what the node's state says with what was sent.
func (l *load) audit(ctx context.Context, senders []*sender) error {
	total := new(big.Int)
	for _, s := range senders {
		nonce, err := l.node.Nonce(ctx, "latest", s.account.Address)
		if err != nil {
			return err
		}
		balance, err := l.node.Balance(ctx, "latest", l.token, s.to)
		if err != nil {
			return err
		}
		if !balance.IsUint64() || balance.Uint64() != nonce-s.first {
			return fmt.Errorf("%s moved its nonce by %d, and its recipient holds %s: a transfer was lost, doubled or reverted", s.account.Address.Hex(), nonce-s.first, balance)
		}
		total.Add(total, balance)
	}
	if total.Cmp(big.NewInt(int64(l.report.Accepted))) != 0 {
		return fmt.Errorf("%d transfers were accepted, the recipients hold %s", l.report.Accepted, total)
	}
	return nil
}

func (l *Load) print(out io.Writer, file string) error {
	fmt.Fprintf(out, "%d transfers of %d accounts accepted in %.1f s, in %d blocks: %.0f tx/s\n", l.Accepted, l.Accounts, l.Seconds, l.Blocks, l.Speed)
	fmt.Fprintf(out, "answered after %.0f ms (p50) and %.0f ms (p99), accepted after %.0f ms and %.0f ms\n", l.Answer.P50, l.Answer.P99, l.Accept.P50, l.Accept.P99)
	for what, n := range l.Refused {
		fmt.Fprintf(out, "refused %d times: %s\n", n, what)
	}
	if file != "" {
		raw, err := json.MarshalIndent(l, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, append(raw, '\n'), 0o644); err != nil {
			return err
		}
	}
	if l.Lost > 0 {
		return fmt.Errorf("%d of %d submitted transactions are in no accepted block", l.Lost, l.Submitted)
	}
	return nil
}
