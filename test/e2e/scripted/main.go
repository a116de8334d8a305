// Command scripted is a consensus plugin for tests that decides every height by a detour.
// So a chain with one sequencer goes through all that a chain with many would ask of the core.
//
//	height 1 mod 4  a round is lost: what was built is abandoned, and built anew from the pool
//	height 2 mod 4  the attempt is proposed again in a later round
//	height 3 mod 4  a peer's proposal is decided, after a forged one was rejected
//	height 0 mod 4  the proposal of a peer ends below what it lists: Close(n) below what ran
package main

import (
	"bytes"
	"log"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func main() {
	d := sdk.Description{Name: "scripted", Version: "0.1.0", Capabilities: []string{sdk.CapNetwork}}
	sdk.Serve(sdk.ServeProtocol(d, nil, func() sdk.Protocol { return new(script) }))
}

type script struct {
	height  uint64
	attempt uint64
	step    int
	first   *ordov1.ConsensusEvent_Built // of this height
	second  *ordov1.ConsensusEvent_Built
}

// Step implements sdk.Protocol.
func (s *script) Step(event *ordov1.ConsensusEvent) []*ordov1.Action {
	switch e := event.GetEvent().(type) {
	case *ordov1.ConsensusEvent_Start_:
		s.begin(e.Start.GetHeight())
		return s.ifAny(e.Start.GetPending())
	case *ordov1.ConsensusEvent_Ready_:
		if s.step == 0 {
			return s.ifAny(e.Ready.GetPending())
		}
	case *ordov1.ConsensusEvent_Failed_:
		if !e.Failed.GetEmpty() {
			log.Printf("script: height %d: UNEXPECTED failure: %s", s.height, e.Failed.GetReason())
		}
		s.begin(s.height) // waits for the next Ready
	case *ordov1.ConsensusEvent_Built_:
		return s.built(e.Built)
	case *ordov1.ConsensusEvent_Verdict_:
		return s.verdict(e.Verdict)
	case *ordov1.ConsensusEvent_Decided_:
		s.begin(e.Decided.GetHeight() + 1)
		return s.ifAny(e.Decided.GetPending())
	}
	return nil
}

// begin keeps the numbers of attempts rising within a height that is begun twice.
func (s *script) begin(height uint64) {
	*s = script{height: height, attempt: s.attempt}
}

func (s *script) ifAny(pending uint64) []*ordov1.Action {
	if pending == 0 {
		return nil
	}
	s.step = 1
	return s.build(&ordov1.Action_Build{IdleMs: 30, DeadlineMs: 1000})
}

func (s *script) build(b *ordov1.Action_Build) []*ordov1.Action {
	s.attempt++
	b.Attempt, b.Round = s.attempt, uint32(s.step-1)
	return []*ordov1.Action{{Action: &ordov1.Action_Build_{Build: b}}}
}

func (s *script) abandon(attempt uint64, then []*ordov1.Action) []*ordov1.Action {
	return append([]*ordov1.Action{{Action: &ordov1.Action_Abandon_{Abandon: &ordov1.Action_Abandon{Attempt: attempt}}}}, then...)
}

func (s *script) decide(value []byte) []*ordov1.Action {
	return []*ordov1.Action{{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{Attempt: s.attempt, Value: value}}}}
}

func (s *script) validate(p *ordov1.Proposal, value []byte) []*ordov1.Action {
	raw, err := proto.Marshal(p)
	if err != nil {
		log.Printf("script: UNEXPECTED: %v", err)
	}
	s.attempt++
	return []*ordov1.Action{{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{
		Attempt: s.attempt, Round: uint32(s.step), Proposal: raw, Value: value,
	}}}}
}

func (s *script) built(e *ordov1.ConsensusEvent_Built) []*ordov1.Action {
	s.step++
	if s.step > 2 {
		return s.builtAgain(e)
	}
	s.first = e
	switch s.height % 4 {
	case 1:
		return s.abandon(e.GetAttempt(), s.build(&ordov1.Action_Build{IdleMs: 30, DeadlineMs: 1000}))
	case 2:
		return s.build(&ordov1.Action_Build{ReuseAttempt: e.GetAttempt()})
	case 3:
		forged := bytes.Clone(e.GetValue())
		forged[len(forged)-1] ^= 1
		return s.abandon(e.GetAttempt(), s.validate(proposal(e), forged))
	}
	if e.GetN() < 2 {
		return s.decide(e.GetValue())
	}
	return s.build(&ordov1.Action_Build{ReuseAttempt: e.GetAttempt(), MaxTransactions: uint32(e.GetN() - 1)})
}

func (s *script) builtAgain(e *ordov1.ConsensusEvent_Built) []*ordov1.Action {
	s.second = e
	switch s.height % 4 {
	case 1:
		log.Printf("script: height %d: lost a round and built %d transactions again", s.height, e.GetN())
	case 2:
		if e.GetN() != s.first.GetN() {
			log.Printf("script: height %d: UNEXPECTED: proposed %d transactions, then %d", s.height, s.first.GetN(), e.GetN())
		}
		log.Printf("script: height %d: proposed %d transactions again", s.height, e.GetN())
	case 0:
		// All transactions of the first, in the context and with the end of the second.
		p := proposal(s.first)
		p.Context, p.N = proposal(e).GetContext(), e.GetN()
		return s.abandon(e.GetAttempt(), s.validate(p, e.GetValue()))
	}
	return s.decide(e.GetValue())
}

func (s *script) verdict(e *ordov1.ConsensusEvent_Verdict) []*ordov1.Action {
	s.step++
	switch {
	case s.height%4 == 3 && s.step == 3:
		if e.GetValid() {
			log.Printf("script: height %d: UNEXPECTED: a forged proposal is valid", s.height)
		}
		log.Printf("script: height %d: a forged proposal was rejected: %s", s.height, e.GetReason())
		return s.validate(proposal(s.first), s.first.GetValue())
	case !e.GetValid():
		log.Printf("script: height %d: UNEXPECTED: an honest proposal was rejected: %s", s.height, e.GetReason())
		s.begin(s.height)
		return nil
	case s.height%4 == 3:
		log.Printf("script: height %d: decided a peer's proposal of %d transactions", s.height, s.first.GetN())
	default:
		log.Printf("script: height %d: closed a peer's proposal at %d of %d", s.height, s.second.GetN(), s.first.GetN())
	}
	return s.decide(e.GetValue())
}

func proposal(e *ordov1.ConsensusEvent_Built) *ordov1.Proposal {
	p := new(ordov1.Proposal)
	if err := proto.Unmarshal(e.GetProposal(), p); err != nil || len(p.GetTransactions()) == 0 {
		log.Printf("script: UNEXPECTED: proposal of %d bytes: %v", len(e.GetProposal()), err)
	}
	return p
}
