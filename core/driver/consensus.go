package driver

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// consensus is the stage that decides: events go out on one stream, actions come back. Its methods are the loop's.
type consensus struct {
	port   port
	log    hclog.Logger
	client ordov1.ConsensusClient
	peers  Peers // nil: none
	// follows says that the plugin only verifies certificates: blocks are learned, and no event reaches it.
	follows  bool
	recorder Recorder // nil: none
	at       *consensusStream
	talk     talk
	unsent   atomic.Bool // a message for peers was dropped
	found    evidence
}

// Peers are the other nodes, as consensus needs them; *network.Mesh implements it. Its methods do not block.
type Peers interface {
	// Send gives a message of consensus to a validator, or to all others when to is empty. It may be lost.
	Send(to, message []byte)
	// Publish gives the body of a proposal to all peers. They may also ask for it by its value.
	Publish(height uint64, round uint32, value, body []byte)
	// Keep serves the body of a value that is the caller's own again, or was found valid, to peers and to Fetch, until its height is decided.
	Keep(height uint64, value, body []byte)
	// Fetch finds the body of a value: here, or at a peer, first at the one named. answer is called once, with nil when none has it.
	Fetch(ctx context.Context, value, from []byte, answer func(body []byte))
}

// Recorder keeps what goes between the core and consensus. Its methods do not block.
type Recorder interface {
	// Begin is called for each instance of the plugin.
	Begin() RunRecorder
}

// RunRecorder keeps what goes between the core and one instance.
type RunRecorder interface {
	Event(*ordov1.ConsensusEvent)
	Actions(*ordov1.Actions)
}

// consensusStream is the Run stream of one instance.
type consensusStream struct {
	*instance
	record RunRecorder // nil: none
	stream ordov1.Consensus_RunClient
	events queue[*ordov1.ConsensusEvent]
}

// connect implements stage.
func (c *consensus) connect(i *instance, _ *pipeline.StageUp) (takeUp func(), err error) {
	s := &consensusStream{instance: i}
	if c.follows {
		return func() {
			c.at = s
			s.run(func() { s.answerNothing() })
		}, nil
	}
	if s.stream, err = c.client.Run(i.ctx); err != nil {
		return nil, err
	}
	return func() {
		c.at = s
		if c.recorder != nil {
			s.record = c.recorder.Begin()
		}
		s.run(s.sendEvents)
		s.run(func() { s.recvActions(&c.talk) })
	}, nil
}

func (c *consensus) current() *instance { return c.at.instance }

func (c *consensus) down() {}

// tell queues an event.
func (c *consensus) tell(event *ordov1.ConsensusEvent) {
	c.talk.tell(event)
	c.at.events.push(event)
}

// send gives a message to the peers. Without any it is dropped, and logged as a warning once.
func (c *consensus) send(message pipeline.Send) {
	if c.peers != nil {
		c.peers.Send(message.To, message.Data)
		return
	}
	if c.unsent.CompareAndSwap(false, true) {
		c.log.Warn("consensus sends messages, and this node has no peers: they are dropped", "to", message.To, "bytes", len(message.Data))
		return
	}
	c.log.Debug("no peers: message of consensus dropped", "to", message.To, "bytes", len(message.Data))
}

// publish gives the body of a proposal to the peers.
func (c *consensus) publish(p pipeline.Publish) {
	if c.peers != nil {
		c.peers.Publish(p.Height, p.Round, p.Value, p.Body)
	}
}

// keep serves the body of a proposal.
func (c *consensus) keep(k pipeline.Keep) {
	if c.peers != nil {
		c.peers.Keep(k.Height, k.Value, k.Body)
	}
}

// fetch finds the body of a proposal.
func (c *consensus) fetch(f pipeline.Fetch) {
	answer := func(body []byte) { c.port.post(pipeline.Fetched{Build: f.Build, Body: body}) }
	if c.peers == nil {
		answer(nil)
		return
	}
	c.peers.Fetch(c.at.ctx, f.Value, f.From, answer)
}

// report keeps evidence and tells the operator.
func (c *consensus) report(r pipeline.Report) {
	if n := c.found.add(Evidence{Kind: r.Kind, About: r.About, Data: r.Data, Time: time.Now()}); n == 1 || n%reportEvery == 0 {
		c.log.Error("consensus reports a validator", "kind", r.Kind, "validator", hex.EncodeToString(r.About), "bytes", len(r.Data), "times", n)
	}
}

// Evidence is what consensus found a validator to have done.
type Evidence struct {
	Kind        string
	About, Data []byte
	Time        time.Time
}

// evidence keeps the newest reports. Safe for concurrent use.
type evidence struct {
	mu     sync.Mutex
	newest []Evidence
	count  uint64
	times  map[string]uint64 // by kind and validator
}

// maxEvidence and maxProof bound what is kept of reports: a plugin writes them for as long as a validator misbehaves.
const (
	maxEvidence = 100
	maxProof    = 64 << 10
	maxReported = 10_000 // kinds and validators that are told apart
	reportEvery = 1000   // a validator that misbehaves at each height is logged at the first and at each so many
)

// add keeps a report, and says how many there were of this kind about this validator.
func (e *evidence) add(one Evidence) (times uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count++
	one.Data = one.Data[:min(len(one.Data), maxProof)]
	if e.newest = append(e.newest, one); len(e.newest) > maxEvidence {
		e.newest = slices.Delete(e.newest, 0, 1)
	}
	key := one.Kind + "\x00" + string(one.About)
	if e.times == nil || len(e.times) >= maxReported {
		e.times = map[string]uint64{}
	}
	e.times[key]++
	return e.times[key]
}

// Evidence is the newest that consensus has reported, and how many reports there were.
func (d *Driver) Evidence() (newest []Evidence, count uint64) {
	e := &d.consensus.found
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.newest), e.count
}

func (s *consensusStream) sendEvents() {
	defer func() { _ = s.stream.CloseSend() }()
	for s.ctx.Err() == nil {
		for _, event := range s.events.take(s.ctx) {
			s.pending.add(1)
			if s.record != nil {
				s.record.Event(event)
			}
			if err := s.stream.Send(event); err != nil {
				return // recvActions gets the reason
			}
		}
	}
}

// answerNothing answers each event of a node that takes no part in consensus.
func (s *consensusStream) answerNothing() {
	for s.ctx.Err() == nil {
		for _, event := range s.events.take(s.ctx) {
			s.port.post(pipeline.Answered{Actions: &ordov1.Actions{Seq: event.Seq}})
		}
	}
}

func (s *consensusStream) recvActions(t *talk) {
	for {
		actions, err := s.stream.Recv()
		if err != nil {
			s.suspect(fmt.Errorf("its stream ended: %w", err))
			return
		}
		if actions.GetSeq() != 0 { // else of an engine that acts by itself
			s.pending.received(1)
		}
		if s.record != nil {
			s.record.Actions(actions)
		}
		t.hear(time.Now(), actions.GetActions())
		s.port.post(pipeline.Answered{Actions: actions})
	}
}
