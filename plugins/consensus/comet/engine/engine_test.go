package engine

import (
	"crypto/ed25519"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/p2p"
	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/bridge"
)

func TestABellRingsForItsHeightOnly(t *testing.T) {
	bell := newBell(bridge.Pending, 8)
	if len(bell) != bellSize || string(bell) == string(newBell(bridge.Pending, 8)) || wishes(bell) || !wishes(newBell(bridge.BlockWish, 8)) {
		t.Fatalf("%x", bell)
	}
	for committed, want := range map[int64]bool{4: false, 5: true, 6: true, 7: true, 8: false, 9: false} {
		if rings(bell, committed) != want {
			t.Errorf("after height %d: %v", committed, !want)
		}
	}
	if rings(bell[1:], 7) || rings(append([]byte("lleb"), bell[4:]...), 7) || rings(newBell(bridge.NoBell, 8), 7) || rings(nil, 0) {
		t.Error("what is no bell rings")
	}
}

// TestOneBellIsEnough: a node rings only for what no bell of the height asks for yet, and again for all when bells may have been lost.
func TestOneBellIsEnough(t *testing.T) {
	var h heard
	expect := func(height int64, what bridge.Bell, want bool) {
		t.Helper()
		if h.enough(height, what) != want {
			t.Errorf("height %d, bell %d: %v", height, what, !want)
		}
	}
	expect(8, bridge.Pending, false)
	h.add(newBell(bridge.Pending, 8))
	expect(8, bridge.Pending, true)
	expect(8, bridge.BlockWish, false)
	expect(9, bridge.Pending, false)
	h.add(newBell(bridge.BlockWish, 8))
	h.add(newBell(bridge.Pending, 8))
	h.add(newBell(bridge.Pending, 7))
	expect(8, bridge.BlockWish, true)
	h.add(newBell(bridge.Pending, 9))
	expect(9, bridge.BlockWish, false)
	expect(9, bridge.Pending, true)
	expect(8, bridge.Pending, false)
	h.forget()
	expect(9, bridge.Pending, false)
}

// TestLiarsDoNotMakeANodeStartAgain: heights that peers claim count when one of them at least must be honest.
func TestLiarsDoNotMakeANodeStartAgain(t *testing.T) {
	for _, c := range []struct {
		heights    []int64
		validators int
		want       bool
	}{
		{nil, 4, false},
		{[]int64{1 << 60}, 4, false},
		{[]int64{1 << 60, 100, 100}, 4, false},
		{[]int64{151, 151, 100}, 4, true},
		{[]int64{150, 150, 150}, 4, false},
		{[]int64{1 << 60, 1 << 60, 100, 100, 100, 100}, 7, false},
		{[]int64{1 << 60, 1 << 60, 151, 100, 100, 100}, 7, true},
	} {
		if got := isBehind(100, c.heights, c.validators); got != c.want {
			t.Errorf("%v of %d: %v", c.heights, c.validators, got)
		}
	}
}

// TestConfigurationIsTheMeasuredOne: what CometBFT is given, and that it takes it.
func TestConfigurationIsTheMeasuredOne(t *testing.T) {
	key := func(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(b), 32))) }
	name := func(b byte) string { return hex.EncodeToString(key(b).Public().(ed25519.PublicKey)) }
	s := Settings{ChainID: "SN_TEST", Dir: t.TempDir(), Key: key('a'), NodeKey: key('a'), Listen: "127.0.0.1:1", MaxPeers: 7, TimeoutPropose: 500 * time.Millisecond,
		TimeoutPrevote: 200 * time.Millisecond, TimeoutPrecommit: 100 * time.Millisecond, Bridge: bridge.Options{BuildMs: 250}, Log: hclog.NewNullLogger()}
	for _, text := range []string{name('a') + "@127.0.0.1:1", name('b') + "@127.0.0.1:2", name('c') + "@localhost:3"} {
		p, err := ParsePeer(text)
		if err != nil {
			t.Fatal(err)
		}
		s.Peers = append(s.Peers, p)
	}
	c, err := s.Config("x")
	if err != nil {
		t.Fatal(err)
	}
	if peers := strings.Split(c.P2P.PersistentPeers, ","); len(peers) != 2 || !strings.HasSuffix(peers[0], "@127.0.0.1:2") || !strings.HasSuffix(peers[1], "@localhost:3") {
		t.Errorf("peers %q", peers)
	}
	if !c.Consensus.WaitForTxs() || c.Consensus.TimeoutProposeDelta != 250*time.Millisecond || c.P2P.PexReactor || c.RPC.ListenAddress != "" || !c.FilterPeers {
		t.Errorf("%+v", c)
	}
	if got := s.prepareLimit(); got != 375*time.Millisecond {
		t.Errorf("PrepareProposal waits %s", got)
	}
}

func TestAConsensusFailureIsTold(t *testing.T) {
	var out strings.Builder
	var failed []string
	l := &logger{to: hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Trace}), level: hclog.Error, failed: func(why string) { failed = append(failed, why) }}
	l.With("module", "x").Info("quiet")
	l.With("module", "consensus").Error("loud", "height", 5)
	l.Error(consensusFailure, "err", "the application said no", "stack", "...")
	if strings.Contains(out.String(), "quiet") || !strings.Contains(out.String(), "loud: module=consensus height=5") || len(failed) != 1 || failed[0] != "the application said no" {
		t.Errorf("%q %q", out.String(), failed)
	}
}

// TestOnlyPeersConnect: the application is asked about each node, and the log is no place for strangers to fill.
func TestOnlyPeersConnect(t *testing.T) {
	var out strings.Builder
	known := p2p.ID("known")
	s := &Settings{Log: hclog.New(&hclog.LoggerOptions{Output: &out})}
	a := &app{settings: s, peers: map[p2p.ID]bool{known: true}, refused: map[string]bool{}}
	ask := func(path string) bool {
		r, err := a.Query(t.Context(), &abci.RequestQuery{Path: path})
		return err == nil && r.IsOK()
	}
	if !ask("/p2p/filter/id/known") || !ask("/p2p/filter/addr/127.0.0.1:5") || ask("/p2p/filter/id/stranger") {
		t.Error("peers are taken, strangers are not")
	}
	for i := range 1000 {
		ask("/p2p/filter/id/stranger" + strconv.Itoa(i))
	}
	if n := strings.Count(out.String(), "\n"); n != maxRefused {
		t.Errorf("%d lines in the log, want %d", n, maxRefused)
	}
	s.AcceptUnknown = true
	if !ask("/p2p/filter/id/stranger") {
		t.Error("a stranger is refused although strangers are taken")
	}
}
