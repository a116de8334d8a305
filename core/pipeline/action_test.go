package pipeline

import (
	"fmt"
	"math/big"
	"strings"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// consensus answers all open events: the last with the actions in the input, the others with none; or the oldest only. When none is
// open, a timer of its own makes one.
func (e *env) consensus(input string, oldest bool) {
	if e.unheard == 0 {
		e.step(TimerFired{TimerID{ConsensusTimer, 0}})
	}
	for ; e.unheard > 1 && !oldest; e.unheard-- {
		e.seq++
		e.step(Answered{&ordov1.Actions{Seq: e.seq}})
	}
	actions := &ordov1.Actions{}
	for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
		if strings.HasPrefix(line, "seq ") {
			fmt.Sscanf(line, "seq %d", &actions.Seq)
			continue
		}
		if line != "" {
			actions.Actions = append(actions.Actions, e.action(line))
		}
	}
	if actions.Seq == 0 {
		e.seq++
		e.unheard--
		actions.Seq = e.seq
	}
	e.step(Answered{actions})
}

func (e *env) action(line string) *ordov1.Action {
	fields := strings.Fields(line)
	args := map[string]uint64{}
	texts := map[string]string{}
	for _, f := range fields[1:] {
		k, v, valued := strings.Cut(f, "=")
		if !valued {
			args[k] = 1
			continue
		}
		texts[k] = v
		n, _ := new(big.Int).SetString(v, 10)
		if n != nil {
			args[k] = n.Uint64()
		}
	}
	value := []byte(strings.ReplaceAll(texts["value"], "_", " "))
	switch fields[0] {
	case "build":
		return &ordov1.Action{Action: &ordov1.Action_Build_{Build: &ordov1.Action_Build{Attempt: args["attempt"], Round: uint32(args["round"]),
			DeadlineMs: uint32(args["deadline"]), IdleMs: uint32(args["idle"]), MaxTransactions: uint32(args["max"]), AllowEmpty: args["empty"] > 0, ReuseAttempt: args["reuse"], Publish: args["publish"] > 0}}}
	case "seal":
		return &ordov1.Action{Action: &ordov1.Action_Seal_{Seal: &ordov1.Action_Seal{Attempt: args["attempt"]}}}
	case "abandon":
		return &ordov1.Action{Action: &ordov1.Action_Abandon_{Abandon: &ordov1.Action_Abandon{Attempt: args["attempt"]}}}
	case "decide":
		if args["valid"] > 0 {
			value = e.valid
		}
		if len(value) == 0 && e.last != nil {
			value = e.last.Value
		}
		return &ordov1.Action{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{Attempt: args["attempt"], Value: value}}}
	case "validate", "body":
		// txs=a/0,b/0 are the transactions, n how many count; a/0! comes without its signature, message/1 is from L1; mutate=price and so on
		p := &ordov1.Proposal{Context: template(e.now), N: args["n"]}
		p.Context.Number = e.m.Height()
		if args["number"] > 0 {
			p.Context.Number = args["number"]
		}
		if args["time"] > 0 {
			p.Context.Timestamp = args["time"]
		}
		var items []Item
		for _, tx := range strings.Split(texts["txs"], ",") {
			if tx != "" {
				tx, bare := strings.CutSuffix(tx, "!")
				t := transaction(e.t, tx, "")
				if bare {
					t.Signature = nil
				}
				items = append(items, Item{Tx: t})
				p.Transactions = append(p.Transactions, t)
			}
		}
		switch texts["mutate"] {
		case "sequencer":
			p.Context.Sequencer = key("me")
		case "price":
			p.Context.L2Gas = &ordov1.GasPrice{Fri: []byte{9}}
		case "l1-price": // this node's is 100
			p.Context.L1Gas = &ordov1.GasPrice{Wei: []byte{byte(args["wei"])}}
		case "da":
			p.Context.BlobDa = !p.Context.BlobDa
		case "version":
			p.Context.StarknetVersion = "0.13.1"
		case "unknown":
			p.Context.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 1})
		}
		if e.lazy {
			p.ParentResult = e.m.parentResult()
			if texts["parent"] != "" {
				p.ParentResult = []byte(texts["parent"])
			}
			if texts["n"] == "" {
				p.N = uint64(len(items))
			}
			if len(value) == 0 {
				value = orderValue("C", p.Context, p.ParentResult, items, nil)
			}
		}
		b, err := proto.Marshal(p)
		if err != nil {
			e.t.Fatal(err)
		}
		if args["garbage"] > 0 {
			b = []byte("\xff\xff")
		}
		return &ordov1.Action{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{Attempt: args["attempt"], Proposal: b, Value: value, From: []byte(texts["from"]), Decided: args["decided"] > 0}}}
	case "timer":
		return &ordov1.Action{Action: &ordov1.Action_SetTimer_{SetTimer: &ordov1.Action_SetTimer{Id: args["id"], AfterMs: uint32(args["after"])}}}
	case "cancel":
		return &ordov1.Action{Action: &ordov1.Action_CancelTimer_{CancelTimer: &ordov1.Action_CancelTimer{Id: args["id"]}}}
	case "persist":
		return &ordov1.Action{Action: &ordov1.Action_Persist_{Persist: &ordov1.Action_Persist{Data: []byte(texts["data"]), Lasting: args["lasting"] > 0}}}
	case "sign":
		return &ordov1.Action{Action: &ordov1.Action_Sign_{Sign: &ordov1.Action_Sign{Id: args["id"], Kind: uint32(args["kind"]), Round: uint32(args["round"]), Data: []byte(texts["data"])}}}
	case "report":
		return &ordov1.Action{Action: &ordov1.Action_Report_{Report: &ordov1.Action_Report{Kind: texts["kind"], About: []byte(texts["about"]), Data: []byte(texts["data"])}}}
	case "halt":
		return &ordov1.Action{Action: &ordov1.Action_Halt_{Halt: &ordov1.Action_Halt{Reason: texts["reason"]}}}
	case "by-value":
		return &ordov1.Action{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{Attempt: args["attempt"], Value: value, From: []byte(texts["from"])}}}
	case "send":
		return &ordov1.Action{Action: &ordov1.Action_Send_{Send: &ordov1.Action_Send{To: []byte(texts["to"]), Data: []byte(texts["data"])}}}
	}
	e.t.Fatalf("unknown action %q", line)
	return nil
}
