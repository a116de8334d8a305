package bridge_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/block"
	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/bridge"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestTranscripts plays testdata/*: `begin` makes a machine, `play` gives it inputs, one a line, and prints what it asks for. Rewrite
// with `go test ./bridge -rewrite`.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var m *bridge.Machine
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "begin":
				m = bridge.New(bridge.Options{BuildMs: 250, IdleMs: 5, WaitMs: 50})
				return "ok\n"
			case "play":
				var out strings.Builder
				for line := range strings.SplitSeq(d.Input, "\n") {
					fmt.Fprintln(&out, line)
					show(&out, m.Step(input(t, line)))
				}
				return out.String()
			}
			t.Fatalf("no command %q", d.Cmd)
			return ""
		})
	})
}

// line is one input as text: a name and key=value pairs.
type line struct {
	t    *testing.T
	name string
	args map[string]string
}

func (l line) number(key string) uint64 {
	if l.args[key] == "" {
		return 0
	}
	n, err := strconv.ParseUint(l.args[key], 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

func (l line) payload() *block.Payload {
	if l.args["value"] == "" {
		return nil
	}
	return &block.Payload{Height: l.number("height"), Value: []byte(l.args["value"]), Body: []byte("body of " + l.args["value"] + l.args["body"])}
}

func input(t *testing.T, text string) bridge.Input {
	fields := strings.Fields(text)
	l := line{t, fields[0], map[string]string{}}
	for _, f := range fields[1:] {
		key, value, _ := strings.Cut(f, "=")
		l.args[key] = strings.ReplaceAll(value, "_", " ")
	}
	e := &ordov1.ConsensusEvent{NowMs: 1000}
	switch l.name {
	case "start":
		e.Event = &ordov1.ConsensusEvent_Start_{Start: &ordov1.ConsensusEvent_Start{Height: l.number("height"), Pending: l.number("pending"), Self: []byte("me")}}
	case "ready":
		e.Event = &ordov1.ConsensusEvent_Ready_{Ready: &ordov1.ConsensusEvent_Ready{Pending: l.number("pending")}}
	case "create-block":
		e.Event = &ordov1.ConsensusEvent_CreateBlock_{CreateBlock: &ordov1.ConsensusEvent_CreateBlock{}}
	case "timer":
		e.Event = &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: l.number("id")}}
	case "built":
		e.Event = &ordov1.ConsensusEvent_Built_{Built: &ordov1.ConsensusEvent_Built{Attempt: l.number("attempt"), Value: []byte(l.args["value"]), N: l.number("n"),
			Proposal: []byte("body of " + l.args["value"] + strings.Repeat("x", int(l.number("more"))))}}
	case "failed":
		e.Event = &ordov1.ConsensusEvent_Failed_{Failed: &ordov1.ConsensusEvent_Failed{Attempt: l.number("attempt"), Empty: l.args["empty"] == "true", Reason: l.args["reason"]}}
	case "verdict":
		e.Event = &ordov1.ConsensusEvent_Verdict_{Verdict: &ordov1.ConsensusEvent_Verdict{Attempt: l.number("attempt"), Valid: l.args["valid"] == "true", Reason: l.args["reason"]}}
	case "decided":
		e.Event = &ordov1.ConsensusEvent_Decided_{Decided: &ordov1.ConsensusEvent_Decided{Height: l.number("height"), Pending: l.number("pending")}}
	case "later-minor":
	case "prepare":
		return bridge.Prepare{Call: l.number("call"), Round: uint32(l.number("round")), MaxBytes: int(l.number("max")), Wanted: l.args["wanted"] == "true"}
	case "process":
		return bridge.Process{Call: l.number("call"), Round: uint32(l.number("round")), Payload: l.payload(), From: []byte(l.args["from"])}
	case "finalize":
		in := bridge.Finalize{Call: l.number("call"), Payload: l.payload(), From: []byte(l.args["from"]), Certificate: []byte("certificate")}
		if kind := l.args["report"]; kind != "" {
			in.Reports = []*ordov1.Action_Report{{Kind: kind, About: []byte("twin")}}
		}
		return in
	case "committed":
		return bridge.Committed{}
	case "woken":
		return bridge.Woken{}
	case "expired":
		return bridge.Expired{Call: l.number("call")}
	default:
		t.Fatalf("no input %q", l.name)
	}
	return bridge.Event{ConsensusEvent: e}
}

func show(out *strings.Builder, o bridge.Output) {
	for _, a := range o.Actions {
		fmt.Fprint(out, "  -> ")
		switch a := a.Action.(type) {
		case *ordov1.Action_Build_:
			b := a.Build
			fmt.Fprintf(out, "build attempt=%d round=%d deadline=%d idle=%d empty=%v", b.Attempt, b.Round, b.DeadlineMs, b.IdleMs, b.AllowEmpty)
			if b.ReuseAttempt > 0 {
				fmt.Fprintf(out, " reuse=%d max=%d", b.ReuseAttempt, b.MaxTransactions)
			}
		case *ordov1.Action_Seal_:
			fmt.Fprintf(out, "seal attempt=%d", a.Seal.Attempt)
		case *ordov1.Action_Validate_:
			fmt.Fprintf(out, "validate attempt=%d round=%d value=%s from=%s body=%q", a.Validate.Attempt, a.Validate.Round, a.Validate.Value, a.Validate.From, a.Validate.Proposal)
			if a.Validate.Decided {
				fmt.Fprint(out, " decided")
			}
		case *ordov1.Action_Decide_:
			fmt.Fprintf(out, "decide attempt=%d value=%s %s", a.Decide.Attempt, a.Decide.Value, a.Decide.Certificate)
		case *ordov1.Action_SetTimer_:
			fmt.Fprintf(out, "timer id=%d after=%d", a.SetTimer.Id, a.SetTimer.AfterMs)
		case *ordov1.Action_Report_:
			fmt.Fprintf(out, "report %s about=%s", a.Report.Kind, a.Report.About)
		case *ordov1.Action_Halt_:
			fmt.Fprintf(out, "halt: %s", a.Halt.Reason)
		default:
			fmt.Fprintf(out, "%v", a)
		}
		fmt.Fprintln(out)
	}
	if a := o.Answer; a != nil {
		switch {
		case a.Payload != nil:
			fmt.Fprintf(out, "  -> answer call=%d value=%s\n", a.Call, a.Payload.Value)
		default:
			fmt.Fprintf(out, "  -> answer call=%d accept=%v\n", a.Call, a.Accept)
		}
	}
	if o.Ring != bridge.NoBell {
		fmt.Fprintln(out, []string{"", "  -> ring", "  -> ring for a block"}[o.Ring])
	}
	for _, text := range o.Log {
		fmt.Fprintf(out, "  log: %s\n", text)
	}
}
