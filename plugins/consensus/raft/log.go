package raft

import (
	"encoding/binary"
	"fmt"
	"slices"

	etcd "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// tail is how many entries below the newest decided one are kept for validators that are a little behind. A snapshot takes the place of what is
// older; it holds nothing but a height, and the core of the validator that gets it catches up by itself.
const tail = 16

// store is the log of raft: in memory, and whole in each lasting record.
type store struct {
	store  *etcd.MemoryStorage
	voters []uint64
	hard   *raftpb.HardState
}

func (l *store) members() *raftpb.ConfState { return &raftpb.ConfState{Voters: l.voters} }

// of says whether a snapshot is of these validators.
func (l *store) of(snapshot *raftpb.Snapshot) bool {
	set := snapshot.GetMetadata().GetConfState()
	return slices.Equal(set.GetVoters(), l.voters) && len(set.GetVotersOutgoing())+len(set.GetLearners())+len(set.GetLearnersNext()) == 0
}

// openStore reads the lasting record of an earlier instance; nil: this is the first one.
func openStore(state []byte, voters []uint64) (*store, error) {
	l := &store{store: etcd.NewMemoryStorage(), voters: voters, hard: &raftpb.HardState{}}
	if len(state) == 0 {
		return l, l.store.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{ConfState: l.members()}, Data: heightBytes(0)})
	}
	saved := &raftpb.Message{}
	if err := proto.Unmarshal(state, saved); err != nil || saved.GetType() != raftpb.MsgStorageAppend {
		return nil, fmt.Errorf("its record cannot be read (%v)", err)
	}
	if !l.of(saved.GetSnapshot()) {
		return nil, fmt.Errorf("its record is of %d validators, and there are %d: the membership is fixed",
			len(saved.GetSnapshot().GetMetadata().GetConfState().GetVoters()), len(voters))
	}
	if err := l.store.ApplySnapshot(saved.GetSnapshot()); err != nil {
		return nil, err
	}
	if err := l.store.Append(saved.GetEntries()); err != nil {
		return nil, err
	}
	l.hard = &raftpb.HardState{Term: proto.Uint64(saved.GetTerm()), Vote: proto.Uint64(saved.GetVote()), Commit: proto.Uint64(saved.GetCommit())}
	return l, l.store.SetHardState(l.hard)
}

// take takes what raft wants to be durable, and says whether it is to be persisted: the index up to which entries are committed need not be.
func (l *store) take(rd etcd.Ready) (*ordov1.Action, error) {
	if !etcd.IsEmptySnap(rd.Snapshot) {
		if err := l.store.ApplySnapshot(rd.Snapshot); err != nil {
			return nil, err
		}
	}
	if !etcd.IsEmptyHardState(rd.HardState) {
		l.hard = proto.CloneOf(rd.HardState)
		if err := l.store.SetHardState(l.hard); err != nil {
			return nil, err
		}
	}
	if err := l.store.Append(rd.Entries); err != nil {
		return nil, err
	}
	if !rd.MustSync && etcd.IsEmptySnap(rd.Snapshot) {
		return nil, nil
	}
	record, err := l.record()
	if err != nil {
		return nil, err
	}
	return sdk.PersistLasting(record), nil
}

// record is the whole log: term, vote, snapshot, and the entries behind it.
func (l *store) record() ([]byte, error) {
	snapshot, err := l.store.Snapshot()
	if err != nil {
		return nil, err
	}
	entries, err := l.entries()
	if err != nil {
		return nil, err
	}
	return canonical.Marshal(&raftpb.Message{Type: raftpb.MsgStorageAppend.Enum(), Term: proto.Uint64(l.hard.GetTerm()), Vote: proto.Uint64(l.hard.GetVote()),
		Commit: proto.Uint64(l.hard.GetCommit()), Snapshot: snapshot, Entries: entries})
}

func (l *store) entries() ([]*raftpb.Entry, error) {
	first, _ := l.store.FirstIndex()
	last, _ := l.store.LastIndex()
	if last < first {
		return nil, nil
	}
	return l.store.Entries(first, last+1, 1<<62)
}

// start is the height at the snapshot, and its index.
func (l *store) start() (height, index uint64) {
	snapshot, err := l.store.Snapshot()
	if err != nil || len(snapshot.GetData()) != 8 {
		return 0, 0
	}
	return binary.BigEndian.Uint64(snapshot.GetData()), snapshot.GetMetadata().GetIndex()
}

// compact puts a snapshot in the place of entries that are decided here and have a whole tail behind them.
func (l *store) compact(decided uint64) error {
	height, index := l.start()
	if decided < index+2*tail {
		return nil
	}
	to := decided - tail
	entries, err := l.store.Entries(index+1, to+1, 1<<62)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if block, err := readEntry(e); err == nil {
			height = max(height, block.height)
		}
	}
	if _, err := l.store.CreateSnapshot(to, l.members(), heightBytes(height)); err != nil {
		return err
	}
	return l.store.Compact(to)
}

func heightBytes(height uint64) []byte { return binary.BigEndian.AppendUint64(nil, height) }
