package pipeline

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func (e *env) carryOut(out []Command) {
	for _, c := range out {
		stage := ""
		line := ""
		switch c := c.(type) {
		case Tell:
			stage, line = "consensus", "tell "+event(c.Event)
			e.unheard++
			if b := c.Event.GetBuilt(); b != nil {
				e.last = b
			}
			if v := c.Event.GetVerdict(); v.GetValid() {
				e.valid = v.Value
			}
		case Open:
			e.builds[c.Build] = &build{context: c.Context}
			line = fmt.Sprintf("open build=%d number=%d time=%d old=%s", c.Build, c.Context.Number, c.Context.Timestamp, c.Context.OldBlockHash)
			if c.Validate {
				line += " validate"
			}
			if c.Resumes > 0 {
				line += fmt.Sprintf(" resumes=%d", c.Resumes)
			}
			if c.Hidden {
				line += " hidden"
			}
			if len(c.Order) > 0 {
				line += " order: " + names(c.Order)
			}
			if c.Degraded {
				line += " (degraded)"
			}
		case Add:
			stage = "execution"
			e.builds[c.Build].items = append(e.builds[c.Build].items, c.Items...)
			line = fmt.Sprintf("add build=%d: %s", c.Build, names(c.Items))
			if c.Again > 0 {
				line = fmt.Sprintf("add build=%d: %s (%d of them again)", c.Build, names(c.Items), c.Again)
			}
			if c.Degraded {
				line += " (degraded)"
			}
		case Close:
			stage = "execution"
			e.builds[c.Build].n = c.N
			line = fmt.Sprintf("close build=%d n=%d", c.Build, c.N)
		case Abort:
			line = fmt.Sprintf("abort build=%d", c.Build)
		case Preconfirm:
			line = fmt.Sprintf("preconfirm build=%d first=%d: %s", c.Build, c.First, names(c.Items))
		case Check:
			stage, line = "execution", fmt.Sprintf("check build=%d", c.Build)
		case HashHeader:
			stage = "execution"
			e.builds[c.Build].seal = c
			line = fmt.Sprintf("hash header build=%d round=%d: %s", c.Build, c.Draft.Round, names(c.Items))
			if c.Draft.Degraded {
				line += " (degraded)"
			}
		case Apply:
			stage, line = "apply", fmt.Sprintf("apply height=%d build=%d", c.Height, c.Build)
		case Commit:
			stage, line = "commit", fmt.Sprintf("commit height=%d: %s", c.Height, c.Header.PartialHash)
			if !c.Own {
				line += " (of another node)"
			}
			if c.Again {
				line += " (again)"
			}
			if c.Order != nil {
				line += fmt.Sprintf(" order=%s", words(c.Order.Value))
				for _, left := range c.Order.LeftOut {
					line += fmt.Sprintf(" left-out=%d:%s", left.Place, name(left.Tx.Hash))
				}
				if n := len(c.Order.Rest) / 32; n > 0 {
					line += fmt.Sprintf(" rest=%d", n)
				}
			}
			if len(c.Items) != len(c.Results) {
				e.t.Fatalf("commit of %d transactions with %d results", len(c.Items), len(c.Results))
			}
		case RecordDecision:
			stage, line = "record", fmt.Sprintf("record decision height=%d value=%s: %s", c.Height, words(c.Value), names(c.Items))
			if c.FromPeer {
				line += " (of another node)"
			}
		case Adopt:
			stage, line = "apply", fmt.Sprintf("adopt height=%d", c.Height)
		case FollowRoots:
			line = fmt.Sprintf("follow roots from=%d", c.From)
		case Stored:
			line = fmt.Sprintf("stored height=%d: %s", c.Height, names(c.Items))
		case ResetPreconfirmed:
			line = fmt.Sprintf("reset preconfirmed build=%d: %s", c.Build, names(c.Items))
		case DropCandidates:
			line = fmt.Sprintf("drop candidates build=%d: %s", c.Build, names(c.Items))
		case SuspectStage:
			line = fmt.Sprintf("suspect %v: %s", c.Stage, c.Why)
		case CulpritFound:
			line = fmt.Sprintf("culprit found %v", c.Stage)
		case ReportDropped:
			for _, d := range c.Dropped {
				line += fmt.Sprintf("leave %s: %v; ", name(d.Hash[:]), d.Why)
			}
		case Accept:
			line = fmt.Sprintf("accept height=%d hash=%s", c.Root.Height, c.Root.BlockHash)
		case SetTimer:
			line = fmt.Sprintf("timer %s/%d after %d ms", c.ID.Kind, c.ID.ID, c.AfterMs)
		case CancelTimer:
			line = fmt.Sprintf("cancel timer %s/%d", c.ID.Kind, c.ID.ID)
		case Send:
			line = fmt.Sprintf("send to=%s %s", c.To, c.Data)
		case Persist:
			line = "persist " + persisted(c)
		case Publish:
			line = fmt.Sprintf("publish height=%d value=%s", c.Height, words(c.Value))
		case Keep:
			line = fmt.Sprintf("keep height=%d value=%s", c.Height, words(c.Value))
		case Fetch:
			line = fmt.Sprintf("fetch build=%d value=%s from=%s", c.Build, words(c.Value), c.From)
		case Unlearned:
			line = fmt.Sprintf("unlearned height=%d: %s", c.Height, c.Why)
		case Report:
			line = fmt.Sprintf("report %s about=%s %s", c.Kind, c.About, c.Data)
		case RefuseSignature:
			line = fmt.Sprintf("refuse signature height=%d kind=%d round=%d", c.Height, c.Kind, c.Round)
		}
		if e.auto[stage] {
			e.work = append(e.work, c)
		}
		if !e.auto["quiet"] || bytes.Contains([]byte("commit accept leave FAULT"), []byte(strings.Fields(line)[0])) {
			fmt.Fprintln(&e.out, strings.TrimSpace(line))
		}
	}
}

func event(e *ordov1.ConsensusEvent) string {
	switch v := e.Event.(type) {
	case *ordov1.ConsensusEvent_Start_:
		s := fmt.Sprintf("start height=%d pending=%d", v.Start.Height, v.Start.Pending)
		for _, record := range v.Start.Records {
			s += fmt.Sprintf(" record=%s", record)
		}
		if v.Start.State != nil {
			s += fmt.Sprintf(" state=%s", v.Start.State)
		}
		if p := v.Start.Parent; p != nil && len(p.Certificate) > 0 {
			s += fmt.Sprintf(" parent=%s certificate=%s", words(p.Value), p.Certificate)
		}
		for _, validator := range v.Start.Validators {
			s += fmt.Sprintf(" validator=%s", validator.Key)
		}
		if v.Start.Self != nil {
			s += fmt.Sprintf(" self=%s", v.Start.Self)
		}
		return s
	case *ordov1.ConsensusEvent_Ready_:
		return fmt.Sprintf("ready pending=%d", v.Ready.Pending)
	case *ordov1.ConsensusEvent_CreateBlock_:
		return "demand"
	case *ordov1.ConsensusEvent_Timer_:
		return fmt.Sprintf("timer id=%d", v.Timer.Id)
	case *ordov1.ConsensusEvent_Built_:
		s := fmt.Sprintf("built attempt=%d n=%d value=%s", v.Built.Attempt, v.Built.N, words(v.Built.Value))
		if v.Built.Proposal != nil {
			p := &ordov1.Proposal{}
			if err := proto.Unmarshal(v.Built.Proposal, p); err != nil {
				return err.Error()
			}
			s += fmt.Sprintf(" proposal of %d", len(p.Transactions))
		}
		return s
	case *ordov1.ConsensusEvent_Verdict_:
		if v.Verdict.Missing {
			return fmt.Sprintf("verdict attempt=%d missing: %s", v.Verdict.Attempt, v.Verdict.Reason)
		}
		return fmt.Sprintf("verdict attempt=%d valid=%v value=%s %s", v.Verdict.Attempt, v.Verdict.Valid, words(v.Verdict.Value), v.Verdict.Reason)
	case *ordov1.ConsensusEvent_Decided_:
		return fmt.Sprintf("decided height=%d pending=%d", v.Decided.Height, v.Decided.Pending)
	case *ordov1.ConsensusEvent_Failed_:
		return fmt.Sprintf("failed attempt=%d empty=%v: %s", v.Failed.Attempt, v.Failed.Empty, v.Failed.Reason)
	}
	if s := e.GetSigned(); s != nil {
		return fmt.Sprintf("signed id=%d signature=%q", s.Id, s.Signature)
	}
	return fmt.Sprintf("%T", e.Event)
}

// persisted is what a Persist holds, in words.
func persisted(c Persist) (s string) {
	if c.Lasting {
		return fmt.Sprintf("lasting %s", c.Data)
	}
	log := readRecords(c.Data)
	var all []string
	for _, k := range log.bodies {
		all = append(all, fmt.Sprintf("body value=%s", words(k.value)))
	}
	for _, r := range log.records {
		all = append(all, string(r))
	}
	for _, g := range log.guards {
		all = append(all, fmt.Sprintf("guard height=%d kind=%d round=%d: %s", c.Height, g.Kind, g.Round, g.Data))
	}
	return strings.Join(all, ", ")
}

// words writes a value: that of a block is text, that of an order a hash, which is cut.
func words(value []byte) string {
	if utf8.Valid(value) && !bytes.ContainsFunc(value, unicode.IsControl) {
		return string(value)
	}
	return fmt.Sprintf("%x..", value[:4])
}
