package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ordo-sequencer/ordo/contracts"
	"github.com/ordo-sequencer/ordo/core/genesis"
	"github.com/ordo-sequencer/ordo/test/client"
)

const (
	chainID   = "SN_SEPOLIA"
	senders   = 7
	upLimit   = 60 * time.Second // until everything is at work after a strike
	moveLimit = 45 * time.Second // without an accepted block under load
	breath    = 12 * time.Second // without an accepted block, before the strikes pause
	silence   = "1s"             // of a plugin, before the supervisor takes it for wedged
)

// setting is how a node runs in a round.
type setting struct {
	generation, ordering, class string
	ephemeral                   bool // nothing outlives the core, so only plugins are struck
}

func (s setting) String() string {
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
	return append(s.genesis(), "--block-generation-on", s.generation, "--ordering", s.ordering, "--plugin-silence", silence,
		"--plugin-restarts", strconv.Itoa(restarts), "--plugin-restart-window", window)
}

// genesis are the flags that a replay needs too.
func (s setting) genesis() []string {
	return []string{"--accounts", strconv.Itoa(senders), "--initial-balance", "1000000000000000000000000", "--account-class", s.class}
}

// round is a chain: a node under load that is struck again and again, then left alone, then checked.
type round struct {
	setting
	number  int
	pace    time.Duration
	seed    uint64
	dir     string
	node    *node
	ledger  *ledger
	watch   *observer
	load    *load
	report  *report
	windows []window
	wrong   []string
	served  map[int]bool      // lives of the core that came up
	stops   int               // lives that ended by themselves, one after the other, before they served
	born    map[string]uint64 // restarts that the node told of, by life and stage
}

func (r *round) fail(format string, args ...any) {
	text := fmt.Sprintf("round %d (%s): ", r.number, r.setting) + fmt.Sprintf(format, args...)
	r.wrong = append(r.wrong, text)
	r.node.note("VIOLATION %s", text)
	fmt.Fprintf(r.report.out, "%s VIOLATION %s\n", time.Now().Format("15:04:05"), clip(text, 400))
}

// begin starts the node, whoever looks at it, and the load. The returned functions end sending, and everything.
func (r *round) begin(ctx context.Context, o options, flags []string) (settle, end func(), err error) {
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
	if r.load, err = r.newLoad(o); err != nil {
		return nil, nil, err
	}
	if _, err = r.node.launch(); err != nil {
		return nil, nil, err
	}
	if _, err = r.up(ctx, nil); err != nil {
		return nil, r.node.end, err
	}
	r.watch = newObserver(r.node, r.ledger)
	hard, endAll := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch.run(hard)
	}()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		r.ask(hard)
	}()
	sending, enough := context.WithCancel(hard)
	r.load.start(sending, hard, r.seed, genesis.Accounts(0, senders))
	settle = func() {
		enough()
		r.settle(hard)
		endAll()
		<-watched
		<-asked
		r.load.work.Wait()
	}
	return settle, func() { enough(); endAll(); r.node.end() }, nil
}

func (r *round) newLoad(o options) (*load, error) {
	l := &load{node: r.node, ledger: r.ledger, pace: r.pace, salt: uint64(r.number + 1), stuck: make(chan error, senders)}
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

// strikes hits the node until the time is over or enough was hit.
func (r *round) strikes(ctx context.Context, o options, kills int, until time.Time) {
	if r.ephemeral {
		o.targets = slices.DeleteFunc(slices.Clone(o.targets), func(t string) bool { return t == core })
	}
	p := newPlanner(r.seed, o)
	sleep(ctx, time.Second) // for the load to begin
	for done := 0; done < kills && time.Now().Before(until) && ctx.Err() == nil && len(r.wrong) < 5; {
		s := p.next()
		if !sleep(ctx, s.pause) {
			return
		}
		done += r.strike(ctx, s)
		select {
		case err := <-r.load.stuck:
			r.fail("%v", err)
			return
		default:
		}
		if !r.moves(ctx) {
			r.fail("no block was accepted within %s under load by a node that was let alone", moveLimit)
			r.revive(ctx)
			return
		}
	}
}

// moves lets the node alone when it has accepted no block for long: whoever is struck each second has no time to build one.
func (r *round) moves(ctx context.Context) bool {
	head, _, since := r.watch.standing()
	if time.Since(since) < breath {
		return true
	}
	r.node.note("no block for %s: no strikes until there is one", breath)
	for begun := time.Now(); time.Since(begun) < moveLimit && sleep(ctx, 50*time.Millisecond); r.alive() {
		if now, _, _ := r.watch.standing(); now > head {
			return true
		}
	}
	return ctx.Err() != nil
}

// strike carries out one strike, with the one that follows it, and waits until all is at work again.
func (r *round) strike(ctx context.Context, s strike) (hit int) {
	from := time.Now()
	gone := map[int]bool{}
	n := r.hit(ctx, s, gone)
	single := n == 1
	if n > 0 {
		hit++
	}
	if s.again != nil {
		single = false
		sleep(ctx, s.again.pause)
		if r.hit(ctx, *s.again, gone) > 0 {
			hit++
			r.report.again++
		}
	}
	took, err := r.up(ctx, gone)
	if ctx.Err() != nil {
		return hit
	}
	if err != nil {
		r.fail("after %s: %v", s, err)
		r.revive(ctx)
	} else if hit > 0 {
		r.report.downtime(s, took.Sub(from))
	}
	r.windows = append(r.windows, window{from: from, to: time.Now(), single: single, text: s.String()})
	return hit
}

// hit sends the signals of one strike, and starts the core again if it is dead. It returns how many processes it reached.
func (r *round) hit(ctx context.Context, s strike, gone map[int]bool) int {
	found := r.node.find(s.targets)
	if len(found) == 0 {
		return 0
	}
	l := r.node.current()
	r.node.look()
	r.node.note("%s", s)
	signal := syscall.SIGKILL
	if s.stop {
		signal = syscall.SIGSTOP
	}
	for _, p := range found {
		if p.stage == core && !s.stop {
			l.asked = true
		}
		_ = syscall.Kill(p.pid, signal)
		if p.stage != core && !(s.stop && s.resume) {
			gone[p.pid] = true
		}
	}
	r.report.strike(s, found, r.served[l.number])
	if s.stop && (s.resume || s.has(core)) {
		sleep(ctx, s.hold)
		for _, p := range found {
			if now, ok := processes()[p.pid]; !ok || now.start != p.start {
				continue
			}
			switch {
			case s.resume:
				_ = syscall.Kill(p.pid, syscall.SIGCONT)
			case p.stage == core:
				l.asked = true
				_ = syscall.Kill(p.pid, syscall.SIGKILL)
			}
		}
	}
	if l.asked {
		<-l.done
		if err := r.relaunch(); err != nil {
			r.fail("%v", err)
		}
	}
	return len(found)
}

func (r *round) relaunch() error {
	old := r.node.current()
	if _, err := r.node.launch(); err != nil {
		return err
	}
	go func() { // beside the next life, which is at work at once as under a service manager
		deadline := time.Now().Add(5 * time.Second)
		for {
			left := r.node.orphans()
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				r.report.orphan(fmt.Sprintf("round %d: %s outlived life %d of the core by 5 s", r.number, strings.Join(left, ", "), old.number))
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return nil
}

// up waits until the node serves and all plugins are at work, none of them one of the gone. A core that ended because a
// plugin was struck while it started is started again: nobody was served by it.
func (r *round) up(ctx context.Context, gone map[int]bool) (time.Time, error) {
	deadline := time.Now().Add(upLimit)
	var last error
	for ctx.Err() == nil {
		l := r.node.current()
		if l.ended() && !l.asked && len(gone) > 0 && !r.served[l.number] {
			r.node.note("life %d gave its start up: %v", l.number, l.err)
			r.report.startsGivenUp++
			if err := r.relaunch(); err != nil {
				return time.Time{}, err
			}
		}
		r.alive()
		if time.Now().After(deadline) || r.stops > 3 {
			return time.Time{}, fmt.Errorf("not at work within %s: %w", upLimit, last)
		}
		var list []plugin
		if list, last = r.node.serving(ctx); last == nil {
			for _, p := range list {
				if gone[p.PID] {
					last = fmt.Errorf("%s is still the old process", p.Stage)
				}
			}
			if last == nil {
				r.served[l.number], r.stops = true, 0
				for _, p := range list {
					r.born[fmt.Sprintf("%d %s", l.number, p.Stage)] = p.Restarts
				}
				return time.Now(), nil
			}
		}
		sleep(ctx, 15*time.Millisecond)
	}
	return time.Time{}, ctx.Err()
}

// alive starts a node again that ended without having been struck.
func (r *round) alive() {
	l := r.node.current()
	if !l.ended() || l.asked {
		return
	}
	r.node.note("life %d ended by itself: %v", l.number, l.err)
	if r.stops++; r.stops > 3 {
		l.asked = true // no use
		return
	}
	r.fail("the node stopped by itself (%v):\n%s", l.err, r.node.why())
	if err := r.relaunch(); err != nil {
		l.asked = true
		r.fail("%v", err)
	}
}

// revive ends a node that hangs and starts it again: whatever is wrong, nothing may be lost.
func (r *round) revive(ctx context.Context) {
	r.node.dump()
	if err := r.relaunch(); err != nil {
		r.fail("%v", err)
		return
	}
	if _, err := r.up(ctx, nil); err != nil {
		r.fail("after a restart: %v", err)
	}
}

// ask looks at what has been on its way for long: a node that has thrown it out says so, but does not remember it for ever.
func (r *round) ask(ctx context.Context) {
	for sleep(ctx, 500*time.Millisecond) {
		asked := 0
		for _, e := range r.ledger.open() {
			if time.Since(e.acked) < 2*time.Second || asked == 40 {
				continue
			}
			asked++
			if why := r.status(ctx, e); strings.HasPrefix(why, "dropped") {
				r.ledger.drop(e, why)
			}
		}
	}
}

// status is the last word of the node about a transaction: a finality, or an error.
func (r *round) status(ctx context.Context, e *entry) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := r.node.Status(ctx, e.hash)
	if refusal := (*client.Error)(nil); errors.As(err, &refusal) {
		var data string
		if json.Unmarshal(refusal.Data, &data) == nil && strings.HasPrefix(data, "dropped") {
			return data
		}
	}
	if err != nil {
		return err.Error()
	}
	return s.Finality
}

// settle waits until the senders have ended and nothing is on its way.
func (r *round) settle(ctx context.Context) {
	r.node.note("settling")
	ended := make(chan struct{})
	go func() { r.load.work.Wait(); close(ended) }()
	for begun, done := time.Now(), false; !done; {
		select {
		case <-ended:
			done = true
		case <-time.After(100 * time.Millisecond):
			r.alive()
			if time.Since(begun) > upLimit {
				r.fail("senders get no definite answer from a node that is left alone")
				done = true
			}
		case <-ctx.Done():
			return
		}
	}
	last, moved := -1, time.Now()
	for {
		r.alive()
		open := r.ledger.open()
		_, top, _ := r.watch.standing()
		if len(open) == 0 {
			break
		}
		if len(open) != last {
			last, moved = len(open), time.Now()
		}
		if time.Since(moved) > moveLimit {
			r.fail("%d acknowledged transactions get into no block of a node that is left alone (pre-confirmed is block %d); such as %s: sender %d nonce %d %s: %s",
				len(open), top, open[0].hash, open[0].sender, open[0].nonce, open[0].kind, r.status(ctx, open[0]))
			break
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return
		}
	}
	select {
	case err := <-r.load.stuck:
		r.fail("%v", err)
	default:
	}
	// Whatever was to be seen as pre-confirmed is accepted soon.
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); sleep(ctx, 50*time.Millisecond) {
		r.watch.mu.Lock()
		newest := uint64(0)
		for number := range r.watch.sights {
			newest = max(newest, number)
		}
		r.watch.mu.Unlock()
		if head, _, _ := r.watch.standing(); head >= newest {
			return
		}
	}
}

// judge checks what is there, stops the node, and has the chain executed again.
func (r *round) judge(ctx context.Context, o options) {
	blocks, err := r.walk(ctx)
	if err != nil {
		r.fail("reading the chain: %v", err)
		r.node.dump()
		return
	}
	r.watch.mu.Lock()
	e := evidence{entries: r.ledger.all(), first: r.watch.accepted, blocks: blocks, sights: r.watch.sights, windows: r.windows}
	for _, b := range r.watch.broken {
		r.fail("%s", b)
	}
	r.watch.mu.Unlock()
	v := check(e)
	r.told(ctx, e.entries, v)
	for i, w := range v.wrong {
		if i == 20 {
			r.fail("and %d more", len(v.wrong)-i)
			break
		}
		r.fail("%s", w)
	}
	if err := r.node.stop(); err != nil {
		r.fail("at its end: %v\n%s", err, r.node.lastWords(12))
	}
	sleep(ctx, 100*time.Millisecond)
	if left := r.node.orphans(); len(left) > 0 {
		r.fail("outlive the node: %s", strings.Join(left, ", "))
	}
	if left := r.node.leftovers(); len(left) > 0 {
		r.fail("left behind in the temp folder: %s", strings.Join(left, ", "))
	}
	for _, line := range r.node.alarms() {
		r.fail("the node said: %s", line)
	}
	roots := 0
	if !r.ephemeral {
		roots = r.replay(ctx, o, blocks[len(blocks)-1])
	}
	r.report.round(r, v, len(blocks), roots)
}

// told looks whether the node tells of transactions and classes what is in its blocks.
func (r *round) told(ctx context.Context, entries []entry, v *verdict) {
	asked := 0
	for _, e := range entries {
		if e.height == 0 {
			continue
		}
		if e.class != "" {
			var class struct{ ABI string }
			if err := r.node.Call(ctx, "starknet_getClass", map[string]any{"block_id": "latest", "class_hash": e.class}, &class); err != nil || class.ABI == "" {
				v.fail("class %s is declared in block %d, and getClass says: %v", e.class, e.height, err)
			}
		}
		if asked++; asked%8 == 0 || e.class != "" {
			if s := r.status(ctx, &e); s != "ACCEPTED_ON_L2" {
				v.fail("%s is in block %d, its status is %s", e.hash, e.height, s)
			}
		}
	}
}

// walk reads the whole chain.
func (r *round) walk(ctx context.Context) ([]client.Block, error) {
	var head uint64
	if err := r.node.Call(ctx, "starknet_blockNumber", []any{}, &head); err != nil {
		return nil, err
	}
	var blocks []client.Block
	for number := uint64(0); number <= head; number++ {
		b, err := r.node.Block(ctx, number)
		if err != nil {
			return nil, fmt.Errorf("block %d: %w", number, err)
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

var replayed = regexp.MustCompile(`^(\d+) blocks with (\d+) transactions`)

// replay executes the chain again from genesis in a fresh node, which compares every root and hash.
func (r *round) replay(ctx context.Context, o options, head client.Block) (roots int) {
	args := append([]string{"replay", "--data-dir", filepath.Join(r.dir, "data")}, r.genesis()...)
	cmd := exec.CommandContext(ctx, filepath.Join(o.bin, "ordo"), args...)
	cmd.Env = r.node.environment()
	out, err := cmd.CombinedOutput()
	m := replayed.FindSubmatch(out)
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		r.fail("ordo replay: %v\n%s", err, out)
		return 0
	case m != nil:
		roots, _ = strconv.Atoi(string(m[1]))
	}
	// Blocks without transactions may have followed while the chain was read.
	if same := strings.Contains(string(out), head.Hash) && strings.Contains(string(out), head.Root); roots < int(head.Number) || roots == int(head.Number) && !same {
		r.fail("ordo replay does not reach block %d %s with root %s:\n%s", head.Number, head.Hash, head.Root, out)
	}
	return roots
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
