package virtual

import (
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// alone decides what it builds: a chain of one validator.
type alone struct{}

func (alone) Step(event *ordov1.ConsensusEvent) []*ordov1.Action {
	switch e := event.GetEvent().(type) {
	case *ordov1.ConsensusEvent_Start_, *ordov1.ConsensusEvent_Decided_:
		return []*ordov1.Action{sdk.Action(&ordov1.Action_Build{Attempt: 1, DeadlineMs: 40, IdleMs: 5, AllowEmpty: true})}
	case *ordov1.ConsensusEvent_Built_:
		return []*ordov1.Action{sdk.Action(&ordov1.Action_Decide{Attempt: e.Built.GetAttempt(), Value: e.Built.GetValue()})}
	}
	return nil
}

var subject = consensustest.InProcess(func() sdk.Protocol { return alone{} }, nil)

// watched is a core that a test looks into.
type watched struct {
	*node
	see func(n *node, id uint64)
}

func (w watched) Transaction(id uint64) {
	w.node.Transaction(id)
	if w.host.Up() && w.machine != nil {
		w.see(w.node, id)
	}
}

func scenario(see func(n *node, id uint64)) consensustest.Scenario {
	return consensustest.Scenario{Seed: 1, Validators: 1, Heights: 20, Every: 5 * time.Millisecond, Keep: true, Core: func(h *consensustest.Host) consensustest.Core {
		return watched{Core(h).(*node), see}
	}}
}

// TestCrashesOfOne: a node that crashes at any moment, and whose plugins end, goes on with all that it had admitted, and blocks are as they were.
func TestCrashesOfOne(t *testing.T) {
	inBlocks, restored := 0, 0
	for seed := range uint64(150) {
		s := scenario(func(n *node, id uint64) {
			inBlocks = max(inBlocks, len(n.chain.included))
			restored = max(restored, n.disk.process-1)
		})
		s.Seed = seed
		at := func(k uint64) time.Duration { return time.Duration(seed*37%50+30*k) * time.Millisecond }
		s.Faults = []consensustest.Fault{
			{Kind: consensustest.Crash, Nodes: []int{0}, From: at(1), To: at(1) + 3*time.Millisecond},
			{Kind: consensustest.Restart, Nodes: []int{0}, Event: int(3 + seed%40)},
			{Kind: consensustest.SlowDisk, Nodes: []int{0}, From: at(2), To: at(5), Amount: 7 * time.Millisecond},
			{Kind: consensustest.Crash, Nodes: []int{0}, From: at(4), To: at(4) + 3*time.Millisecond},
		}
		r, err := consensustest.Run(subject, s)
		if err != nil {
			t.Fatal(err)
		}
		if r.Failure != nil {
			consensustest.Explain(t, subject, r)
		}
	}
	if inBlocks < 50 || restored != 2 {
		t.Errorf("at most %d transactions in blocks, %d restarts", inBlocks, restored)
	}
}

// TestLostTransaction: the checker of transactions fires when a pool loses one that was admitted.
func TestLostTransaction(t *testing.T) {
	lost := false
	r, err := consensustest.Run(subject, scenario(func(n *node, id uint64) {
		const ahead = 45 // its nonce is not the next one: no attempt has it
		if id == 5 {
			n.admit(ahead)
		}
		if e := n.pool.Get(keyOf(ahead)); !lost && e != nil {
			n.pool.Reject([]mempool.Rejected{{Hash: e.Hash}})
			lost = true
		}
	}))
	if err != nil || r.Failure == nil || r.Failure.Checker != consensustest.Transactions {
		t.Errorf("%v, %v", r.Failure, err)
	}
}

// TestTwoBlocks: the checker of transactions fires when one is in two blocks.
func TestTwoBlocks(t *testing.T) {
	r, err := consensustest.Run(subject, scenario(func(n *node, id uint64) {
		if id == 9 {
			n.chain.included[keyOf(id)] = 1
		}
	}))
	if err != nil || r.Failure == nil || r.Failure.Checker != consensustest.Transactions {
		t.Errorf("%v, %v", r.Failure, err)
	}
}

// TestOtherValue: the checker of validity fires when execution comes to another value than it should.
func TestOtherValue(t *testing.T) {
	s := scenario(func(*node, uint64) {})
	s.Faults = []consensustest.Fault{{Kind: consensustest.Diverge, Nodes: []int{0}, Hidden: true}}
	r, err := consensustest.Run(subject, s)
	if err != nil || r.Failure == nil || r.Failure.Checker != consensustest.Validity {
		t.Errorf("%v, %v", r.Failure, err)
	}
}

// TestGuardIsTheCores: what is of the model alone is refused.
func TestGuardIsTheCores(t *testing.T) {
	s := scenario(nil)
	s.NoGuard = true
	if _, err := consensustest.Run(subject, s); err == nil {
		t.Error("a real core without its guard")
	}
}
