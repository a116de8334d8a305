package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/contracts"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
)

const (
	chainID   = "SN_SEPOLIA"
	senders   = 7
	upLimit   = 60 * time.Second // until everything is at work after a strike
	moveLimit = 45 * time.Second // without an accepted block under load
	breath    = 12 * time.Second // without an accepted block, before the strikes pause
	silence   = "2s"             // of a plugin, before the supervisor takes it for wedged
)

// setting is how a node runs in a round.
type setting struct {
	generation, ordering, class string
	network                     string // which one; "": one node
	ephemeral                   bool   // nothing outlives the core, so only plugins are struck
}

func (s setting) String() string {
	if s.network != "" {
		return fmt.Sprintf("%s, ordering %s, %s accounts", s.network, s.ordering, s.class)
	}
	text := fmt.Sprintf("blocks on %s, ordering %s, %s accounts", s.generation, s.ordering, s.class)
	if s.ephemeral {
		text += ", no data folder"
	}
	return text
}

// settings are taken in turn, from a place that the seed chooses.
var settings = []setting{
	{generation: "0.3", ordering: "fifo", class: "native"},
	{generation: "transaction", ordering: "fee", class: "native"},
	{generation: "0.5", ordering: "fee", class: "openzeppelin"},
	{generation: "transaction", ordering: "fifo", class: "openzeppelin"},
	{generation: "0.2", ordering: "fee", class: "native"},
}

func (s setting) flags(restarts int, window string) []string {
	return append(s.genesis(), "--block-generation-on", s.generation, "--ordering", s.ordering, "--plugin-health-timeout", silence,
		"--plugin-restarts", strconv.Itoa(restarts), "--plugin-restart-window", window)
}

// genesis are the flags that a replay needs too.
func (s setting) genesis() []string {
	return []string{"--accounts", strconv.Itoa(senders), "--initial-balance", "1000000000000000000000000", "--account-class", s.class}
}

// round is a chain: a node, or a network of nodes, under load that is struck again and again, then left alone, then checked.
type round struct {
	setting
	number  int
	pace    time.Duration
	seed    uint64
	dir     string
	struck  struck
	ledger  *ledger
	load    *load
	report  *report
	windows []window
	wrong   []string
}

// struck is what the strikes of a round fall on.
type struck interface {
	// note writes a line of ours into the log.
	note(format string, args ...any)
	// alive starts again what ended without having been struck, which is a violation.
	alive()
	// standing tells how far the chain is, which block was shown before it was accepted, and since when the chain is there.
	standing() (head, top uint64, since time.Time)
	// status asks for a transaction. In a network it is the furthest one that a node tells.
	status(ctx context.Context, hash string) (client.Status, error)
}

// nodeRound is a round on one node.
type nodeRound struct {
	*round
	node   *node
	watch  *observer
	served map[int]bool      // instances of the core that came up
	stops  int               // instances that ended by themselves, one after the other, before they served
	born   map[string]uint64 // restarts that the node told of, by instance and stage
}

func (r *nodeRound) note(format string, args ...any)               { r.node.note(format, args...) }
func (r *nodeRound) standing() (head, top uint64, since time.Time) { return r.watch.standing() }

func (r *nodeRound) status(ctx context.Context, hash string) (client.Status, error) {
	return r.node.Status(ctx, hash)
}

func (r *round) fail(format string, args ...any) {
	text := fmt.Sprintf("round %d (%s): ", r.number, r.setting) + fmt.Sprintf(format, args...)
	r.wrong = append(r.wrong, text)
	r.struck.note("VIOLATION %s", text)
	fmt.Fprintf(r.report.out, "%s VIOLATION %s\n", time.Now().Format("15:04:05"), clip(text, 400))
}

// begin starts the node, its observer, and the load. The returned functions end sending, and everything.
func (r *nodeRound) begin(ctx context.Context, o options, flags []string) (finish, end func(), err error) {
	if o.logLevel != "" {
		flags = append(flags, "--log-level", o.logLevel)
	}
	if !r.ephemeral {
		flags = append(flags, "--data-dir", filepath.Join(r.dir, "data"))
	}
	if r.node, err = newNode(o.bin, r.dir, flags...); err != nil {
		return nil, nil, err
	}
	r.ledger, r.served, r.born = newLedger(), map[int]bool{}, map[string]uint64{}
	if r.load, err = r.newLoad(o, r.node.Node); err != nil {
		return nil, nil, err
	}
	if _, err = r.node.launch(); err != nil {
		return nil, nil, err
	}
	if _, err = r.up(ctx, nil); err != nil {
		return nil, r.node.end, err
	}
	r.watch = newObserver(r.node.Node, r.ledger)
	finish, quit := r.underLoad(ctx, r.shown, r.watch.run)
	return finish, func() { quit(); r.node.end() }, nil
}

// underLoad begins to send, and to look at what comes of it. finish ends sending, waits until nothing is on its way, and for last; quit ends all at once.
func (r *round) underLoad(ctx context.Context, last func(context.Context), observe ...func(context.Context)) (finish, quit func()) {
	hard, endAll := context.WithCancel(ctx)
	var looking sync.WaitGroup
	for _, look := range append(observe, r.ask) {
		looking.Go(func() { look(hard) })
	}
	sending, enough := context.WithCancel(hard)
	r.load.start(sending, hard, r.seed, genesis.Accounts(0, senders))
	finish = func() {
		enough()
		r.finish(hard)
		last(hard)
		endAll()
		looking.Wait()
		r.load.work.Wait()
	}
	return finish, func() { enough(); endAll() }
}

func (r *round) newLoad(o options, nodes ...client.Node) (*load, error) {
	l := &load{nodes: nodes, ledger: r.ledger, pace: r.pace, salt: uint64(r.number + 1), stuck: make(chan error, senders)}
	name := contracts.NativeAccount
	if r.class == "openzeppelin" {
		name = contracts.OpenZeppelinAccount
	}
	folder := filepath.Join(o.bin, "contracts")
	account, err := contracts.Read(folder, name)
	if err != nil {
		return nil, err
	}
	hello, err := contracts.Read(folder, contracts.Hello)
	if err != nil {
		return nil, err
	}
	l.account, l.class, l.casm = client.Felt(account.Hash), hello.Definition, hello.CompiledClassHash
	return l, nil
}

// sleep is false when the context has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// moves lets alone what has accepted no block for long: a node that is struck each second has no time to build one.
func moves(ctx context.Context, s struck) bool {
	head, _, since := s.standing()
	if time.Since(since) < breath {
		return true
	}
	s.note("no block for %s: no strikes until there is one", breath)
	for begun := time.Now(); time.Since(begun) < moveLimit && sleep(ctx, 50*time.Millisecond); s.alive() {
		if now, _, _ := s.standing(); now > head {
			return true
		}
	}
	return ctx.Err() != nil
}
