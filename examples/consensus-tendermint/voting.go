package main

import (
	"encoding/binary"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// say signs and sends a vote of this node. Before that it is made durable, with the lock and the prevotes that prove it: after a restart the same
// is said again, and others that have not seen those prevotes can still be shown them.
func (t *tendermint) say(v *vote) {
	if t.self < 0 {
		return
	}
	v.signer, v.height = uint16(t.self), t.height
	record := binary.BigEndian.AppendUint32(nil, uint32(t.lockedRound))
	record = binary.BigEndian.AppendUint32(record, uint32(t.validRound))
	record = append(append(record, byte(len(t.lockedValue)), byte(len(t.validValue))), t.lockedValue+t.validValue...)
	record = v.append(record)
	if v.kind == precommit && v.id != "" {
		for _, proof := range t.votes(prevote, v.round, v.id) {
			record = proof.append(record)
		}
	}
	t.out = append(t.out, sdk.Action(&ordov1.Action_Persist{Data: record}))
	t.sign(v)
}

// restore takes a record of say: the lock, the vote, the prevotes.
func (t *tendermint) restore(b []byte) *vote {
	if len(b) < 10 || len(b) < 10+int(b[8])+int(b[9]) {
		return nil
	}
	locked, valid := 10+int(b[8]), 10+int(b[8])+int(b[9])
	t.lockedRound, t.validRound = int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:]))
	t.lockedValue, t.validValue = string(b[10:locked]), string(b[locked:valid])
	list, err := readVotes(b[valid:])
	if err != nil || len(list) == 0 {
		return nil
	}
	for _, proof := range list[1:] {
		if !t.book.has(proof) {
			t.book.add(proof, proof.round)
		}
	}
	return list[0]
}

func (t *tendermint) sign(v *vote) {
	t.signs++ // never used again: a signature of the height before may still come
	t.signing[t.signs] = v
	t.out = append(t.out, sdk.Action(&ordov1.Action_Sign{Id: t.signs, Kind: uint32(v.kind), Round: v.round, Data: v.said()}))
}

// signed sends what was signed. What the core refuses to sign is not said.
func (t *tendermint) signed(e *ordov1.ConsensusEvent_Signed) {
	v := t.signing[e.GetId()]
	if v == nil || len(v.signature) > 0 || len(e.GetSignature()) == 0 {
		return
	}
	v.signature = e.GetSignature()
	if !t.book.has(v) {
		t.book.add(v, t.round)
	}
	t.send(nil, []*vote{v})
}

func (t *tendermint) send(to []byte, list []*vote) {
	const most = 4000 // votes of about 120 bytes: below the limit of a message
	var data []byte
	for _, v := range list[max(0, len(list)-most):] {
		data = v.append(data)
	}
	if len(data) > 0 {
		t.out = append(t.out, sdk.Action(&ordov1.Action_Send{To: to, Data: data}))
	}
}

// resend says everything again that others may need: messages are lost, and a vote that one node has heard all have to hear.
func (t *tendermint) resend() {
	t.out = append(t.out, sdk.Action(&ordov1.Action_SetTimer{Id: tick, AfterMs: t.config.ResendMs}))
	var list []*vote
	for _, v := range t.book.list {
		if v.round+1 >= t.round || int32(v.round) == t.validRound {
			list = append(list, v)
		}
	}
	t.send(nil, list)
	clear(t.helped)
	for _, block := range t.blocks {
		block.missingAtTick = false
	}
	idle := t.building == 0 && t.doing == 0 && !t.decided
	if idle && len(t.set) == 0 || idle && t.step == proposing && len(t.book.votes[slot{proposal, t.round, uint16(t.self)}]) == 0 {
		t.startAgain()
	}
}

// startAgain builds in the place of an attempt that failed.
func (t *tendermint) startAgain() {
	if len(t.set) == 0 {
		t.build()
		return
	}
	t.propose()
}

// heard takes the votes of a message. All that is not signed well is ignored.
func (t *tendermint) heard(e *ordov1.ConsensusEvent_Message) {
	list, err := readVotes(e.GetData())
	if err != nil || t.book == nil {
		return
	}
	behind := false
	for _, v := range list {
		b := t.book
		switch v.height {
		case t.height:
		case t.height + 1:
			b = t.next
		default:
			behind = behind || v.height+1 == t.height
			continue
		}
		if v.round == ^uint32(0) || int(v.signer) >= len(t.set) || b.has(v) || !v.signedBy(t.chain, t.scheme, t.set) {
			continue
		}
		if other := b.add(v, t.round); other != nil {
			t.out = append(t.out, sdk.Action(&ordov1.Action_Report{Kind: "double-vote", About: t.set[v.signer].GetKey(), Data: v.append(other.append(nil))}))
		}
	}
	// One vote alone is only late. Help comes once a tick, or two nodes would answer each other for ever.
	if from := string(e.GetFrom()); behind && len(list) > 1 && !t.helped[from] {
		t.helped[from] = true
		t.send(e.GetFrom(), t.before) // it lacks the precommits of the height that it is at
	}
}

// quorum says whether more than 2/3 of the power voted in a round: for a block (or for none, ""), or for anything (nil).
func (t *tendermint) quorum(k kind, round uint32, id *string) bool {
	power := uint64(0)
	for i, v := range t.set {
		for _, vote := range t.book.votes[slot{k, round, uint16(i)}] {
			if id == nil || vote.id == *id {
				power += v.GetPower()
				break
			}
		}
	}
	return power > totalPower(t.set)*2/3
}

// majority is the block that more than 2/3 voted for in a round; "" when there is none.
func (t *tendermint) majority(k kind, round uint32) string {
	for i := range t.set {
		for _, v := range t.book.votes[slot{k, round, uint16(i)}] {
			if v.id != "" && t.quorum(k, round, &v.id) {
				return v.id
			}
		}
	}
	return ""
}

// ahead is the highest round that more than 1/3 of the power has reached: one of them is honest.
func (t *tendermint) ahead() uint32 {
	best := uint32(0)
	for _, round := range t.book.highest {
		power := uint64(0)
		for i, other := range t.book.highest {
			if other >= round {
				power += t.set[i].GetPower()
			}
		}
		if round > best && power > totalPower(t.set)/3 {
			best = round
		}
	}
	return max(best, 1) - 1
}

// votes are those for a block in a round, one of each validator.
func (t *tendermint) votes(k kind, round uint32, id string) (list []*vote) {
	for i := range t.set {
		for _, v := range t.book.votes[slot{k, round, uint16(i)}] {
			if v.id == id {
				list = append(list, v)
				break
			}
		}
	}
	return list
}

// commits are the precommits that decide a value, of one round; none when there are not enough.
func (t *tendermint) commits(value string) []*vote {
	for round := uint32(0); round <= t.book.top; round++ {
		if id := t.majority(precommit, round); id != "" && id[:32] == value {
			return t.votes(precommit, round, id)
		}
	}
	return nil
}

// once says whether the timeout of a kind in this round is to be set: the first time only.
func (t *tendermint) once(k kind) bool {
	s := slot{kind: k, round: t.round}
	first := !t.waited[s]
	t.waited[s] = true
	return first
}

// await sets the timeout of a step in this round.
func (t *tendermint) await(s step, moreMs uint32) {
	t.timers[s] = t.round + 1
	after := moreMs + t.config.TimeoutMs + min(t.round, 100)*t.config.DeltaMs
	t.out = append(t.out, sdk.Action(&ordov1.Action_SetTimer{Id: stepTimer + uint64(s), AfterMs: after}))
}
