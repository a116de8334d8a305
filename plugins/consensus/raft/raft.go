package raft

import (
	"encoding/binary"
	"fmt"
	"time"

	etcd "go.etcd.io/raft/v3"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Timers of the protocol.
const (
	electionTimer  = 1
	heartbeatTimer = 2 // of the leader
	retryTimer     = 3 // builds or validates again
)

// Bounds: blocks of one height that are looked at, and committed entries of heights that this node has not reached. What is beyond is left out;
// the core learns such blocks from peers.
const (
	maxBlocks    = 64
	maxCommitted = 1024
)

const raftLeader = etcd.StateLeader

// Raft is the state machine of one Run stream.
type Raft struct {
	sdk.Log
	config Config
	now    uint64
	keys   [][]byte
	self   int // place in the set; -1: this node only watches
	node   *etcd.RawNode
	log    *store
	out    sdk.Actions
	halted bool

	// What of the log is committed.
	index, term uint64               // of the newest committed entry
	reached     uint64               // highest height of a committed entry
	committed   map[uint64]committed // by height, those that are not decided here
	decidedAt   uint64               // index of the entry of the newest decided height

	// Of the height.
	height   uint64 // to be decided
	attempt  uint64 // newest
	building uint64 // open attempt of this node; 0: none
	sealed   bool
	mine     uint64 // attempt that was built and proposed last; 0: none
	checking uint64 // open attempt of a peer's block
	deciding bool   // Decide is sent
	blocks   map[proposed]*block
	pending  bool // there may be transactions that no attempt takes by itself
	demanded bool // a block is wanted now, even if it is empty
	paused   bool // building waits for retryTimer
	retrying bool // retryTimer runs
	held     *held

	election
}

// committed is an entry that names the block of a height.
type committed struct {
	proposed
	index, term uint64
}

// block is what is known of a block.
type block struct {
	attempt uint64
	valid   bool
	waits   bool   // asked again when retryTimer fires
	invalid uint64 // now_ms of the first verdict that it is invalid; 0: there was none
}

// New makes the state machine; the configuration in Start, if there is one, replaces this one.
func New(c Config) *Raft { return &Raft{config: c, self: -1} }

// Step implements sdk.Protocol.
func (p *Raft) Step(event *ordov1.ConsensusEvent) []*ordov1.Action {
	p.out, p.now = nil, event.GetNowMs()
	if p.halted {
		return nil
	}
	switch e := event.GetEvent().(type) {
	case *ordov1.ConsensusEvent_Start_:
		p.start(e.Start)
	case *ordov1.ConsensusEvent_Ready_:
		p.pending = true
	case *ordov1.ConsensusEvent_CreateBlock_:
		p.demand()
	case *ordov1.ConsensusEvent_Timer_:
		p.timer(e.Timer.GetId())
	case *ordov1.ConsensusEvent_Built_:
		p.built(e.Built)
	case *ordov1.ConsensusEvent_Verdict_:
		p.verdict(e.Verdict)
	case *ordov1.ConsensusEvent_Failed_:
		p.failed(e.Failed)
	case *ordov1.ConsensusEvent_Message_:
		p.message(e.Message)
	case *ordov1.ConsensusEvent_Decided_:
		p.decided(e.Decided)
	}
	for p.node != nil && !p.halted && p.settle() {
	}
	return p.out
}

func (p *Raft) do(actions ...*ordov1.Action) { p.out = append(p.out, actions...) }

func (p *Raft) halt(format string, args ...any) {
	p.halted = true
	p.do(sdk.Halt("raft: " + fmt.Sprintf(format, args...)))
}

func (p *Raft) start(e *sdk.Start) {
	if c, err := ParseConfig(e.GetConfig()); err == nil && len(e.GetConfig()) > 0 {
		p.config = c
	}
	p.committed = map[uint64]committed{}
	p.begin(e.GetHeight(), e.GetPending())
	set := e.GetValidators()
	if len(set) == 0 { // a chain of one sequencer
		set = []*ordov1.Validator{{Key: []byte("self")}}
		p.self = 0
	}
	voters := make([]uint64, len(set))
	for i, v := range set {
		p.keys, voters[i] = append(p.keys, v.GetKey()), id(i)
		if equalKeys(v.GetKey(), e.GetSelf()) {
			p.self = i
		}
		if v.GetPower() != set[0].GetPower() {
			p.Warn("the powers of the validators differ, and raft counts each of them as one", "validator", i, "power", v.GetPower())
		}
	}
	if p.self < 0 {
		return
	}
	if len(voters) > 1 {
		p.Warn(crashOnly)
	}
	var err error
	if p.log, err = openStore(e.GetState(), voters); err != nil {
		p.halt("%v: give this node the data folder that belongs to its key and its network", err)
		return
	}
	p.reached, p.index = p.log.start()
	p.node, err = etcd.NewRawNode(&etcd.Config{ID: id(p.self), ElectionTick: 1 << 40, HeartbeatTick: 1, Storage: p.log.store, Applied: p.index,
		MaxSizePerMsg: 64 << 10, MaxInflightMsgs: 64, PreVote: true, DisableProposalForwarding: true, Logger: silent{}})
	if err != nil {
		p.halt("%v", err)
		return
	}
	p.beginElections()
}

// id is that of a validator in raft, where 0 is none.
func id(place int) uint64 { return uint64(place) + 1 }

// begin begins a height.
func (p *Raft) begin(height, pending uint64) {
	p.height, p.attempt, p.building, p.mine, p.checking, p.deciding = height, 0, 0, 0, 0, false
	p.blocks, p.pending, p.demanded, p.paused = map[proposed]*block{}, pending > 0, false, false
	p.refused, p.warned = 0, map[int]bool{}
}

func (p *Raft) decided(e *sdk.Decided) {
	c, ok := p.committed[e.GetHeight()]
	if ok && c.value != string(e.GetValue()) {
		p.halt("block %d is %x in the log of the validators, and %x was learned from a peer: one of them has forked the chain", c.height, c.value, e.GetValue())
		return
	}
	p.begin(e.GetHeight()+1, e.GetPending())
	for height, c := range p.committed {
		if height < p.height {
			p.decidedAt = max(p.decidedAt, c.index)
			delete(p.committed, height)
		}
	}
	if p.node != nil {
		if err := p.log.compact(p.decidedAt); err != nil {
			p.halt("%v", err)
		}
	}
}

// settle carries on with what can be done now, and says whether there may be more.
func (p *Raft) settle() bool {
	p.flush()
	p.noticeRole()
	c, ok := p.committed[p.height]
	switch {
	case p.halted || p.deciding:
		return false
	case ok:
		if b := p.check(c.proposed); b != nil && b.valid {
			p.deciding = true
			certificate := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, c.term), c.index)
			p.do(sdk.Decide(b.attempt, []byte(c.value), certificate))
		}
		return false
	case p.offer():
		return true
	}
	p.build()
	return false
}

// flush carries out what raft wants: what is to be durable, then messages, then what is committed.
func (p *Raft) flush() {
	for !p.halted && p.node.HasReady() {
		rd := p.node.Ready()
		persist, err := p.log.take(rd)
		if err != nil {
			p.halt("%v", err)
			return
		}
		if persist != nil {
			p.do(persist)
		}
		var snapshots []uint64
		for _, m := range rd.Messages {
			data, err := canonical.Marshal(m)
			if err != nil {
				p.halt("%v", err)
				return
			}
			p.do(sdk.Send(p.keys[m.GetTo()-1], sealMessage(ofRaft, data)))
			if m.GetSnapshot() != nil {
				snapshots = append(snapshots, m.GetTo())
			}
		}
		if !etcd.IsEmptySnap(rd.Snapshot) {
			p.reached, p.index = p.log.start()
			p.term = rd.Snapshot.GetMetadata().GetTerm()
		}
		for _, e := range rd.CommittedEntries {
			block, err := readEntry(e)
			if err != nil {
				p.halt("entry %d: %v", e.GetIndex(), err)
				return
			}
			p.commit(committed{block, e.GetIndex(), e.GetTerm()})
		}
		p.node.Advance(rd)
		for _, to := range snapshots { // it holds a height and nothing else, and needs no time
			p.node.ReportSnapshot(to, etcd.SnapshotFinish)
		}
	}
}

// commit takes a committed entry. The first one of a height counts, at every node; heights rise.
func (p *Raft) commit(c committed) {
	p.index, p.term = c.index, c.term
	if c.height <= p.reached {
		return
	}
	p.reached = c.height
	switch {
	case c.height < p.height:
		p.decidedAt = c.index
	case len(p.committed) < maxCommitted:
		p.committed[c.height] = c
	}
}

// check says what is known of a block of this height, and has the core validate it when that is nothing. It is nil when the bound is passed.
func (p *Raft) check(of proposed) *block {
	b := p.blocks[of]
	if b == nil {
		if len(p.blocks) >= maxBlocks {
			return nil
		}
		b = &block{}
		p.blocks[of] = b
	}
	if b.valid || b.waits || p.checking != 0 {
		return b
	}
	p.giveUp()
	p.attempt++
	b.attempt, p.checking = p.attempt, p.attempt
	p.do(sdk.Validate(p.attempt, []byte(of.value), p.keys[of.builder]))
	return b
}

func (p *Raft) verdict(e *sdk.Verdict) {
	if e.GetAttempt() != p.checking || p.checking == 0 {
		return
	}
	for of, b := range p.blocks {
		if b.attempt == p.checking {
			p.judged(of, b, e)
		}
	}
	p.checking = 0
}

// judged takes the verdict on a block. One that is invalid is tried again: its time is compared with the clock of this node.
func (p *Raft) judged(of proposed, b *block, e *sdk.Verdict) {
	if b.valid = e.GetValid(); b.valid {
		p.refused = 0
		return
	}
	b.waits = true
	p.retry()
	if e.GetMissing() {
		return
	}
	_, final := p.committed[p.height]
	if !final { // the leader of a block that is invalid here is none to wait for
		p.refused, p.leased = p.node.BasicStatus().GetTerm(), false
	}
	if b.invalid == 0 {
		b.invalid = p.now
		p.Error("a block is invalid here", "value", fmt.Sprintf("%x", of.value), "builder", of.builder, "committed", final, "reason", e.GetReason())
	}
	if final && p.now >= b.invalid+uint64(p.config.InvalidHaltMs) {
		p.halt("block %d is committed by the validators as %x, and is invalid here for %v: %s: compare the version and the clock of this node with those of the others",
			p.height, of.value, ms(p.config.InvalidHaltMs), e.GetReason())
	}
}

// build opens an attempt when this node leads, has decided all that is in the log, and there is a reason for a block.
func (p *Raft) build() {
	status := p.node.BasicStatus()
	last, _ := p.log.store.LastIndex()
	switch {
	case status.RaftState != raftLeader || p.index != last || p.term != status.GetTerm():
	case p.height <= p.reached || p.building != 0 || p.checking != 0 || p.paused || !p.pending && !p.demanded:
	default:
		if p.mine != 0 { // its entry was overwritten
			p.do(sdk.Abandon(p.mine))
			p.forget(p.mine)
		}
		p.attempt++
		p.building, p.sealed, p.pending = p.attempt, false, false
		p.do(sdk.Build(&sdk.BuildAction{Attempt: p.attempt, Round: uint32(status.GetTerm()), DeadlineMs: p.config.BlockMs, IdleMs: p.config.IdleMs,
			AllowEmpty: p.demanded, Publish: true}))
		p.seal()
	}
}

func (p *Raft) forget(attempt uint64) {
	for of, b := range p.blocks {
		if b.attempt == attempt {
			delete(p.blocks, of)
		}
	}
	p.mine = 0
}

func (p *Raft) seal() {
	if p.demanded && p.building != 0 && !p.sealed {
		p.sealed = true
		p.do(sdk.Seal(p.building))
	}
}

// giveUp abandons the open attempt of this node.
func (p *Raft) giveUp() {
	if p.building != 0 {
		p.do(sdk.Abandon(p.building))
		p.building, p.pending = 0, true
	}
}

func (p *Raft) built(e *sdk.Built) {
	if e.GetAttempt() != p.building || p.building == 0 {
		return
	}
	p.building = 0
	of := proposed{p.height, p.self, string(e.GetValue())}
	if err := p.node.Propose(of.bytes()); err != nil {
		p.do(sdk.Abandon(e.GetAttempt()))
		p.pause()
		return
	}
	p.mine = e.GetAttempt()
	p.blocks[of] = &block{attempt: e.GetAttempt(), valid: true}
}

func (p *Raft) failed(e *sdk.Failed) {
	switch attempt := e.GetAttempt(); {
	case attempt == 0:
	case attempt == p.building:
		p.building = 0
		p.pending = p.pending || !e.GetEmpty()
		p.pause()
	case attempt == p.checking:
		p.verdict(&sdk.Verdict{Attempt: attempt, Missing: true})
	}
}

// demand asks for a block now: of this node when it leads, else of the leader.
func (p *Raft) demand() {
	p.demanded = true
	p.seal()
	p.passOn()
}

func (p *Raft) pause() {
	p.paused = true
	p.retry()
}

func (p *Raft) retry() {
	if !p.retrying {
		p.retrying = true
		p.do(sdk.SetTimer(retryTimer, ms(p.config.RetryMs)))
	}
}

func (p *Raft) timer(id uint64) {
	switch {
	case p.node == nil:
	case id == electionTimer:
		p.electionExpired()
	case id == heartbeatTimer:
		p.heartbeat()
	case id == retryTimer:
		p.retrying, p.paused = false, false
		for _, b := range p.blocks {
			b.waits = false
		}
	}
}

var _ sdk.Protocol = (*Raft)(nil)

// after is the time in which a follower that hears no leader stands for election.
func after(low, high time.Duration, draw uint64) time.Duration {
	return low + time.Duration(draw%uint64(max((high-low).Milliseconds(), 1)))*time.Millisecond
}
