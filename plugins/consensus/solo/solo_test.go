package solo_test

import (
	"encoding/binary"
	"testing"

	"github.com/ordo-sequencer/ordo/plugins/consensus/solo"
	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestTranscripts plays testdata/*. Rewrite with `go test ./plugins/consensus/solo -rewrite`.
func TestTranscripts(t *testing.T) {
	consensustest.Transcripts(t, "testdata", func(config []byte) (sdk.Protocol, error) {
		c, err := solo.ParseConfig(config)
		return solo.New(c), err
	}, nil)
}

// FuzzStep: whatever a core says, in whatever order, at most one attempt is open, seals and decisions name it, and every
// demand for a block is kept in mind until a block that was sealed for it is decided.
func FuzzStep(f *testing.F) {
	f.Add(byte(0), []byte{2, 5, 6, 1, 1, 5, 6})
	f.Add(byte(1), []byte{3, 5, 7, 3, 8, 4, 5, 6})
	f.Add(byte(2), []byte{2, 2, 5, 6, 5, 6, 7, 7})
	f.Fuzz(func(t *testing.T, mode byte, script []byte) {
		modes := []solo.Mode{solo.Transaction, solo.Interval, solo.Demand}
		s := solo.New(solo.Config{Mode: modes[int(mode)%3], IntervalMs: 1000, IdleMs: 5})
		var open, height uint64 = 0, 1 // open attempt; 0: none
		var now, demands, blocks uint64
		sealed, decided := false, false
		seen := map[uint64]bool{}
		step := func(e *ordov1.ConsensusEvent) {
			e.NowMs = now
			for _, a := range s.Step(e) {
				switch a := a.GetAction().(type) {
				case *ordov1.Action_Build_:
					if open != 0 {
						t.Fatal("a second attempt while one is open")
					}
					open, sealed = a.Build.GetAttempt(), false
					if seen[open] {
						t.Fatalf("attempt %d comes back", open)
					}
					seen[open] = true
				case *ordov1.Action_Seal_:
					if a.Seal.GetAttempt() != open || sealed {
						t.Fatalf("seal of %d, open is %d, sealed %v", a.Seal.GetAttempt(), open, sealed)
					}
					sealed = true
				case *ordov1.Action_Decide_:
					if a.Decide.GetAttempt() != open || decided {
						t.Fatalf("decide of %d, open is %d", a.Decide.GetAttempt(), open)
					}
					if binary.BigEndian.Uint64(a.Decide.GetValue()) != open {
						t.Fatal("decides another value than the one built")
					}
					decided = true
				}
			}
		}
		step(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Start_{Start: &ordov1.ConsensusEvent_Start{Height: height}}})
		finish := func(empty bool) {
			switch {
			case decided:
				open, decided = 0, false
				blocks++
				step(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Decided_{Decided: &ordov1.ConsensusEvent_Decided{Height: height}}})
				height++
			case open != 0 && empty:
				attempt := open
				open = 0
				step(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Failed_{Failed: &ordov1.ConsensusEvent_Failed{Attempt: attempt}}})
			case open != 0:
				step(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Built_{Built: &ordov1.ConsensusEvent_Built{
					Attempt: open, Value: binary.BigEndian.AppendUint64(nil, open)}}})
			}
		}
		for _, b := range script {
			now += uint64(b) * 7
			switch b % 8 {
			case 0, 1:
				step(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Ready_{Ready: &ordov1.ConsensusEvent_Ready{}}})
			case 2:
				demands++
				step(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_CreateBlock_{CreateBlock: &ordov1.ConsensusEvent_CreateBlock{}}})
			case 3, 4:
				step(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: uint64(b%8) - 2}}})
			case 5, 6:
				finish(false)
			case 7:
				finish(true)
			}
		}
		// Let it come to rest: every demand must have become a block of its own.
		for i := 0; i < 8*len(script)+8; i++ {
			now += 5000
			step(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: 2}}})
			if open != 0 && !sealed && !decided {
				break
			}
			finish(false)
		}
		if blocks < demands {
			t.Fatalf("%d demands, %d blocks", demands, blocks)
		}
	})
}
