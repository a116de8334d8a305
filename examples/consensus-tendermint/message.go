package main

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// kind is what a validator says; it is the kind of Sign too.
type kind uint32

const (
	proposal kind = iota + 1
	prevote
	precommit
)

// vote is what one validator says, with its signature. id names the block: its value, 32 bytes, and which validator built it, 2 bytes, for the
// core asks that in Validate. An empty id is the vote for no block.
type vote struct {
	kind       kind
	signer     uint16 // place in the set of validators
	height     uint64
	round      uint32
	validRound int32 // of a proposal: the round in which the block had 2/3 of the prevotes; -1: none
	id         string
	signature  []byte
}

const idLength = 34

// said is what is signed, beside chain, height, kind and round.
func (v *vote) said() []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(v.validRound)), v.id...)
}

func (v *vote) signedBy(chain, scheme string, set []*ordov1.Validator) bool {
	return int(v.signer) < len(set) && sdk.VerifySignature(scheme, set[v.signer].GetKey(),
		sdk.SignedBytes(chain, v.height, uint32(v.kind), v.round, v.said()), v.signature)
}

func (v *vote) append(b []byte) []byte {
	b = append(b, byte(v.kind), byte(len(v.id)), byte(len(v.signature)))
	b = binary.BigEndian.AppendUint16(b, v.signer)
	b = binary.BigEndian.AppendUint64(b, v.height)
	b = binary.BigEndian.AppendUint32(b, v.round)
	b = binary.BigEndian.AppendUint32(b, uint32(v.validRound))
	return append(append(b, v.id...), v.signature...)
}

const voteHead = 3 + 2 + 8 + 4 + 4

// readVotes reads what append wrote, one vote after the other.
func readVotes(b []byte) (list []*vote, err error) {
	for len(b) > 0 {
		if len(b) < voteHead || len(b) < voteHead+int(b[1])+int(b[2]) || b[0] < byte(proposal) || b[0] > byte(precommit) || b[1] != 0 && b[1] != idLength {
			return nil, errors.New("not a list of votes")
		}
		id, signature := voteHead+int(b[1]), voteHead+int(b[1])+int(b[2])
		list = append(list, &vote{kind: kind(b[0]), signer: binary.BigEndian.Uint16(b[3:]), height: binary.BigEndian.Uint64(b[5:]),
			round: binary.BigEndian.Uint32(b[13:]), validRound: int32(binary.BigEndian.Uint32(b[17:])),
			id: string(b[voteHead:id]), signature: b[id:signature]})
		b = b[signature:]
	}
	return list, nil
}

// certificates checks what a decision proves: precommits of more than 2/3 of the power, for one block in one round.
type certificates struct{}

func (certificates) Verify(q *ordov1.VerifyRequest) error {
	list, err := readVotes(q.GetCertificate())
	if err != nil || len(list) == 0 {
		return errors.New("the certificate is not a list of precommits")
	}
	power, total, counted := uint64(0), totalPower(q.GetValidators()), map[uint16]bool{}
	for _, v := range list {
		switch {
		case v.kind != precommit || v.height != q.GetHeight() || v.round != list[0].round || v.id != list[0].id:
			return errors.New("the precommits are not for one block in one round of the height")
		case len(v.id) != idLength || v.id[:32] != string(q.GetValue()):
			return errors.New("the precommits are for another value")
		case counted[v.signer]:
			return fmt.Errorf("validator %d is counted twice", v.signer)
		case !v.signedBy(q.GetChainId(), q.GetScheme(), q.GetValidators()):
			return fmt.Errorf("the signature of validator %d is wrong", v.signer)
		}
		counted[v.signer] = true
		power += q.GetValidators()[v.signer].GetPower()
	}
	if power <= total*2/3 {
		return fmt.Errorf("the precommits have a power of %d of %d, not more than 2/3", power, total)
	}
	return nil
}

func totalPower(set []*ordov1.Validator) (sum uint64) {
	for _, v := range set {
		sum += v.GetPower()
	}
	return sum
}

// book holds the votes of a height.
type book struct {
	votes   map[slot][]*vote // different ones of one validator, kind and round are a double vote: the first few are kept
	list    []*vote          // all of them, in the order in which they came
	top     uint32           // highest round of a vote
	highest []uint32         // by validator: the highest round that it spoke of, plus 1
}

type slot struct {
	kind   kind
	round  uint32
	signer uint16
}

// Bounds of what a liar can fill: rounds ahead, and different votes of one kind and round.
const (
	roundsAhead = 10
	mostVotes   = 4
)

func newBook(n int) *book { return &book{votes: map[slot][]*vote{}, highest: make([]uint32, n)} }

// has says whether the book has a vote, signature apart.
func (b *book) has(v *vote) bool {
	for _, other := range b.votes[slot{v.kind, v.round, v.signer}] {
		if other.id == v.id && other.validRound == v.validRound {
			return true
		}
	}
	return false
}

// add takes a vote whose signature is good. It returns the vote that it contradicts, the first time.
func (b *book) add(v *vote, round uint32) (contradicts *vote) {
	b.highest[v.signer] = max(b.highest[v.signer], v.round+1)
	s := slot{v.kind, v.round, v.signer}
	before := b.votes[s]
	if v.round > round+roundsAhead || len(before) == mostVotes {
		return nil
	}
	b.votes[s] = append(before, v)
	b.list = append(b.list, v)
	b.top = max(b.top, v.round)
	if len(before) == 1 {
		return before[0]
	}
	return nil
}
