package main

import (
	"encoding/binary"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/vote"
)

func round(r uint32) string { return string(binary.BigEndian.AppendUint32(nil, r)) }

// say signs and sends a vote of this node. Before that it is made durable, a lock with the prevotes that prove it: after a restart the same is
// said again, and others that have not seen those prevotes can still be shown them.
func (t *tendermint) say(kind uint32, text string) {
	if t.self < 0 {
		return
	}
	v := &vote.Vote{Kind: kind, Signer: t.self, Height: t.height, Round: t.round, Text: text}
	record := v.Append(nil)
	if kind == precommit && text != "" {
		record = vote.Append(record, t.book.For(prevote, t.round, text))
	}
	t.out = append(t.out, sdk.Action(&ordov1.Action_Persist{Data: record}))
	t.sign(v)
}

// restore takes a record of say: the vote, which is the lock when it is a precommit, and the prevotes.
func (t *tendermint) restore(record []byte) *vote.Vote {
	list, err := vote.Read(record)
	if err != nil || len(list) == 0 {
		panic("a record that this protocol did not write")
	}
	for _, proof := range list[1:] {
		if !t.book.Has(proof) {
			t.book.Add(proof, proof.Round)
		}
	}
	if v := list[0]; v.Kind == precommit && v.Text != "" {
		t.lockedRound, t.lockedValue, t.validRound, t.validValue = v.Round, v.Text, v.Round, v.Text
	}
	return list[0]
}

func (t *tendermint) sign(v *vote.Vote) {
	t.signs++ // never used again: a signature of the height before may still come
	t.signing[t.signs] = v
	t.out = append(t.out, sdk.Action(&ordov1.Action_Sign{Id: t.signs, Kind: v.Kind, Round: v.Round, Data: []byte(v.Text)}))
}

// signed sends what was signed. What the core refuses to sign is not said.
func (t *tendermint) signed(e *ordov1.ConsensusEvent_Signed) {
	v := t.signing[e.GetId()]
	if v == nil || len(v.Signature) > 0 || len(e.GetSignature()) == 0 {
		return
	}
	v.Signature = e.GetSignature()
	if !t.book.Has(v) {
		t.book.Add(v, t.round)
	}
	t.send(nil, []*vote.Vote{v})
}

func (t *tendermint) send(to []byte, list []*vote.Vote) {
	const most = 4000 // votes of about 120 bytes: below the limit of a message
	if list = list[max(0, len(list)-most):]; len(list) > 0 {
		t.out = append(t.out, sdk.Action(&ordov1.Action_Send{To: to, Data: vote.Append(nil, list)}))
	}
}

// resend says everything again that others may need: messages are lost, and a vote that one node has heard all have to hear.
func (t *tendermint) resend() {
	t.out = append(t.out, sdk.Action(&ordov1.Action_SetTimer{Id: tick, AfterMs: t.config.ResendMs}))
	var list []*vote.Vote
	for _, v := range t.book.All() {
		if v.Round+1 >= t.round || v.Round == t.validRound {
			list = append(list, v)
		}
	}
	t.send(nil, list)
	clear(t.helped)
	for _, block := range t.blocks {
		block.missingAtTick = false
	}
	switch idle := t.building == 0 && t.doing == 0 && !t.decided; { // in the place of an attempt that failed
	case idle && t.alone():
		t.build()
	case idle && t.step == proposing && len(t.book.Of(proposal, t.round, t.self)) == 0:
		t.propose()
	}
}

// heard takes the votes of a message. All that is not signed well is ignored.
func (t *tendermint) heard(e *ordov1.ConsensusEvent_Message) {
	list, err := vote.Read(e.GetData())
	if err != nil {
		return
	}
	behind := false
	for _, v := range list {
		b := t.book
		switch v.Height {
		case t.height:
		case t.height + 1:
			b = t.next
		default:
			behind = behind || v.Height+1 == t.height
			continue
		}
		if !formed(v) || v.Signer >= len(t.set.Validators) || b.Has(v) || !t.set.Signed(v) {
			continue
		}
		if other := b.Add(v, t.round); other != nil {
			t.out = append(t.out, sdk.Action(&ordov1.Action_Report{Kind: "double-vote", About: t.set.Validators[v.Signer].GetKey(),
				Data: vote.Append(nil, []*vote.Vote{other, v})}))
		}
	}
	// One vote alone is only late. Help comes once a tick, or two nodes would answer each other for ever.
	if from := string(e.GetFrom()); behind && len(list) > 1 && !t.helped[from] {
		t.helped[from] = true
		t.send(e.GetFrom(), t.before) // it lacks the precommits of the height that it is at
	}
}

// formed says whether the text of a vote is one of its kind.
func formed(v *vote.Vote) bool {
	switch v.Kind {
	case proposal:
		return len(v.Text) == 4+idLength
	case prevote, precommit:
		return len(v.Text) == 0 || len(v.Text) == idLength
	}
	return false
}

// commits are the precommits that decide a value, of one round; none when there are not enough.
func (t *tendermint) commits(value string) []*vote.Vote {
	for round := uint32(0); round <= t.book.Top(); round++ {
		if id, _ := t.book.Majority(precommit, round); id != "" && id[:32] == value {
			return t.book.For(precommit, round, id)
		}
	}
	return nil
}

// once says whether the timeout of a kind in this round is to be set: the first time only.
func (t *tendermint) once(kind uint32) bool {
	first := t.waited[kind] != t.round+1
	t.waited[kind] = t.round + 1
	return first
}

// await sets the timeout of a step in this round.
func (t *tendermint) await(s step, moreMs uint32) {
	t.timers[s] = t.round + 1
	after := moreMs + t.config.TimeoutMs + min(t.round, 100)*t.config.DeltaMs
	t.out = append(t.out, sdk.Action(&ordov1.Action_SetTimer{Id: stepTimer + uint64(s), AfterMs: after}))
}
