package consensustest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Scenario is all that a run depends on, beside the protocol.
type Scenario struct {
	Seed       uint64
	Validators int
	Followers  int      // nodes that are no validators, numbered behind them
	Powers     []uint64 // of the votes; nil: 1 each
	Scheme     string   // of signatures; "": sdk.SchemeTest, which is quick
	Faults     []Fault

	// Heights is how many blocks every honest node decides after the last fault has ended (default 3), within Limit (default 60 s).
	Heights uint64
	Limit   time.Duration

	// Latency is the time that a message takes, [from][to], over as many rows as there are; nodes beyond begin again at the first. nil: 1 ms.
	// Each message takes up to a tenth longer.
	Latency [][]time.Duration
	// Every is the time between two transactions (default 20 ms); all pools get all of them. Negative: there are none.
	Every time.Duration
	// NoGuard lets nodes sign two things of one kind and round. It shows what the guard prevents.
	NoGuard bool
	// ForgetBodies: a crash loses the bodies of proposals too. If all nodes crash that are locked on a block, it is gone, and the height with it.
	ForgetBodies bool
	// Steps is the most events of a run (default 1,000,000): more means that the protocol spins.
	Steps int
	// Core makes what stands around the protocol in each node; nil: a model of the core.
	Core func(*Host) Core
	// Keep keeps all events and actions for Result.Transcript.
	Keep bool
}

// Chain is the chain id of all runs.
const Chain = "VIRTUAL"

func (s Scenario) complete() (Scenario, error) {
	if s.Validators < 1 {
		return s, fmt.Errorf("consensustest: a scenario has at least one validator")
	}
	if s.Scheme == "" {
		s.Scheme = sdk.SchemeTest
	}
	if s.Scheme != sdk.SchemeTest && s.Scheme != sdk.SchemeEd25519 {
		return s, fmt.Errorf("consensustest: no scheme %q", s.Scheme)
	}
	if s.Heights == 0 {
		s.Heights = 3
	}
	if s.Limit == 0 {
		s.Limit = time.Minute
	}
	if s.Every == 0 {
		s.Every = 20 * time.Millisecond
	}
	if s.Steps == 0 {
		s.Steps = 1_000_000
	}
	if s.Core != nil && s.NoGuard {
		return s, fmt.Errorf("consensustest: NoGuard is of the model of the core: this scenario has a core of its own, which has its guard")
	}
	if len(s.Latency) == 0 {
		s.Latency = [][]time.Duration{{time.Millisecond}}
	}
	nodes := s.Validators + s.Followers
	for _, f := range s.Faults {
		if f.Kind == Twin {
			nodes += len(f.Nodes)
		}
	}
	for _, f := range s.Faults {
		for _, n := range slices.Concat(f.Nodes, f.Peers) {
			if n < 0 || n >= nodes {
				return s, fmt.Errorf("consensustest: fault %q: there is no node %d", f, n)
			}
		}
		if (f.Kind == Twin || f.Kind == Diverge || f.Kind == Crash || f.Kind == Restart || f.Kind == Pause) && len(f.Nodes) == 0 {
			return s, fmt.Errorf("consensustest: fault %q names no nodes", f)
		}
	}
	return s, nil
}

// heal is when the last fault that ends has ended.
func (s Scenario) heal() (at time.Duration) {
	for _, f := range s.Faults {
		at = max(at, f.To)
		if f.Kind == Restart {
			at = max(at, f.From)
		}
	}
	return at
}

// String is the scenario as a person reads it.
func (s Scenario) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d validators", s.Seed, s.Validators)
	if s.Followers > 0 {
		fmt.Fprintf(&b, ", %d followers", s.Followers)
	}
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "\n  %s", f)
	}
	return b.String()
}

// identity is a key pair; the private half only of scheme ed25519.
type identity struct {
	public  []byte
	private ed25519.PrivateKey
}

// identities makes key pairs, in the order of their public keys.
func identities(scheme string, n int) []identity {
	all := make([]identity, n)
	for i := range all {
		seed := sha256.Sum256(fmt.Appendf(nil, "validator %d", i))
		all[i].public = seed[:]
		if scheme == sdk.SchemeEd25519 {
			all[i].private = ed25519.NewKeyFromSeed(seed[:])
			all[i].public = all[i].private.Public().(ed25519.PublicKey)
		}
	}
	slices.SortFunc(all, func(a, b identity) int { return bytes.Compare(a.public, b.public) })
	return all
}

func (k identity) sign(message []byte) []byte {
	if k.private != nil {
		return ed25519.Sign(k.private, message)
	}
	return sdk.TestSignature(k.public, message)
}

// validators is the set in Start.
func (s Scenario) validators(keys []identity) []*ordov1.Validator {
	set := make([]*ordov1.Validator, s.Validators)
	for i := range set {
		set[i] = &ordov1.Validator{Key: keys[i].public, Power: 1, Address: keys[i].public}
		if i < len(s.Powers) {
			set[i].Power = s.Powers[i]
		}
	}
	return set
}
