// Package vote counts signed votes of validators: their bytes, their signatures, quorums by power, double votes, certificates.
//
// It is for hosted consensus protocols, and as pure as they are. What a vote says is the protocol's: a text of at most 255 bytes, which is the
// data of Sign. A Book holds the votes of one height; what strangers can fill it with is bounded.
package vote

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Vote is what one validator says in a round, with its signature. Kind, Round and Text are those of Sign.
type Vote struct {
	Kind      uint32 // at most 255
	Signer    int    // place in the set of validators
	Height    uint64
	Round     uint32
	Text      string
	Signature []byte
}

// head is the size of what stands before text and signature.
const head = 3 + 2 + 8 + 4

// Append appends the vote to a message, a record or a certificate.
func (v *Vote) Append(b []byte) []byte {
	b = append(b, byte(v.Kind), byte(len(v.Text)), byte(len(v.Signature)))
	b = binary.BigEndian.AppendUint16(b, uint16(v.Signer))
	b = binary.BigEndian.AppendUint64(b, v.Height)
	b = binary.BigEndian.AppendUint32(b, v.Round)
	return append(append(b, v.Text...), v.Signature...)
}

// Append appends votes, one after the other.
func Append(b []byte, list []*Vote) []byte {
	for _, v := range list {
		b = v.Append(b)
	}
	return b
}

// Read reads what Append wrote. The votes share the bytes.
func Read(b []byte) (list []*Vote, err error) {
	for len(b) > 0 {
		if len(b) < head || len(b) < head+int(b[1])+int(b[2]) {
			return nil, errors.New("vote: not a list of votes")
		}
		text, end := head+int(b[1]), head+int(b[1])+int(b[2])
		list = append(list, &Vote{Kind: uint32(b[0]), Signer: int(binary.BigEndian.Uint16(b[3:])), Height: binary.BigEndian.Uint64(b[5:]),
			Round: binary.BigEndian.Uint32(b[13:]), Text: string(b[head:text]), Signature: b[text:end:end]})
		b = b[end:]
	}
	return list, nil
}

// Set is the validators of a height, and what their signatures are bound to.
type Set struct {
	Chain      string
	Scheme     string
	Validators []*ordov1.Validator
}

// Signed says whether a vote is of its signer.
func (s *Set) Signed(v *Vote) bool {
	return v.Signer < len(s.Validators) && sdk.VerifySignature(s.Scheme, s.Validators[v.Signer].GetKey(),
		sdk.SignedBytes(s.Chain, v.Height, v.Kind, v.Round, []byte(v.Text)), v.Signature)
}

func (s *Set) total() (sum uint64) {
	for _, v := range s.Validators {
		sum += v.GetPower()
	}
	return sum
}

// TwoThirds says whether a power is more than two thirds of all, OneThird whether it is more than one.
func (s *Set) TwoThirds(power uint64) bool { total := s.total(); return power > total/3*2+total%3*2/3 }

// OneThird says whether a power is more than one third of all: one of its validators is honest.
func (s *Set) OneThird(power uint64) bool { return power > s.total()/3 }

// Certifies says why votes do not prove that more than two thirds voted for one text, of a kind, in one round of a height; nil when they do.
// It returns the text.
func (s *Set) Certifies(list []*Vote, kind uint32, height uint64) (text string, err error) {
	if len(list) == 0 {
		return "", errors.New("there is no vote")
	}
	power, counted := uint64(0), map[int]bool{}
	for _, v := range list {
		switch {
		case v.Kind != kind || v.Height != height || v.Round != list[0].Round || v.Text != list[0].Text:
			return "", errors.New("the votes are not for one text in one round of the height")
		case counted[v.Signer]:
			return "", fmt.Errorf("validator %d is counted twice", v.Signer)
		case !s.Signed(v):
			return "", fmt.Errorf("the signature of validator %d is wrong", v.Signer)
		}
		counted[v.Signer] = true
		power += s.Validators[v.Signer].GetPower()
	}
	if !s.TwoThirds(power) {
		return "", fmt.Errorf("the votes have a power of %d of %d, not more than 2/3", power, s.total())
	}
	return list[0].Text, nil
}
