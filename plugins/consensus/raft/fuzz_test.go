package raft

import (
	"encoding/binary"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// FuzzMessages: whatever a validator sends, the plugin neither ends nor halts, and what it keeps is bounded. Each message is made from a few bytes,
// so that most are nearly right.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{3, 1, 1, 1, 1, 1, 1, 0, 8, 1, 1, 1, 1, 0, 0, 0, 3, 1, 2, 2, 1, 0, 1, 0})
	f.Add([]byte{7, 0, 5, 9, 2, 9, 0, 0, 5, 1, 5, 1, 1, 0, 0, 0, 4, 1, 5, 3, 9, 0, 0, 0})
	f.Add([]byte{5, 2, 2, 0, 0, 0, 0, 0, 17, 1, 3, 0, 0, 0, 0, 0, 3, 2, 3, 1, 1, 2, 1, 1})
	f.Fuzz(fuzzOne)
}

func fuzzOne(t *testing.T, script []byte) {
	keys := []string{"a", "b", "c"}
	var set []*ordov1.Validator
	for _, key := range keys {
		set = append(set, &ordov1.Validator{Key: []byte(key), Power: 1})
	}
	p := New(defaults())
	p.Step(sdk.Event(&sdk.Start{Height: 1, Self: []byte("a"), Validators: set}))
	for ; len(script) >= 8; script = script[8:] {
		s := script[:8]
		from := 1 + int(s[1])%2
		var e *ordov1.ConsensusEvent
		switch s[0] % 32 {
		case 30:
			e = sdk.Event(&sdk.Timer{Id: uint64(s[1]%4) + 1})
		case 31:
			e = sdk.Event(&sdk.Verdict{Attempt: p.checking, Valid: s[1]%2 == 0, Missing: s[1]%4 == 1})
		case 29:
			e = sdk.Event(&sdk.Message{From: []byte(keys[from]), Data: s[2:]})
		default:
			e = sdk.Event(&sdk.Message{From: []byte(keys[from]), Data: forged(s, from)})
		}
		deciding := p.deciding
		for _, a := range p.Step(e) {
			if a.GetHalt() != nil {
				t.Fatalf("%v: %s", e, a.GetHalt().GetReason())
			}
		}
		if p.deciding && !deciding {
			c := p.committed[p.height]
			p.Step(sdk.Event(&sdk.Decided{Height: p.height, Value: []byte(c.value)}))
		}
		if len(p.blocks) > maxBlocks || len(p.committed) > maxCommitted || len(p.Lines()) > 33 {
			t.Fatalf("%d blocks, %d committed entries", len(p.blocks), len(p.committed))
		}
	}
}

func forged(s []byte, from int) []byte {
	n := func(i int) *uint64 { return proto.Uint64(uint64(s[i] % 8)) }
	m := &raftpb.Message{Type: between[int(s[0])%len(between)].Enum(), From: proto.Uint64(id(from)), To: proto.Uint64(id(0)), Term: n(2), Index: n(3), LogTerm: n(4),
		Commit: n(5), Reject: proto.Bool(s[6]&1 != 0), RejectHint: n(7)}
	if s[6]&128 != 0 {
		m.Term = proto.Uint64(1 << 62)
	}
	if s[6]&64 != 0 {
		m.Index = proto.Uint64(1<<64 - 1)
	}
	switch m.GetType() {
	case raftpb.MsgApp:
		for k := range uint64(s[7] % 4) {
			of := proposed{height: uint64(s[6]>>1) % 4, builder: int(s[6]>>2) % 4, value: string(make([]byte, 32))}
			data := of.bytes()
			if of.height == 0 {
				data = nil
			}
			m.Entries = append(m.Entries, &raftpb.Entry{Index: proto.Uint64(m.GetIndex() + 1 + k), Term: proto.Uint64(min(m.GetTerm(), m.GetLogTerm()+k)), Data: data})
		}
	case raftpb.MsgSnap:
		m.Snapshot = &raftpb.Snapshot{Data: binary.BigEndian.AppendUint64(nil, uint64(s[7])), Metadata: &raftpb.SnapshotMetadata{
			Index: proto.Uint64(uint64(s[3] % 64)), Term: proto.Uint64(min(m.GetTerm(), uint64(s[4]%8))), ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}}}
	}
	data, _ := canonical.Marshal(m)
	return sealMessage(ofRaft, data)
}
