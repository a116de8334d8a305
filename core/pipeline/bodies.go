package pipeline

import (
	"encoding/binary"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// defaultKeptBytes is the most that the bodies of a height may have together.
const defaultKeptBytes = 128 << 20

// bodies are the proposals of this height that a vote of this node may rest on: those that it published and those that it found valid. They
// are written no later than the next record of the height, so that no signature outlasts what it is about, and each of them once.
type bodies struct {
	values    map[string]bool
	bytes     int
	unwritten [][]byte // encoded; they go with the next write
}

// keep keeps the body of a proposal, and says why it cannot.
func (m *Machine) keep(value, body []byte) (why string) {
	n, b := &m.options.Network, &m.consensus.bodies
	if n.validator(n.Self) == nil || b.values[string(value)] {
		return ""
	}
	limit := n.KeptBytes
	if limit == 0 {
		limit = defaultKeptBytes
	}
	if b.bytes+len(body) > limit {
		return fmt.Sprintf("the proposals of height %d have %d bytes together, at most %d are kept (half of network.bodies_bytes)", m.height, b.bytes+len(body), limit)
	}
	b.add(value, body)
	b.unwritten = append(b.unwritten, appendBody(value, body))
	return ""
}

func (b *bodies) add(value, body []byte) {
	if b.values == nil {
		b.values = map[string]bool{}
	}
	b.values[string(value)] = true
	b.bytes += len(body)
}

// restore takes the bodies that were written before a restart.
func (m *Machine) restore(height uint64, kept []keptBody) {
	for _, k := range kept {
		m.consensus.bodies.add(k.value, k.body)
		m.emit(Keep{height, k.value, k.body})
	}
}

// keptBody is a record of a body.
type keptBody struct{ value, body []byte }

func appendBody(value, body []byte) []byte {
	b := binary.AppendUvarint(make([]byte, 0, len(value)+len(body)+4), uint64(len(value)))
	return append(append(b, value...), body...)
}

func readBody(b []byte) (k keptBody, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return keptBody{}, false
	}
	return keptBody{b[n : n+int(size)], b[n+int(size):]}, true
}

// keepValid keeps the body of a proposal that was found valid, if it came by its value, and serves it from now on.
func (m *Machine) keepValid(a *attempt) (why string) {
	s := a.fromPeer()
	body := s.fetched
	if s.fetched = nil; body == nil {
		return ""
	}
	known := m.consensus.bodies.values[string(s.value)]
	if why := m.keep(s.value, body); why != "" || known {
		return why
	}
	m.emit(Keep{m.height, s.value, body})
	return ""
}

// missing tells consensus that a proposal could not be looked at: nothing is said of its value.
func (m *Machine) missing(a *attempt, why string) {
	m.becomeFailed(a)
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Verdict_{Verdict: &ordov1.ConsensusEvent_Verdict{Attempt: a.id, Missing: true, Reason: why}}})
}
