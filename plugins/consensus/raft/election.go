package raft

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"

	etcd "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/sdk"
)

// election is when this node stands for election, and what it does as a leader. The timer of etcd's raft draws from the randomness of the system:
// this one draws from key and term, so that a run repeats exactly.
type election struct {
	leads  bool
	tried  uint64 // elections since a leader was heard
	leased bool   // a leader was heard since the timer was set: no election is needed
	// refused is the term of a leader whose block is invalid here, 0: there is none. Its messages do not put off an election.
	refused uint64
	told    uint64 // term whose leader was told to the log

	beats  uint64            // heartbeats of this node as the leader
	heard  map[uint64]uint64 // by validator: the beat at which it was heard last
	quiet  bool              // no majority is heard: an election is left to the others
	warned map[int]bool      // validators of which a message was refused at this height
}

func (p *Raft) beginElections() {
	p.heard = map[uint64]uint64{}
	if len(p.keys) == 1 {
		p.campaign()
		return
	}
	p.setElection()
}

func (p *Raft) campaign() {
	p.tried++
	if err := p.node.Campaign(); err != nil {
		p.halt("%v", err)
	}
}

// setElection sets the timer after which this node stands for election, from once to twice election_ms.
func (p *Raft) setElection() {
	h := fnv.New64a()
	_, _ = h.Write(p.keys[p.self])
	_, _ = h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, p.node.BasicStatus().GetTerm()), p.tried))
	p.do(sdk.SetTimer(electionTimer, after(ms(p.config.ElectionMs), 2*ms(p.config.ElectionMs), h.Sum64())))
}

func (p *Raft) electionExpired() {
	p.leased = false
	if p.leads {
		return
	}
	p.campaign()
	p.setElection()
}

// noticeRole follows what raft says about the leader.
func (p *Raft) noticeRole() {
	status := p.node.BasicStatus()
	leads := status.RaftState == raftLeader
	if status.Lead != etcd.None && status.GetTerm() != p.told {
		p.told = status.GetTerm()
		p.Info("a leader is elected", "leader", status.Lead-1, "term", status.GetTerm())
	}
	switch {
	case leads && !p.leads:
		p.leads, p.tried, p.held, p.quiet = true, 0, nil, false
		for i := range p.keys {
			p.heard[id(i)] = p.beats
		}
		if len(p.keys) > 1 {
			p.do(sdk.SetTimer(heartbeatTimer, ms(p.config.HeartbeatMs)))
		}
	case !leads && p.leads:
		p.leads = false
		p.giveUp()
		p.setElection()
		p.passOn()
	}
}

// heartbeat tells the others that this node leads. A leader that hears no majority is silent, so that they elect another one: they may hear it
// although it does not hear them.
func (p *Raft) heartbeat() {
	if !p.leads {
		return
	}
	p.beats++
	p.do(sdk.SetTimer(heartbeatTimer, ms(p.config.HeartbeatMs)))
	if heard := p.majority(); heard {
		p.quiet = false
		p.node.Tick()
	} else if !p.quiet {
		p.quiet = true
		p.Warn("this leader hears no majority of the validators: it decides nothing", "of", len(p.keys))
	}
}

// majority says whether this leader has heard a majority, itself included, within election_ms.
func (p *Raft) majority() bool {
	count := 1
	for i := range p.keys {
		if i != p.self && p.beats-p.heard[id(i)] <= uint64(p.config.ElectionMs/p.config.HeartbeatMs) {
			count++
		}
	}
	return count > len(p.keys)/2
}

// contact puts an election off: the leader was heard.
func (p *Raft) contact() {
	if p.refused != 0 && p.refused == p.node.BasicStatus().GetTerm() {
		return
	}
	p.leased, p.tried = true, 0
	p.setElection()
	p.passOn()
}

// passOn tells the leader that a block is demanded here. It is said again with each message of the leader until there is one.
func (p *Raft) passOn() {
	if p.node == nil || !p.demanded || p.leads {
		return
	}
	if leader := p.node.BasicStatus().Lead; leader != etcd.None {
		p.do(sdk.Send(p.keys[leader-1], sealMessage(demand, heightBytes(p.height))))
	}
}

// message takes a message of a validator. What is malformed costs a line in the log, once in a height for each validator.
func (p *Raft) message(e *sdk.Message) {
	from := -1
	for i, key := range p.keys {
		if equalKeys(key, e.GetFrom()) {
			from = i
		}
	}
	if p.node == nil || from < 0 || from == p.self {
		return
	}
	kind, body, err := openMessage(e.GetData())
	var m *raftpb.Message
	if err == nil && kind == ofRaft {
		m, err = readMessage(body, id(from), id(p.self))
	}
	switch {
	case err != nil:
		p.refuse(from, err.Error())
	case kind == demand:
		if len(body) == 8 && binary.BigEndian.Uint64(body) == p.height && p.leads {
			p.demanded = true
			p.seal()
		}
	case m == nil:
		p.refuse(from, "its kind is unknown")
	default:
		if why := p.impossible(m); why != "" {
			p.refuse(from, why)
			return
		}
		p.take(m)
	}
}

func (p *Raft) refuse(from int, why string) {
	if !p.warned[from] {
		p.warned[from] = true
		p.Warn("a message is refused", "from", from, "why", why)
	}
}

// take gives a message to raft.
func (p *Raft) take(m *raftpb.Message) {
	before := p.node.BasicStatus()
	if m.GetTerm() == before.GetTerm() {
		p.heard[m.GetFrom()] = p.beats
	}
	if m.GetType() == raftpb.MsgPreVote && (p.leased && !p.leads && before.Lead != etcd.None || p.leads && p.majority()) {
		return // there is a leader: a validator that has lost touch with it waits until it hears it again
	}
	switch m.GetType() {
	case raftpb.MsgApp:
		if m.GetTerm() >= before.GetTerm() {
			p.held = &held{message: m, given: -1}
			p.offer()
		} else {
			p.give(m)
		}
	default:
		p.give(m)
	}
	switch m.GetType() {
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap:
		if now := p.node.BasicStatus(); now.GetTerm() == m.GetTerm() && now.Lead == m.GetFrom() {
			p.contact()
		}
	}
}

func (p *Raft) give(m *raftpb.Message) {
	_ = p.node.Step(m) // an error says that it was left out
	p.flush()
}

// held is a message with entries whose blocks this node has to look at before it takes them: an entry is acknowledged by a validator that has its
// block and found it valid, so that no block is committed that only a dead leader has.
type held struct {
	message *raftpb.Message
	given   int // how many of its entries raft got; -1: it got nothing
}

// offer gives raft what it may have of the held message, and says whether that is more than before.
func (p *Raft) offer() bool {
	h := p.held
	if h == nil {
		return false
	}
	if h.message.GetTerm() < p.node.BasicStatus().GetTerm() {
		p.held = nil
		return false
	}
	n := 0
	for _, e := range h.message.GetEntries() {
		if !p.acceptable(e, h.message.GetCommit()) {
			break
		}
		n++
	}
	if n == len(h.message.GetEntries()) {
		p.held = nil
		p.give(h.message)
		return true
	}
	if n == h.given {
		return false
	}
	h.given = n
	if n == 0 && p.known(h.message) {
		return false // an acknowledgement would say nothing new
	}
	part := proto.CloneOf(h.message)
	part.Entries = part.GetEntries()[:n]
	p.give(part)
	return true
}

// known says whether a message, its entries apart, says nothing new.
func (p *Raft) known(m *raftpb.Message) bool {
	status := p.node.BasicStatus()
	term, err := p.log.store.Term(m.GetIndex())
	return status.GetTerm() == m.GetTerm() && status.Lead == m.GetFrom() && err == nil && term == m.GetLogTerm() && m.GetCommit() <= status.GetCommit()
}

// acceptable says whether an entry may be in the log of this node: it is committed, or in the log already, or about no block, or a past one, or the
// block is valid here.
func (p *Raft) acceptable(e *raftpb.Entry, committed uint64) bool {
	of, err := readEntry(e)
	if err != nil {
		return false // see impossible
	}
	if e.GetIndex() <= committed || of.height < p.height {
		return true
	}
	if term, err := p.log.store.Term(e.GetIndex()); err == nil && term == e.GetTerm() {
		return true
	}
	if of.height > p.height || p.deciding {
		return false
	}
	if _, final := p.committed[p.height]; final {
		return false
	}
	b := p.check(of)
	return b != nil && b.valid
}

// silent is the logger of etcd's raft: what it says is for its authors. What it calls fatal ends the plugin.
type silent struct{}

func (silent) Debug(...any)            {}
func (silent) Debugf(string, ...any)   {}
func (silent) Error(...any)            {}
func (silent) Errorf(string, ...any)   {}
func (silent) Info(...any)             {}
func (silent) Infof(string, ...any)    {}
func (silent) Warning(...any)          {}
func (silent) Warningf(string, ...any) {}

func (silent) Fatal(v ...any)                 { panic("raft: " + fmt.Sprint(v...)) }
func (silent) Fatalf(format string, v ...any) { panic("raft: " + fmt.Sprintf(format, v...)) }
func (silent) Panic(v ...any)                 { panic("raft: " + fmt.Sprint(v...)) }
func (silent) Panicf(format string, v ...any) { panic("raft: " + fmt.Sprintf(format, v...)) }
