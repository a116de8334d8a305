package main

import (
	"bytes"
	"encoding/binary"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/vote"
)

// Kinds of votes. A proposal says the round in which the block had 2/3 of the prevotes (4 bytes; all ones: in none), and its id; the others say
// the id, or nothing. The id is the value of the block, 32 bytes, and which validator built it, 2 bytes: the core asks that in Validate.
const (
	proposal uint32 = iota + 1
	prevote
	precommit
)

const (
	none     = ^uint32(0) // round: none
	idLength = 34
)

// step is where a round stands.
type step int

const (
	proposing step = iota
	prevoting
	precommitting
)

// verdict is what is known of a block: nothing, or what Validate or Build of an attempt said.
type verdict struct {
	attempt       uint64
	done, valid   bool
	missingAtTick bool // no peer has the body: ask again with the next tick
}

// tendermint is the state machine of one node. The names of the state are those of the paper; L22 and so on are lines of its algorithm 1.
type tendermint struct {
	config config
	set    *vote.Set
	self   int // place in the set; -1: this node only watches
	turn   turn

	height                   uint64
	round                    uint32
	step                     step
	lockedRound, validRound  uint32
	lockedValue, validValue  string
	decided                  bool
	book, next               *vote.Book      // votes of this height, and of the next one, which others may have reached
	before                   []*vote.Vote    // what decided the height before
	helped                   map[string]bool // peers that got it since the last tick
	blocks                   map[string]*verdict
	attempts                 map[uint64]string // of Validate: which block it is about
	attempt, building, doing uint64            // newest attempt; the open Build; the open Validate
	waited                   [4]uint32         // by kind: the round in which its timeout was set, plus 1
	timers                   [3]uint32         // by step: the round whose timeout runs, plus 1; 0: of none
	signing                  map[uint64]*vote.Vote
	signs                    uint64 // newest id of Sign
	demanded                 bool
	out                      []*ordov1.Action
}

// Timers: one for each step, which the next one of the step replaces, and the tick, which sends again.
const (
	stepTimer = 1
	tick      = 9
)

func newTendermint(turn turn) *tendermint { return &tendermint{turn: turn, helped: map[string]bool{}} }

// Step implements sdk.Protocol.
func (t *tendermint) Step(event *ordov1.ConsensusEvent) []*ordov1.Action {
	t.out = nil
	switch e := event.GetEvent().(type) {
	case *ordov1.ConsensusEvent_Start_:
		t.start(e.Start)
	case *ordov1.ConsensusEvent_CreateBlock_:
		t.demanded = true
		t.seal()
	case *ordov1.ConsensusEvent_Timer_:
		t.expired(e.Timer.GetId())
	case *ordov1.ConsensusEvent_Built_:
		t.built(e.Built)
	case *ordov1.ConsensusEvent_Failed_:
		if e.Failed.GetAttempt() == t.building {
			t.building = 0 // the tick builds again
		}
	case *ordov1.ConsensusEvent_Verdict_:
		t.judged(e.Verdict)
	case *ordov1.ConsensusEvent_Message_:
		t.heard(e.Message)
	case *ordov1.ConsensusEvent_Signed_:
		t.signed(e.Signed)
	case *ordov1.ConsensusEvent_Decided_:
		t.before = t.commits(string(e.Decided.GetValue()))
		t.begin(e.Decided.GetHeight()+1, t.next)
		t.startRound(0)
	}
	for !t.decided && t.rule() {
	}
	return t.out
}

func (t *tendermint) start(e *ordov1.ConsensusEvent_Start) {
	t.config = parse(e.GetConfig())
	t.set, t.self = &vote.Set{Chain: e.GetChainId(), Scheme: e.GetScheme(), Validators: e.GetValidators()}, -1
	for i, v := range e.GetValidators() {
		if bytes.Equal(v.GetKey(), e.GetSelf()) {
			t.self = i
		}
	}
	t.begin(e.GetHeight(), vote.NewBook(t.set))
	t.out = append(t.out, sdk.Action(&ordov1.Action_SetTimer{Id: tick, AfterMs: t.config.ResendMs}))
	spoken := proposing
	for _, record := range e.GetRecords() { // what was said before a restart is said again, and nothing else
		v := t.restore(record)
		if v.Round > t.round {
			t.round, spoken = v.Round, proposing
		}
		spoken = max(spoken, after(v.Kind))
		t.sign(v)
	}
	if len(t.signing) == 0 {
		t.startRound(0)
		return
	}
	t.step = spoken
	t.await(proposing, t.config.BlockMs) // later steps wait when there are votes
}

// begin begins a height with the votes that came early.
func (t *tendermint) begin(height uint64, early *vote.Book) {
	t.height, t.decided, t.book, t.next = height, false, early, vote.NewBook(t.set)
	t.lockedRound, t.validRound, t.lockedValue, t.validValue = none, none, "", ""
	t.attempt, t.building, t.doing = 0, 0, 0
	t.blocks, t.attempts = map[string]*verdict{}, map[uint64]string{}
	t.waited, t.timers, t.signing = [4]uint32{}, [3]uint32{}, map[uint64]*vote.Vote{}
	t.round, t.step = 0, proposing
}

// turn says which validator proposes. It must depend on what all nodes agree on, and on nothing that one of them has seen.
type turn func(set []*ordov1.Validator, height uint64, round uint32) int

// inTurn lets them propose one after the other.
func inTurn(set []*ordov1.Validator, height uint64, round uint32) int {
	return int((height + uint64(round)) % uint64(len(set)))
}

// alone says whether this is a chain of one sequencer.
func (t *tendermint) alone() bool { return len(t.set.Validators) == 0 }

func (t *tendermint) proposer(round uint32) int { return t.turn(t.set.Validators, t.height, round) }

// startRound is L11.
func (t *tendermint) startRound(round uint32) {
	t.round, t.step = round, proposing
	for _, block := range t.blocks {
		block.done = block.valid // what was invalid may be valid later: the time of a block is compared with this node's clock
	}
	if t.alone() {
		t.build()
		return
	}
	t.await(proposing, t.config.BlockMs)
	t.propose()
}

func (t *tendermint) propose() {
	switch {
	case t.proposer(t.round) != t.self:
	case t.validValue != "":
		t.say(proposal, round(t.validRound)+t.validValue)
	default:
		t.build()
	}
}

func (t *tendermint) build() {
	t.attempt++
	t.building, t.doing = t.attempt, 0
	t.out = append(t.out, sdk.Action(&ordov1.Action_Build{Attempt: t.attempt, Round: t.round, DeadlineMs: t.config.BlockMs, IdleMs: 5,
		AllowEmpty: true, Publish: true}))
	if t.demanded {
		t.seal()
	}
}

func (t *tendermint) seal() {
	if t.building != 0 {
		t.out = append(t.out, sdk.Action(&ordov1.Action_Seal{Attempt: t.building}))
		t.demanded = false
	}
}

func (t *tendermint) built(e *ordov1.ConsensusEvent_Built) {
	if e.GetAttempt() != t.building {
		return
	}
	t.building = 0
	if t.alone() {
		t.out = append(t.out, sdk.Action(&ordov1.Action_Decide{Attempt: e.GetAttempt(), Value: e.GetValue()}))
		return
	}
	id := string(binary.BigEndian.AppendUint16(bytes.Clone(e.GetValue()), uint16(t.self)))
	t.blocks[id] = &verdict{attempt: e.GetAttempt(), done: true, valid: true}
	if t.step == proposing && t.proposer(t.round) == t.self {
		t.say(proposal, round(none)+id)
	}
}

// rule carries out one rule of the algorithm, if one applies.
func (t *tendermint) rule() bool {
	if t.alone() {
		return false
	}
	if proposals := t.book.Of(proposal, t.round, t.proposer(t.round)); len(proposals) > 0 && t.step == proposing {
		validRound, id := binary.BigEndian.Uint32([]byte(proposals[0].Text)), proposals[0].Text[4:]
		fits := t.lockedRound == none || t.lockedValue == id || validRound != none && t.lockedRound <= validRound
		if validRound == none || validRound < t.round && t.book.Quorum(prevote, validRound, &id) { // L22, L28
			if block := t.check(id); block.done {
				return t.vote(prevote, id, block.valid && fits)
			}
		}
	}
	if t.step == prevoting && t.book.Quorum(prevote, t.round, nil) && t.once(prevote) { // L34
		t.await(prevoting, 0)
	}
	id, ok := t.book.Majority(prevote, t.round)
	if id != "" && t.step >= prevoting && t.validRound != t.round && t.check(id).valid { // L36
		if t.validRound, t.validValue = t.round, id; t.step == prevoting {
			t.lockedRound, t.lockedValue = t.round, id
			t.vote(precommit, id, true)
		}
		return true
	}
	if ok && id == "" && t.step == prevoting { // L44
		return t.vote(precommit, "", true)
	}
	if t.book.Quorum(precommit, t.round, nil) && t.once(precommit) { // L47
		t.await(precommitting, 0)
	}
	for round := uint32(0); round <= t.book.Top(); round++ { // L49
		if id, _ := t.book.Majority(precommit, round); id != "" && t.check(id).valid {
			t.decide(t.blocks[id].attempt, id)
			return false
		}
	}
	if round := t.book.Ahead(); round > t.round { // L55
		t.startRound(round)
		return true
	}
	return false
}

// check says what is known of a block, and has the core validate it when that is nothing.
func (t *tendermint) check(id string) *verdict {
	block := t.blocks[id]
	if block == nil {
		block = &verdict{}
		t.blocks[id] = block
	}
	builder := binary.BigEndian.Uint16([]byte(id[32:]))
	switch {
	case block.done || block.missingAtTick || t.doing != 0 || t.building != 0: // one at a time
	case int(builder) >= len(t.set.Validators):
		block.done = true
	default:
		t.attempt++
		t.doing, t.attempts[t.attempt] = t.attempt, id
		t.out = append(t.out, sdk.Action(&ordov1.Action_Validate{Attempt: t.attempt, Round: t.round, Value: []byte(id[:32]), From: t.set.Validators[builder].GetKey()}))
	}
	return block
}

func (t *tendermint) judged(e *ordov1.ConsensusEvent_Verdict) {
	if e.GetAttempt() == t.doing {
		t.doing = 0
	}
	if block := t.blocks[t.attempts[e.GetAttempt()]]; block != nil && !block.valid {
		*block = verdict{attempt: e.GetAttempt(), done: !e.GetMissing(), valid: e.GetValid(), missingAtTick: e.GetMissing()}
	}
}

func (t *tendermint) decide(attempt uint64, id string) {
	t.decided = true
	t.out = append(t.out, sdk.Action(&ordov1.Action_Decide{Attempt: attempt, Value: []byte(id[:32]), Certificate: vote.Append(nil, t.commits(id[:32]))}))
}

// after is the step that follows a vote.
func after(kind uint32) step { return step(kind - proposal) }

// vote goes to the step of the vote, and says it: for the block, or for none.
func (t *tendermint) vote(kind uint32, id string, good bool) bool {
	t.step = after(kind)
	if !good {
		id = ""
	}
	t.say(kind, id)
	return true
}

// expired handles a timer: L57, L61, L65, and the tick.
func (t *tendermint) expired(id uint64) {
	if id == tick {
		t.resend()
		return
	}
	late := step(id - stepTimer)
	if id < stepTimer || late > precommitting || t.decided || t.timers[late] != t.round+1 {
		return // of a round or a height that is over
	}
	t.timers[late] = 0
	switch {
	case late == proposing && t.step == proposing:
		t.vote(prevote, "", true)
	case late == prevoting && t.step == prevoting:
		t.vote(precommit, "", true)
	case late == precommitting:
		t.startRound(t.round + 1)
	}
}
