package driver

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// scripted loses a round, proposes again, closes below what ran, and validates what it built as if a peer had: at
// every height, before it decides.
//
//	attempt 1: built, abandoned          attempt 4: attempt 3 as a peer's proposal: must be valid, same value
//	attempt 2: the same from the pool    attempt 5: a false value for attempt 3: must be invalid
//	attempt 3: the first half of 2       then 4 is decided
type scripted struct {
	mu       sync.Mutex
	building bool
	values   map[uint64][]byte
	counts   map[uint64]uint64
	proposal []byte
	wrong    []string
	heights  int
}

func (s *scripted) complain(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

func (s *scripted) step(event *ordov1.ConsensusEvent) []*ordov1.Action {
	s.mu.Lock()
	defer s.mu.Unlock()
	validate := func(attempt uint64, value []byte) *ordov1.Action {
		return &ordov1.Action{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{Attempt: attempt, Round: 3, Proposal: s.proposal, Value: value}}}
	}
	switch e := event.Event.(type) {
	case *ordov1.ConsensusEvent_Ready_:
		if !s.building {
			s.building, s.values, s.counts = true, map[uint64][]byte{}, map[uint64]uint64{}
			return []*ordov1.Action{fakestage.Build(&ordov1.Action_Build{Attempt: 1}), fakestage.Seal(1)}
		}
	case *ordov1.ConsensusEvent_Built_:
		s.values[e.Built.Attempt], s.counts[e.Built.Attempt] = e.Built.Value, e.Built.N
		switch e.Built.Attempt {
		case 1:
			return []*ordov1.Action{{Action: &ordov1.Action_Abandon_{Abandon: &ordov1.Action_Abandon{Attempt: 1}}},
				fakestage.Build(&ordov1.Action_Build{Attempt: 2, Round: 1}), fakestage.Seal(2)}
		case 2:
			if s.counts[2] < s.counts[1] {
				s.complain("the lost round lost transactions: %d of %d", s.counts[2], s.counts[1])
			}
			return []*ordov1.Action{fakestage.Build(&ordov1.Action_Build{Attempt: 3, Round: 2, ReuseAttempt: 2, MaxTransactions: uint32(s.counts[2]/2 + 1)})}
		case 3:
			if s.counts[3] != s.counts[2]/2+1 {
				s.complain("half of %d is %d", s.counts[2], s.counts[3])
			}
			s.proposal = e.Built.Proposal
			return []*ordov1.Action{validate(5, []byte("a false value"))}
		}
	case *ordov1.ConsensusEvent_Verdict_:
		switch e.Verdict.Attempt {
		case 5:
			if e.Verdict.Valid {
				s.complain("a false value was found valid")
			}
			// A hash that is not the transaction's own is found before anything runs.
			p := &ordov1.Proposal{}
			if err := proto.Unmarshal(s.proposal, p); err != nil {
				s.complain("%v", err)
			}
			p.Transactions[0].Tip++
			forged, _ := proto.Marshal(p)
			return []*ordov1.Action{{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{Attempt: 6, Proposal: forged, Value: s.values[3]}}}}
		case 6:
			if e.Verdict.Valid || !strings.Contains(e.Verdict.Reason, "its hash is") {
				s.complain("a forged transaction: valid %v: %s", e.Verdict.Valid, e.Verdict.Reason)
			}
			return []*ordov1.Action{validate(4, s.values[3])}
		case 4:
			if !e.Verdict.Valid || !bytes.Equal(e.Verdict.Value, s.values[3]) {
				s.complain("own proposal, validated: valid %v, %x, built %x: %s", e.Verdict.Valid, e.Verdict.Value, s.values[3], e.Verdict.Reason)
				return nil
			}
			return []*ordov1.Action{{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{Attempt: 4, Value: e.Verdict.Value, Certificate: []byte("signed")}}}}
		}
	case *ordov1.ConsensusEvent_Failed_:
		s.complain("failed: %s", e.Failed.Reason)
	case *ordov1.ConsensusEvent_Decided_:
		s.building = false
		s.heights++
	}
	return nil
}

func TestScriptedConsensus(t *testing.T) {
	w := newWorld(t)
	script := &scripted{}
	w.consensus = script.step
	w.options.Stages.ConsensusCapabilities = []string{sdk.CapNetwork}
	w.options.Stages.OrderingCapabilities = []string{sdk.CapArrival}
	n := w.start()
	var all []*ordov1.Transaction
	for nonce := range uint64(6) {
		for account := uint64(1); account <= 4; account++ {
			all = append(all, w.tx(account, nonce, nonce%2*reverts, 0))
		}
	}
	w.submit(all...)
	w.await(chainview.Accepted, all...)
	w.chainIsSound()
	script.mu.Lock()
	defer script.mu.Unlock()
	for _, wrong := range script.wrong {
		t.Error(wrong)
	}
	if script.heights < 3 {
		t.Errorf("only %d heights", script.heights)
	}
	if got := string(w.storage.Stored[1].Certificate); got != "signed" {
		t.Errorf("certificate %q", got)
	}
	if len(n.Waiting()) != 0 {
		t.Errorf("%d transactions wait for nothing", len(n.Waiting()))
	}
	w.callsAreLawful(grammars(t))
}

// What consensus may not do stops the node with its name.
func TestConsensusThatBreaksTheProtocolStopsTheNode(t *testing.T) {
	w := newWorld(t)
	w.consensus = func(event *ordov1.ConsensusEvent) []*ordov1.Action {
		if event.GetReady() != nil {
			return []*ordov1.Action{fakestage.Decide(9, []byte("anything"))}
		}
		return nil
	}
	n := w.start()
	w.submit(w.tx(1, 0, plain, 0))
	stopsWith(t, n, "consensus", "attempt 9")
	if err := n.Stop(ctx(t)); err == nil || !strings.Contains(err.Error(), "attempt 9") {
		t.Errorf("stop says %v", err)
	}
	if got := n.Chain().Status(mempool.Key(w.tx(1, 0, plain, 0).Hash)).Status; got != chainview.Received {
		t.Errorf("its transaction is %s", got)
	}
}
