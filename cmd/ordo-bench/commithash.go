package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/node"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

// HashCost is one hash of two felts by one implementation, on one processor.
type HashCost struct {
	Hash  string  `json:"hash"` // pedersen, or poseidon
	By    string  `json:"by"`
	NS    float64 `json:"ns"`
	Ratio float64 `json:"ratio"` // to ordo in batches, the median over rounds
}

const (
	byBatches = "ordo, in batches of 256"
	bySingles = "ordo, one by one"
	byGnark   = "gnark-crypto"
	byCrate   = "starknet-types-core"

	hashBatch  = 256                   // as byBatches says
	hashTime   = 50 * time.Millisecond // for one implementation in one round
	cratePairs = 2000                  // the same for the crate, which counts instead
	crateLimit = time.Minute           // what bears the plugin's name may be another program, that waits for something
)

// hashSide is one implementation; time is what a hash takes it, in nanoseconds.
type hashSide struct {
	by     string
	time   func(context.Context) (float64, error)
	rounds []float64
}

// measureHashes compares implementations hash by hash; not says which is missing, and why.
func measureHashes(ctx context.Context, rounds int, quiet bool) (costs []HashCost, not []string, err error) {
	installed, err := node.Installed()
	if err != nil {
		return nil, nil, err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	plugin := filepath.Join(installed.Plugins, "ordo-execution-blockifier")
	if _, err := askCrate(ctx, plugin); err != nil {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		not = append(not, fmt.Sprintf("%s: %v", byCrate, err))
	}
	l := newLedger(hashBatch)
	a, b := l.balances, l.accounts
	ours := func(by string, hash trie.HashPairs) *hashSide {
		return &hashSide{by: by, time: func(context.Context) (float64, error) { return timePairs(hash, a, b), nil }}
	}
	crate := func(pick func(crateCost) float64) *hashSide {
		return &hashSide{by: byCrate, time: func(ctx context.Context) (float64, error) {
			cost, err := askCrate(ctx, plugin)
			return pick(cost), err
		}}
	}
	if err := agree(a, b, pedersen.HashPairs, singly(pedersen.Hash), loadGnark().pairs); err != nil {
		return nil, nil, fmt.Errorf("pedersen: %w", err)
	}
	if err := agree(a, b, poseidon.HashPairs, singly(poseidon.Hash)); err != nil {
		return nil, nil, fmt.Errorf("poseidon: %w", err)
	}
	bar := newBar(2*(rounds+1), quiet, "hashes")
	defer bar.Finish()
	for _, kind := range []struct {
		hash  string
		sides []*hashSide
	}{
		{"pedersen", []*hashSide{
			ours(byBatches, pedersen.HashPairs), ours(bySingles, singly(pedersen.Hash)), ours(byGnark, loadGnark().pairs),
			crate(func(c crateCost) float64 { return c.Pedersen }),
		}},
		{"poseidon", []*hashSide{
			ours(byBatches, poseidon.HashPairs), ours(bySingles, singly(poseidon.Hash)),
			crate(func(c crateCost) float64 { return c.Poseidon }),
		}},
	} {
		if len(not) > 0 {
			kind.sides = kind.sides[:len(kind.sides)-1]
		}
		if err := alternate(ctx, kind.sides, rounds, func() { _ = bar.Add(1) }); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", kind.hash, err)
		}
		for _, s := range kind.sides {
			costs = append(costs, HashCost{Hash: kind.hash, By: s.by, NS: median(slices.Clone(s.rounds)), Ratio: s.against(kind.sides[0])})
		}
	}
	return costs, not, nil
}

// alternate measures all sides in turn, the order changing, after a round that does not count.
func alternate(ctx context.Context, sides []*hashSide, rounds int, done func()) error {
	order := slices.Clone(sides)
	for i := range rounds + 1 {
		for _, s := range order {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			ns, err := s.time(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", s.by, err)
			}
			if i > 0 {
				s.rounds = append(s.rounds, ns)
			}
		}
		slices.Reverse(order)
		done()
	}
	return nil
}

func (s *hashSide) against(other *hashSide) float64 {
	var ratios []float64
	for i := range s.rounds {
		ratios = append(ratios, s.rounds[i]/other.rounds[i])
	}
	return median(ratios)
}

// timePairs hashes for a while. What comes out goes in again, so that all bits are in use.
func timePairs(hash trie.HashPairs, a, b []felt.Felt) float64 {
	a, b = slices.Clone(a), slices.Clone(b)
	n, begun := 0, time.Now()
	for time.Since(begun) < hashTime {
		hash(a, a, b)
		a, b = b, a
		n += len(a)
	}
	return float64(time.Since(begun)) / float64(n)
}

// singly hashes pairs as if each came alone.
func singly(hash func(a, b felt.Felt) felt.Felt) trie.HashPairs {
	return func(dst, a, b []felt.Felt) {
		for i := range dst {
			dst[i] = hash(a[i], b[i])
		}
	}
}

// agree: what is not the same hash is not worth comparing.
func agree(a, b []felt.Felt, all ...trie.HashPairs) error {
	want, got := make([]felt.Felt, len(a)), make([]felt.Felt, len(a))
	all[0](want, a, b)
	for n, hash := range all[1:] {
		hash(got, a, b)
		if !slices.Equal(got, want) {
			return fmt.Errorf("implementation %d finds other hashes than the first", n+2)
		}
	}
	return nil
}

// crateCost is what the execution plugin tells of the crate that it is built with.
type crateCost struct {
	By       string  `json:"by"`
	Pedersen float64 `json:"pedersen_ns"`
	Poseidon float64 `json:"poseidon_ns"`
}

func askCrate(ctx context.Context, plugin string) (crateCost, error) {
	ctx, cancel := context.WithTimeout(ctx, crateLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, plugin, "hash", "--pairs", strconv.Itoa(cratePairs))
	var stderr bytes.Buffer
	cmd.Stderr, cmd.WaitDelay = &stderr, time.Second
	name := filepath.Base(plugin)
	out, err := cmd.Output()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return crateCost{}, fmt.Errorf("no %s beside ordo or in ORDO_PLUGINS: make build makes it", name)
	case ctx.Err() != nil:
		return crateCost{}, fmt.Errorf("%s hash: no answer: %w", name, ctx.Err())
	case err != nil:
		why, _, _ := strings.Cut(stderr.String(), "\n") // its usage follows
		return crateCost{}, fmt.Errorf("%s hash: %w: %s (make build makes one of this version)", name, err, strings.TrimPrefix(why, name+": "))
	}
	var cost crateCost
	if err := json.Unmarshal(out, &cost); err != nil {
		return cost, fmt.Errorf("%s hash printed %q: %w", name, out, err)
	}
	if cost.By != byCrate || cost.Pedersen <= 0 || cost.Poseidon <= 0 {
		return cost, fmt.Errorf("%s hash printed %q: not the times of %s", name, out, byCrate)
	}
	return cost, nil
}

// printHashes writes the comparison for people.
func (r *Commit) printHashes(out io.Writer) {
	fmt.Fprintln(out, "one hash of two felts, on one processor (ratio: to ordo in batches, the median over rounds)")
	for _, h := range r.Each {
		fmt.Fprintf(out, "%-8s  %-*s %8.0f ns  %6.1f\n", h.Hash, len(byBatches), h.By, h.NS, h.Ratio)
	}
	for _, why := range r.Not {
		fmt.Fprintf(out, "not measured: %s\n", why)
	}
}
