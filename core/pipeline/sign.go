package pipeline

import (
	"bytes"
	"encoding/binary"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Network is what a machine knows of the validators. The zero value is a chain of one sequencer.
type Network struct {
	Validators []*ordov1.Validator // sorted by key; empty: a chain of one sequencer
	Self       []byte              // key of this node; nil: it watches only
	Scheme     string              // of keys and signatures
	ChainID    string              // part of what is signed
	KeptBytes  int                 // most bytes of the bodies of a height that are kept; 128 MiB

	// Sign signs with the key of Self. It is pure: equal messages, equal signatures. nil: this node signs nothing.
	Sign func(message []byte) []byte
}

// validator returns the validator of a key; nil when there is none.
func (n *Network) validator(key []byte) *ordov1.Validator {
	for _, v := range n.Validators {
		if bytes.Equal(v.Key, key) {
			return v
		}
	}
	return nil
}

// signs says whether this node may sign.
func (n *Network) signs() bool { return n.Sign != nil && n.validator(n.Self) != nil }

// ballot is what a validator signs once: it signs one text for each kind and round of a height.
type ballot struct{ kind, round uint32 }

// sign asks for a signature. What is signed is made durable first: a node that forgets it could sign something else.
func (m *Machine) sign(s *ordov1.Action_Sign) {
	c := &m.consensus
	signed, again := c.signed[ballot{s.Kind, s.Round}]
	switch {
	case !m.options.Network.signs():
		m.tellSigned(s, m.height, false)
	case again && !bytes.Equal(signed, s.Data):
		m.emit(RefuseSignature{Height: m.height, Kind: s.Kind, Round: s.Round})
		m.tellSigned(s, m.height, false)
	case again && !c.guarding(s):
		m.tellSigned(s, m.height, true)
	default:
		c.signed[ballot{s.Kind, s.Round}] = s.Data
		m.write(write{kind: guardWrite, data: appendGuard(s), sign: s})
	}
}

// guarding says whether the record of what is to be signed is still on its way to the disk.
func (c *consensus) guarding(s *ordov1.Action_Sign) bool {
	for _, w := range c.writes {
		if w.kind == guardWrite && w.sign != nil && w.sign.Kind == s.Kind && w.sign.Round == s.Round {
			return true
		}
	}
	return false
}

// tellSigned answers Sign, at the height at which it was guarded: a decision may have come between. Events that came up since the answer
// with Sign follow it.
func (m *Machine) tellSigned(s *ordov1.Action_Sign, height uint64, good bool) {
	signed := &ordov1.ConsensusEvent_Signed{Id: s.Id}
	if good {
		n := &m.options.Network
		signed.Signature = n.Sign(sdk.SignedBytes(n.ChainID, height, s.Kind, s.Round, s.Data))
	}
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Signed_{Signed: signed}})
	c := &m.consensus
	if c.signing--; c.signing == 0 {
		held := c.held
		c.held = nil
		for _, event := range held {
			m.tell(event)
		}
	}
}

func appendGuard(s *ordov1.Action_Sign) []byte {
	b := binary.BigEndian.AppendUint32(nil, s.Kind)
	return append(binary.BigEndian.AppendUint32(b, s.Round), s.Data...)
}

func readGuard(b []byte) *ordov1.Action_Sign {
	if len(b) < 8 {
		return nil
	}
	return &ordov1.Action_Sign{Kind: binary.BigEndian.Uint32(b), Round: binary.BigEndian.Uint32(b[4:]), Data: b[8:]}
}
