package solo_test

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/ordo-sequencer/ordo/plugins/consensus/solo"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/protobuf/proto"
)

// TestTranscripts plays testdata/*: `begin` makes a state machine from a configuration, `play` gives it events, one a
// line, and prints what it answers. Rewrite with `go test ./plugins/consensus/solo -rewrite`.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s *solo.Solo
		var log []*ordov1.ConsensusEvent
		config := ""
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "begin":
				config = d.Input
				c, err := solo.ParseConfig([]byte(config))
				if err != nil {
					return err.Error() + "\n"
				}
				s, log = solo.New(c), nil
				return "ok\n"
			case "play":
				var out strings.Builder
				for _, line := range strings.Split(d.Input, "\n") {
					e := event(t, line)
					log = append(log, e)
					fmt.Fprintf(&out, "%s\n", line)
					for _, a := range s.Step(proto.CloneOf(e)) {
						fmt.Fprintf(&out, "  -> %s\n", show(a))
					}
				}
				return out.String()
			case "replay": // the same events give the same actions, in another instance
				c, _ := solo.ParseConfig([]byte(config))
				again, twice := solo.New(c), solo.New(c)
				for i, e := range log {
					a, b := again.Step(e), twice.Step(e)
					if fmt.Sprint(a) != fmt.Sprint(b) {
						return fmt.Sprintf("event %d: %v, then %v\n", i, a, b)
					}
				}
				return fmt.Sprintf("%d events, the same\n", len(log))
			}
			t.Fatalf("no command %q", d.Cmd)
			return ""
		})
	})
}

// event reads `now name key=value...`.
func event(t *testing.T, line string) *ordov1.ConsensusEvent {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		t.Fatalf("event %q", line)
	}
	args := map[string]string{}
	for _, f := range fields[2:] {
		key, value, _ := strings.Cut(f, "=")
		args[key] = value
	}
	number := func(key string) uint64 {
		if args[key] == "" {
			return 0
		}
		n, err := strconv.ParseUint(args[key], 10, 64)
		if err != nil {
			t.Fatalf("event %q: %v", line, err)
		}
		return n
	}
	now, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil {
		t.Fatalf("event %q: %v", line, err)
	}
	e := &ordov1.ConsensusEvent{NowMs: now}
	switch fields[1] {
	case "start":
		e.Event = &ordov1.ConsensusEvent_Start_{Start: &ordov1.ConsensusEvent_Start{
			Height: number("height"), Pending: number("pending"), Config: []byte(args["config"])}}
	case "ready":
		e.Event = &ordov1.ConsensusEvent_Ready_{Ready: &ordov1.ConsensusEvent_Ready{Pending: 1}}
	case "demand":
		e.Event = &ordov1.ConsensusEvent_CreateBlock_{CreateBlock: &ordov1.ConsensusEvent_CreateBlock{}}
	case "timer":
		e.Event = &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: number("id")}}
	case "built":
		e.Event = &ordov1.ConsensusEvent_Built_{Built: &ordov1.ConsensusEvent_Built{
			Attempt: number("attempt"), N: number("n"), Value: []byte(args["value"])}}
	case "decided":
		e.Event = &ordov1.ConsensusEvent_Decided_{Decided: &ordov1.ConsensusEvent_Decided{
			Height: number("height"), Pending: number("pending")}}
	case "failed":
		e.Event = &ordov1.ConsensusEvent_Failed_{Failed: &ordov1.ConsensusEvent_Failed{
			Attempt: number("attempt"), Empty: args["empty"] == "true"}}
	case "message":
		e.Event = &ordov1.ConsensusEvent_Message_{Message: &ordov1.ConsensusEvent_Message{From: []byte("stranger")}}
	case "verdict":
		e.Event = &ordov1.ConsensusEvent_Verdict_{Verdict: &ordov1.ConsensusEvent_Verdict{Attempt: number("attempt")}}
	case "unknown": // of a later minor
	default:
		t.Fatalf("event %q", line)
	}
	return e
}

func show(a *ordov1.Action) string {
	switch a := a.GetAction().(type) {
	case *ordov1.Action_Build_:
		b := a.Build
		text := fmt.Sprintf("build attempt=%d", b.GetAttempt())
		if b.GetDeadlineMs() > 0 {
			text += fmt.Sprintf(" deadline=%d", b.GetDeadlineMs())
		}
		if b.GetIdleMs() > 0 {
			text += fmt.Sprintf(" idle=%d", b.GetIdleMs())
		}
		if b.GetAllowEmpty() {
			text += " allow_empty"
		}
		return text
	case *ordov1.Action_Seal_:
		return fmt.Sprintf("seal attempt=%d", a.Seal.GetAttempt())
	case *ordov1.Action_Decide_:
		return fmt.Sprintf("decide attempt=%d value=%s", a.Decide.GetAttempt(), a.Decide.GetValue())
	case *ordov1.Action_SetTimer_:
		return fmt.Sprintf("set timer=%d after=%d", a.SetTimer.GetId(), a.SetTimer.GetAfterMs())
	}
	return fmt.Sprint(a)
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
