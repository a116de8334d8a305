package raft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// proposed is the data of an entry: which block, by its value, and which validator built it.
type proposed struct {
	height  uint64
	builder int // place in the set
	value   string
}

// Sizes of an entry: height and builder, then a value. A value has 32 bytes; another core may have others.
const (
	proposedHead = 8 + 2
	maxValue     = 64
)

func (p proposed) bytes() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, proposedHead+len(p.value)), p.height)
	return append(binary.BigEndian.AppendUint16(b, uint16(p.builder)), p.value...)
}

// readEntry is the block of an entry. The empty entry with which a term begins has none, and height 0.
func readEntry(e *raftpb.Entry) (proposed, error) {
	b := e.GetData()
	switch {
	case e.GetType() != raftpb.EntryNormal:
		return proposed{}, errors.New("an entry that changes the membership, which is fixed")
	case len(b) == 0:
		return proposed{}, nil
	case len(b) <= proposedHead || len(b) > proposedHead+maxValue || binary.BigEndian.Uint64(b) == 0:
		return proposed{}, errors.New("an entry that names no block")
	}
	return proposed{binary.BigEndian.Uint64(b), int(binary.BigEndian.Uint16(b[8:])), string(b[proposedHead:])}, nil
}

// Messages between validators: a kind, a checksum over the rest, and either a message of raft or the height for which a block is demanded.
const (
	ofRaft byte = iota + 1
	demand
)

const messageHead = 1 + 4

var (
	canonical = proto.MarshalOptions{Deterministic: true}
	checksums = crc32.MakeTable(crc32.Castagnoli)
)

func sealMessage(kind byte, body []byte) []byte {
	b := append(make([]byte, 0, messageHead+len(body)), kind)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, checksums))
	return append(b, body...)
}

// openMessage takes a message apart. The checksum is against accidents, and proves nothing.
func openMessage(b []byte) (kind byte, body []byte, err error) {
	if len(b) < messageHead {
		return 0, nil, errors.New("it is too short")
	}
	if body = b[messageHead:]; binary.BigEndian.Uint32(b[1:]) != crc32.Checksum(body, checksums) {
		return 0, nil, errors.New("its checksum is wrong")
	}
	return b[0], body, nil
}

// between are the messages of raft that validators send each other. All others are for a node and itself, or are not used here.
var between = []raftpb.MessageType{raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgPreVote, raftpb.MsgPreVoteResp,
	raftpb.MsgSnap, raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp}

// readMessage reads a message of raft from a validator.
func readMessage(body []byte, from, to uint64) (*raftpb.Message, error) {
	m := &raftpb.Message{}
	if err := proto.Unmarshal(body, m); err != nil {
		return nil, errors.New("it cannot be decoded")
	}
	switch {
	case !slices.Contains(between, m.GetType()):
		return nil, fmt.Errorf("validators do not send %s", m.GetType())
	case m.GetFrom() != from || m.GetTo() != to:
		return nil, fmt.Errorf("it says that it goes from %d to %d", m.GetFrom(), m.GetTo())
	case m.GetTerm() == 0 || m.GetTerm() > math.MaxInt64:
		return nil, fmt.Errorf("term %d", m.GetTerm())
	case len(m.GetEntries()) > 0 && m.GetType() != raftpb.MsgApp, m.GetSnapshot() != nil && m.GetType() != raftpb.MsgSnap, len(m.GetResponses()) > 0:
		return nil, fmt.Errorf("a %s carries what is not its own", m.GetType())
	}
	m.Context = nil // of features that are not used here, such as a transfer of the leadership
	return m, nil
}

// impossible is why a message of raft cannot be of a validator that has kept its log, "" when it can. Raft itself would end the process.
func (p *Raft) impossible(m *raftpb.Message) string {
	last, _ := p.log.store.LastIndex()
	status := p.node.BasicStatus()
	committed := status.GetCommit()
	switch m.GetType() {
	case raftpb.MsgHeartbeat:
		if m.GetTerm() >= status.GetTerm() && m.GetCommit() > last {
			return fmt.Sprintf("it says that entry %d is committed here, and the last one here is %d: was the data folder lost?", m.GetCommit(), last)
		}
	case raftpb.MsgAppResp:
		if status.RaftState == raftLeader && m.GetTerm() == status.GetTerm() && !m.GetReject() && m.GetIndex() > last {
			return fmt.Sprintf("it says that it has entry %d, and the last one is %d", m.GetIndex(), last)
		}
	case raftpb.MsgSnap:
		meta := m.GetSnapshot().GetMetadata()
		if len(m.GetSnapshot().GetData()) != 8 || !p.log.of(m.GetSnapshot()) {
			return "a snapshot of other validators"
		}
		if meta.GetTerm() > m.GetTerm() || meta.GetIndex() > math.MaxInt64 {
			return "a snapshot from the future"
		}
	case raftpb.MsgApp:
		return p.log.impossible(m, committed, len(p.keys))
	}
	return ""
}

// impossible looks at the entries of a message.
func (l *store) impossible(m *raftpb.Message, committed uint64, validators int) string {
	index, term := m.GetIndex(), m.GetLogTerm()
	if index > math.MaxInt64 || term > m.GetTerm() {
		return "entries from the future"
	}
	for _, e := range m.GetEntries() {
		index++
		if e.GetIndex() != index || e.GetTerm() < term || e.GetTerm() > m.GetTerm() {
			return fmt.Sprintf("entry %d of term %d does not follow", e.GetIndex(), e.GetTerm())
		}
		term = e.GetTerm()
		block, err := readEntry(e)
		if err != nil {
			return err.Error()
		}
		if block.builder >= validators {
			return fmt.Sprintf("there is no validator %d", block.builder)
		}
		if index <= committed {
			if have, err := l.store.Term(index); err == nil && have != term {
				return fmt.Sprintf("it changes entry %d, which is committed", index)
			}
		}
	}
	return ""
}

// equalKeys says whether two keys are the same; the empty one is none.
func equalKeys(a, b []byte) bool { return len(a) > 0 && bytes.Equal(a, b) }
