package localnet

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

var (
	seedFlag   = flag.Uint64("seed", 0, "make network: what decides the order of the scenarios and what they do; 0: a new one")
	roundsFlag = flag.Int("rounds", 0, "make network: how often all scenarios are played; 0: the short form")
	lateFlag   = flag.Uint64("late", 1000, "make network: how many blocks the late validator misses in the first round")
)

// The short form plays the first scenarios always, and some of the others: each seed other ones.
const always, short = 2, 1

// seed is that of -seed or ORDO_NETWORK_SEED, or a new one.
func seed(t *testing.T) uint64 {
	t.Helper()
	if text := os.Getenv("ORDO_NETWORK_SEED"); text != "" && *seedFlag == 0 {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("ORDO_NETWORK_SEED=%s is no number", text)
		}
		return n
	}
	if *seedFlag != 0 {
		return *seedFlag
	}
	return rand.Uint64N(1_000_000) + 1
}

// TestNetworkUnderFaults: four validators under load agree on every block and lose no transaction that they acknowledged, whatever the scenarios
// of a seed do to them; in the long form followers that come late have the same chain.
func TestNetworkUnderFaults(t *testing.T) {
	need.Binaries(t, "plugins/ordo-consensus-comet")
	t.Parallel()
	n := seed(t)
	s := newStage(t, n)
	t.Run("starknet.js", s.starknetJS)
	all := scenarios()
	for round := range max(1, *roundsFlag) {
		if *roundsFlag > 0 {
			s.tell("round %d of %d", round+1, *roundsFlag)
			s.late = 30
			if round == 0 {
				s.late = *lateFlag
			}
		}
		played := all
		if *roundsFlag == 0 {
			others := all[always:]
			s.random.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
			played = all[:always+short]
		}
		s.random.Shuffle(len(played), func(i, j int) { played[i], played[j] = played[j], played[i] })
		for _, one := range played {
			s.tell("== %s", one.name)
			one.play(s)
			s.verify(one.name)
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	if *roundsFlag > 0 {
		s.followers()
	}
	s.end(n)
}

func newStage(t *testing.T, seed uint64) *stage {
	s := &stage{t: t, random: rand.New(rand.NewPCG(seed, 0)), begun: time.Now(), others: make(map[int]bool), twins: make(map[int]int), judge: newJudge(),
		late: 12, kinds: named + 1, counts: make(map[string]int), say: func(line string) { t.Log(line) }}
	senders := 8
	if *roundsFlag > 0 {
		s.kinds, senders = len(proposalFaults), 20
		s.say = func(line string) { fmt.Println(line) }
	}
	s.tell("seed %d: go test ./test/localnet -run %s -args -seed %d -rounds %d", seed, t.Name(), seed, *roundsFlag)
	built := make(chan string, 1)
	go func() { built <- buildProxy(t) }()
	s.network = launch(t, t.TempDir(), "--validators", "4", "--consensus", "comet", "--base-port", "0", "--set", "genesis.accounts=24")
	s.awaits(t, "all are linked", func(s status) bool {
		for _, one := range s.Nodes {
			if one.Peers != 3 {
				return false
			}
		}
		return true
	})
	s.program, s.members = <-built, s.nodes(t)
	s.load = startLoad(t.Context(), s.members, senders)
	t.Cleanup(s.load.end)
	s.tell("four validators are linked; %d accounts send transfers", senders)
	if *roundsFlag > 0 {
		s.grows(12) // from here on the hash of a block ten below is in each
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for k := range s.members {
			t.Logf("the end of the log of node %d:\n%s", k, strings.Join(last(lines(s.logOf(k)), 25), "\n"))
		}
	})
	return s
}

// followers adds two, by the mesh and by the JSON-RPC, which come late.
func (s *stage) followers() {
	for _, source := range []string{"peers", "url"} {
		s.do(s.t, "add", "--follow", source)
	}
	for _, one := range s.status(s.t).Nodes {
		if one.Kind == "follower" {
			s.followed = append(s.followed, client.Node{URL: one.URL})
		}
	}
	for _, n := range s.followed {
		reaches(s.t, n, s.head())
	}
	s.tell("%d followers came late, and are level at block %d", len(s.followed), s.head())
}

// end stops the load and compares everything once more.
func (s *stage) end(seed uint64) {
	s.load.end()
	acked := s.load.acknowledged()
	left, err := s.judge.pending(within(s.t, 2*patient), acked, s.members)
	if err != nil || left > 0 {
		s.t.Fatalf("%d of %d acknowledged transactions are in no block: %v", left, len(acked), err)
	}
	head := s.head()
	everywhere := slices.Concat(s.members, s.followed)
	for _, n := range everywhere {
		reaches(s.t, n, head)
	}
	j := newJudge()
	if _, err := j.safety(within(s.t, 10*patient), 0, everywhere); err != nil {
		s.t.Fatal(err)
	}
	for account, a := range genesis.Accounts(0, len(s.load.nonces)) {
		for _, n := range everywhere {
			got, err := n.Nonce(s.ctx(), "latest", client.NewAccount(a, chainID).Address)
			if want := s.load.nonces[account]; err != nil || got < want || got > want+1 { // the answer to the last one may not have been read
				s.t.Errorf("account %d has nonce %d at %s, %d transactions were acknowledged: %v", account, got, n.URL, want, err)
			}
		}
	}
	by := make(map[string]int)
	for number := uint64(1); number <= head; number++ {
		address, _, err := proposer(s.ctx(), s.members[0], number)
		if err != nil {
			s.t.Fatal(err)
		}
		by[address]++
	}
	s.tell("seed %d: %d blocks, equal at %d nodes; by proposer: %s", seed, head, len(everywhere), table(by))
	s.tell("%d transactions acknowledged, each in exactly one block; 0 lost", len(acked))
	s.tell("scenarios: %s; %d false proposals; longest time from a heal to the next block: %d ms", table(s.counts), s.proposed, s.longest.Milliseconds())
	if len(s.load.refused) > 0 {
		s.tell("answers that were errors, and were tried again: %s", table(s.load.refused))
	}
}

// table writes counts in the order of their names.
func table(counts map[string]int) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(list, ", ")
}

func last(list []string, n int) []string { return list[max(0, len(list)-n):] }

// starknetJS has an application deploy and invoke by each node, and read receipt and nonce at the next one.
func (s *stage) starknetJS(t *testing.T) {
	need.Env(t, "ORDO_E2E_JS")
	args := []string{"../e2e/js/network.mjs"}
	for _, one := range s.members {
		args = append(args, one.URL)
	}
	cmd := exec.CommandContext(within(t, 4*patient), "node", args...)
	cmd.Env = append(nodetest.Environment(), "ORDO_E2E_JS="+os.Getenv("ORDO_E2E_JS"))
	cmd.Stderr = new(nodetest.Output)
	out, err := cmd.Output()
	var result struct{ Nodes int }
	if err != nil || json.Unmarshal(out, &result) != nil || result.Nodes != len(s.members) {
		t.Fatalf("%v\n%s\n%s", err, out, cmd.Stderr)
	}
	s.tell("starknet.js deployed and invoked by each node, and read receipts and nonces at the next one")
}
