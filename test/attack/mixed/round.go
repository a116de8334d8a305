package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/load"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/test/attack/attacker"
)

// round is one node from its start to the replay of its chain.
type round struct {
	options
	dir      string
	takes    time.Duration
	limitMiB int // of its cgroup; 0: none
	node     *node
	group    *cgroup
	part     *Part
}

// chainLimit is for `ordo db check`, and for `ordo replay` of what some minutes have made.
const chainLimit = 15 * time.Minute

func (r *round) fail(format string, args ...any) {
	r.part.Failed = append(r.part.Failed, clip(fmt.Sprintf(format, args...), 1500))
}

// run returns an error when the round could not be held; what the node did wrong is in the report.
func (r *round) run(ctx context.Context, name string) (*Part, error) {
	r.part = &Part{Name: name, AttackSeconds: r.takes.Seconds(), CeilingMiB: r.ceilingMiB, LimitMiB: r.limitMiB, Factor: r.factor}
	data, work := filepath.Join(r.dir, "data"), filepath.Join(r.dir, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return r.part, err
	}
	if err := r.start(ctx, data); err != nil {
		return r.part, err
	}
	defer r.end()
	fmt.Printf("%s: the node serves at %s; its chain is in %s\n", name, r.node.URL, data)
	world, err := settle(ctx, r.options, r.node, work)
	if err != nil {
		return r.part, fmt.Errorf("the attackers' contracts: %w", err)
	}
	calm := min(max(r.takes/4, 8*time.Second), time.Minute)
	fmt.Printf("%s: %v of the honest load alone\n", name, calm)
	if r.part.Calm, err = r.honest(ctx, calm); err != nil {
		return r.part, fmt.Errorf("the honest load without an attack: %w", err)
	}
	if err := r.attacked(ctx, name, world); err != nil {
		return r.part, err
	}
	r.alive(ctx)
	if err := r.node.stop(); err != nil {
		r.fail("the node's end: %v", err)
	}
	said := r.node.said()
	_ = os.WriteFile(filepath.Join(r.dir, "stderr.log"), []byte(said), 0o600)
	for line := range strings.Lines(said) {
		if strings.Contains(line, "panic: ") || strings.Contains(line, "panicked at") || strings.Contains(line, "fatal error: ") {
			r.fail("the node said: %s", strings.TrimSpace(line))
		}
	}
	r.chain(ctx, data)
	if r.group != nil {
		if n, err := r.group.kills(); err != nil {
			r.fail("cgroup: %v", err)
		} else if r.part.OOMKills = n; n > 0 {
			r.fail("the kernel ended %d processes for want of memory", n)
		}
	}
	return r.part, ctx.Err()
}

func (r *round) start(ctx context.Context, data string) (err error) {
	if r.limitMiB > 0 {
		if r.group, err = newCgroup(r.limitMiB); err != nil {
			return err
		}
	}
	if r.node, err = startNode(ctx, r.options, data, r.group); err != nil && r.group != nil {
		_ = r.group.remove()
	}
	return err
}

func (r *round) end() {
	r.node.kill()
	r.node.stderr.Close()
	if r.group == nil {
		return
	}
	for range 50 { // until the last process has left it
		if r.group.remove() == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// honest sends transfers at the rate, follows each into a block, and audits nonces and balances. Its accounts are of the class that
// runs as machine code: those that the node has are of an older one, with which two processors do not reach 200 a second.
func (r *round) honest(ctx context.Context, takes time.Duration) (*load.Report, error) {
	fund := new(big.Int).Mul(big.NewInt(25), big.NewInt(1e18))
	return load.Run(ctx, load.Options{
		Kind: load.Transfers, Model: load.Open, Rate: r.rate, Depth: 1, Accounts: r.accounts, AccountClass: string(genesis.Native), Fund: fund, Duration: takes, Batch: 1,
		Poll: 5 * time.Millisecond, Token: "strk", Recipients: 1, Markets: 1, Contracts: filepath.Join(r.bin, "contracts"), Progress: io.Discard,
	}, r.node.URL, 0)
}

// attacked is the honest load beside the attack.
func (r *round) attacked(ctx context.Context, name string, world *attacker.World) error {
	fmt.Printf("%s: %v of the same load beside %d attackers\n", name, r.takes, r.clients)
	// Three times the ceiling has failed already; more would only harm the machine.
	watch := watchMemory(r.node.PID(), 3*float64(r.ceilingMiB), func() { _ = r.node.Cmd.Process.Kill() })
	attacking, err := startAttack(plan{World: world, Seed: r.seed, Clients: r.clients, Only: r.only, Turn: r.turn, Takes: r.takes}, r.niceness)
	if err != nil {
		return err
	}
	begun := time.Now()
	var honest error
	r.part.Attacked, honest = r.honest(ctx, r.takes)
	if honest != nil && ctx.Err() == nil {
		r.fail("the honest load: %v", honest)
	}
	if r.node.Ended() && time.Since(begun) < r.takes {
		_ = attacking.cmd.Process.Signal(os.Interrupt) // there is nothing left to attack
	}
	r.part.Attacks, err = attacking.end(ctx, r.takes)
	r.part.Memory = watch.end()
	if r.group != nil {
		r.part.Memory.Group = r.group.peak()
	}
	if err != nil {
		return err
	}
	r.judge()
	return nil
}

// judge holds the figures against what was promised.
func (r *round) judge() {
	p := r.part
	for _, a := range attacker.All() {
		for _, t := range p.Attacks {
			if t.Name != a.Name() {
				continue
			}
			if err := a.Judge(t); err != nil {
				r.fail("%s: %v", t.Name, err)
			}
		}
	}
	if peak := p.Memory.Peak; peak > float64(r.ceilingMiB) {
		r.fail("the processes took %.0f MiB together, the ceiling is %d", peak, r.ceilingMiB)
	}
	if p.Attacked == nil {
		return
	}
	h := p.Attacked
	due := h.Submitted + h.Unsent
	refused := 0
	for _, n := range h.Refused {
		refused += n
	}
	if h.Accepted != due || refused > 0 {
		r.fail("of %d honest transactions %d were accepted, %d lost, %d not taken; %d refusals: %v", due, h.Accepted, h.Lost, h.Unsent, refused, h.Refused)
	}
	if p.Calm.PreConfirmed.P99 > 0 {
		p.Ratio = h.PreConfirmed.P99 / p.Calm.PreConfirmed.P99
	}
	if r.factor > 0 && (p.Ratio > r.factor || p.Ratio == 0) {
		r.fail("p99 until PRE_CONFIRMED is %.1f ms, without the attack %.1f ms: %.1f times, allowed are %.1f", h.PreConfirmed.P99, p.Calm.PreConfirmed.P99, p.Ratio, r.factor)
	}
}

// alive asks the node how it is: it runs, it answers, and no plugin was started again.
func (r *round) alive(ctx context.Context) {
	if r.node.Ended() {
		r.fail("the node has ended: %v", r.node.Err())
		return
	}
	list, err := r.node.plugins(ctx)
	if err != nil {
		r.fail("ordo_plugins: %v", err)
		return
	}
	for _, p := range list {
		r.part.Restarts += p.Restarts
		if p.Restarts > 0 || p.State != "" && p.State != "up" {
			r.fail("%s/%s is %s after %d restarts: %s", p.Stage, p.Name, p.State, p.Restarts, p.LastExit)
		}
	}
}

var replayed = regexp.MustCompile(`^(\d+) blocks with (\d+) transactions`)

// chain has what is left checked and executed again.
func (r *round) chain(ctx context.Context, data string) {
	ctx, cancel := context.WithTimeout(ctx, chainLimit)
	defer cancel()
	var err error
	if r.part.Check, err = ordo(ctx, r.options, "db", "check", "--data-dir", data); err != nil {
		r.fail("ordo db check: %v", err)
	}
	begun := time.Now()
	text, err := ordo(ctx, r.options, "replay", "--data-dir", data)
	r.part.ReplaySeconds = time.Since(begun).Seconds()
	r.part.Replay = text
	switch m := replayed.FindString(text); {
	case err != nil && !errors.Is(ctx.Err(), context.Canceled):
		r.fail("ordo replay: %v", err)
	case m == "":
		r.fail("ordo replay does not say what it has replayed: %s", clip(text, 400))
	default:
		r.part.Replay = m
	}
}
