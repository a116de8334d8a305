// Package transcript writes the events of a hosted protocol and its actions as people read them, one a line.
package transcript

import (
	"encoding/hex"
	"fmt"
	"strings"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Words shows events and actions as text.
type Words struct {
	Key     func([]byte) string // of a validator
	Bytes   func([]byte) string // values, records, signatures, certificates
	Message func([]byte) string // messages of the protocol; nil: as bytes
}

// Text shows bytes as they are when they are short and printable, else in hexadecimal.
func Text(b []byte) string {
	for _, c := range b {
		if c <= ' ' || c > '~' || c == ',' || c == '=' {
			return "0x" + hex.EncodeToString(b)
		}
	}
	if strings.HasPrefix(string(b), "0x") {
		return "0x" + hex.EncodeToString(b)
	}
	return string(b)
}

// line collects `name key=value key=value flag`.
type line struct{ strings.Builder }

func begin(name string) *line {
	l := &line{}
	l.WriteString(name)
	return l
}

func (l *line) number(key string, n uint64) *line {
	if n != 0 {
		fmt.Fprintf(l, " %s=%d", key, n)
	}
	return l
}

func (l *line) text(key, value string) *line {
	if value != "" {
		fmt.Fprintf(l, " %s=%s", key, value)
	}
	return l
}

func (l *line) flag(name string, set bool) *line {
	if set {
		l.WriteString(" " + name)
	}
	return l
}

func (w Words) said(data []byte) string {
	if w.Message != nil {
		return w.Message(data)
	}
	return w.Bytes(data)
}

// Event is an event in one line.
func (w Words) Event(e *ordov1.ConsensusEvent) string {
	switch e := e.GetEvent().(type) {
	case *ordov1.ConsensusEvent_Start_:
		l := begin("start").number("height", e.Start.Height).number("pending", e.Start.Pending).text("self", w.Key(e.Start.Self))
		l.number("records", uint64(len(e.Start.Records))).text("state", w.Bytes(e.Start.State))
		return l.text("parent", w.Bytes(e.Start.Parent.GetValue())).String()
	case *ordov1.ConsensusEvent_Ready_:
		return begin("ready").number("pending", e.Ready.Pending).String()
	case *ordov1.ConsensusEvent_CreateBlock_:
		return "demand"
	case *ordov1.ConsensusEvent_Timer_:
		return fmt.Sprintf("timer id=%d", e.Timer.Id)
	case *ordov1.ConsensusEvent_Built_:
		return begin("built").number("attempt", e.Built.Attempt).text("value", w.Bytes(e.Built.Value)).number("n", e.Built.N).String()
	case *ordov1.ConsensusEvent_Verdict_:
		l := begin("verdict").number("attempt", e.Verdict.Attempt).flag("valid", e.Verdict.Valid).flag("missing", e.Verdict.Missing)
		l.text("value", w.Bytes(e.Verdict.Value))
		if e.Verdict.Reason != "" {
			fmt.Fprintf(l, " (%s)", e.Verdict.Reason)
		}
		return l.String()
	case *ordov1.ConsensusEvent_Message_:
		return fmt.Sprintf("message from=%s %s", w.Key(e.Message.From), w.said(e.Message.Data))
	case *ordov1.ConsensusEvent_Decided_:
		return begin("decided").number("height", e.Decided.Height).text("value", w.Bytes(e.Decided.Value)).number("pending", e.Decided.Pending).String()
	case *ordov1.ConsensusEvent_Failed_:
		return begin("failed").number("attempt", e.Failed.Attempt).flag("empty", e.Failed.Empty).String()
	case *ordov1.ConsensusEvent_Signed_:
		return begin("signed").number("id", e.Signed.Id).flag("refused", len(e.Signed.Signature) == 0).String()
	}
	return "unknown"
}

// Action is an action in one line.
func (w Words) Action(a *ordov1.Action) string {
	switch a := a.GetAction().(type) {
	case *ordov1.Action_Build_:
		b := a.Build
		l := begin("build").number("attempt", b.Attempt).number("round", uint64(b.Round)).number("deadline", uint64(b.DeadlineMs))
		l.number("idle", uint64(b.IdleMs)).number("max", uint64(b.MaxTransactions)).number("reuse", b.ReuseAttempt)
		return l.flag("allow_empty", b.AllowEmpty).flag("publish", b.Publish).String()
	case *ordov1.Action_Seal_:
		return fmt.Sprintf("seal attempt=%d", a.Seal.Attempt)
	case *ordov1.Action_Abandon_:
		return fmt.Sprintf("abandon attempt=%d", a.Abandon.Attempt)
	case *ordov1.Action_Validate_:
		v := a.Validate
		l := begin("validate").number("attempt", v.Attempt).number("round", uint64(v.Round)).text("value", w.Bytes(v.Value))
		if len(v.From) > 0 {
			l.text("from", w.Key(v.From))
		}
		return l.text("proposal", w.Bytes(v.Proposal)).String()
	case *ordov1.Action_Decide_:
		return begin("decide").number("attempt", a.Decide.Attempt).text("value", w.Bytes(a.Decide.Value)).text("certificate", w.Bytes(a.Decide.Certificate)).String()
	case *ordov1.Action_SetTimer_:
		return fmt.Sprintf("set timer=%d after=%d", a.SetTimer.Id, a.SetTimer.AfterMs)
	case *ordov1.Action_CancelTimer_:
		return fmt.Sprintf("cancel timer=%d", a.CancelTimer.Id)
	case *ordov1.Action_Send_:
		to := "all"
		if len(a.Send.To) > 0 {
			to = w.Key(a.Send.To)
		}
		return fmt.Sprintf("send to=%s %s", to, w.said(a.Send.Data))
	case *ordov1.Action_Persist_:
		return begin("persist").text("data", w.Bytes(a.Persist.Data)).flag("lasting", a.Persist.Lasting).String()
	case *ordov1.Action_Sign_:
		return begin("sign").number("id", a.Sign.Id).number("kind", uint64(a.Sign.Kind)).number("round", uint64(a.Sign.Round)).text("data", w.Bytes(a.Sign.Data)).String()
	case *ordov1.Action_Report_:
		return begin("report").text("kind", a.Report.Kind).text("about", w.Key(a.Report.About)).text("data", w.Bytes(a.Report.Data)).String()
	case *ordov1.Action_Halt_:
		return fmt.Sprintf("halt %q", a.Halt.Reason)
	}
	return "nothing"
}
