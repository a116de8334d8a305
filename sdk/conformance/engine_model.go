package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// engineBody is a block of the model: its value is the hash of its JSON.
type engineBody struct {
	Height       uint64
	Parent       []byte
	Proposer     []byte
	Transactions []int
	Nonce        uint64
}

// engineBlock is a decided one.
type engineBlock struct{ value, certificate, body []byte }

// engineCore is the core of one node, for engines: it keeps the books of its chain, in real time, and fails the test at the first action
// that a core would have to refuse. It outlives the plugin's process, as a core does.
type engineCore struct {
	t          *testing.T
	self       []byte
	validators []*ordov1.Validator
	refuse     string // why each proposal is invalid; "": those that are right are valid

	mu       sync.Mutex
	changed  *sync.Cond
	chain    []engineBlock // of heights 1, 2, ...
	pool     map[int]bool
	told     bool // Ready was told since the pool was empty, or since the last block
	open     *ordov1.Action_Build
	bodies   map[uint64][]byte // what was built or found valid at this height
	used     map[uint64]bool
	deciding bool // Decide came, and Decided was not told yet
	nonce    uint64

	reports []*ordov1.Action_Report
	halted  string
	unasked int // actions that answer no event

	stream   ordov1.Consensus_RunClient
	cancel   context.CancelFunc // of the stream
	ended    error
	seq      uint64
	answered uint64
	messages int
	cut      int    // at so many messages of the stream, sent or received, it ends; 0: it does not
	cutting  func() // in place of cancel
}

func newEngineCore(t *testing.T, self []byte, validators []*ordov1.Validator) *engineCore {
	c := &engineCore{t: t, self: self, validators: validators, pool: map[int]bool{}}
	c.changed = sync.NewCond(&c.mu)
	return c
}

func (c *engineCore) height() uint64 { return uint64(len(c.chain)) + 1 }

// startEvent is what the core tells a new instance.
func (c *engineCore) startEvent() *ordov1.ConsensusEvent_Start {
	start := &ordov1.ConsensusEvent_Start{Height: c.height(), Pending: uint64(len(c.pool)), Validators: c.validators, Self: c.self, Scheme: "ed25519", ChainId: engineChain}
	if n := len(c.chain); n > 0 {
		start.Parent = &ordov1.ConsensusEvent_Parent{Value: c.chain[n-1].value, Certificate: c.chain[n-1].certificate}
	}
	return start
}

// connect opens a stream to an instance of the plugin. The stream before is void.
func (c *engineCore) connect(client ordov1.ConsensusClient) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c.t.Cleanup(cancel)
	stream, err := client.Run(ctx)
	if err != nil {
		cancel()
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.stream, c.cancel, c.seq, c.answered, c.messages, c.open, c.ended, c.deciding = stream, cancel, 0, 0, 0, nil, nil, false
	c.bodies, c.used, c.told = map[uint64][]byte{}, map[uint64]bool{}, false
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Start_{Start: c.startEvent()}})
	c.ready()
	c.mu.Unlock()
	go func() {
		for {
			actions, err := stream.Recv()
			c.mu.Lock()
			switch {
			case c.stream != stream:
			case err != nil:
				c.ended = err
				c.changed.Broadcast()
			default:
				c.take(actions)
			}
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
}

// count ends the stream where a test wants it to end.
func (c *engineCore) count() {
	if c.messages++; c.messages == c.cut {
		c.cut = 0
		if c.cutting != nil {
			c.cutting()
		}
		c.cancel()
	}
}

func (c *engineCore) send(e *ordov1.ConsensusEvent) {
	c.seq++
	e.Seq, e.NowMs = c.seq, uint64(time.Now().UnixMilli())
	_ = c.stream.Send(e) // Recv gets the reason
	c.count()
}

func (c *engineCore) take(actions *ordov1.Actions) {
	if seq := actions.GetSeq(); seq == 0 {
		c.unasked += len(actions.GetActions())
	} else if c.answered++; seq != c.answered || seq > c.seq {
		c.t.Errorf("an answer to event %d, want one to %d of %d", seq, c.answered, c.seq)
	}
	for _, a := range actions.GetActions() {
		c.act(a)
	}
	c.count()
	c.changed.Broadcast()
}

// begin takes the number of an attempt.
func (c *engineCore) begin(attempt uint64) {
	if attempt == 0 || c.used[attempt] {
		c.t.Errorf("height %d: attempt %d is named twice", c.height(), attempt)
	}
	c.used[attempt] = true
	c.open = nil
}

func (c *engineCore) act(action *ordov1.Action) {
	if c.halted != "" {
		return // the node stops
	}
	switch action.GetAction().(type) {
	case *ordov1.Action_Build_, *ordov1.Action_Validate_, *ordov1.Action_Decide_, *ordov1.Action_Seal_:
		if c.deciding {
			c.t.Errorf("height %d: %v came between Decide and Decided", c.height(), action)
		}
	}
	switch a := action.GetAction().(type) {
	case *ordov1.Action_Build_:
		c.begin(a.Build.GetAttempt())
		c.openBuild(a.Build)
	case *ordov1.Action_Seal_:
		if !c.used[a.Seal.GetAttempt()] {
			c.t.Errorf("height %d: attempt %d is sealed and was never begun", c.height(), a.Seal.GetAttempt())
		}
		if c.open.GetAttempt() == a.Seal.GetAttempt() && c.open != nil {
			c.build()
		}
	case *ordov1.Action_Abandon_:
		if c.open.GetAttempt() == a.Abandon.GetAttempt() {
			c.open = nil
		}
	case *ordov1.Action_Validate_:
		c.validate(a.Validate)
	case *ordov1.Action_Decide_:
		c.decide(a.Decide)
	case *ordov1.Action_Report_:
		c.reports = append(c.reports, a.Report)
	case *ordov1.Action_Halt_:
		if c.halted = a.Halt.GetReason(); c.halted == "" {
			c.t.Error("a halt without a reason")
			c.halted = "?"
		}
	case *ordov1.Action_SetTimer_:
		c.after(time.Duration(a.SetTimer.GetAfterMs())*time.Millisecond, func() {
			c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: a.SetTimer.GetId()}}})
		})
	case *ordov1.Action_CancelTimer_:
	default: // Persist, Sign and Send are an engine's own affair
		c.t.Errorf("an action that an engine does not ask a core for: %v", action)
	}
}

// after does something later, unless the stream is another one then.
func (c *engineCore) after(d time.Duration, do func()) {
	stream := c.stream
	time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.stream == stream && c.ended == nil && c.halted == "" {
			do()
		}
	})
}

func (c *engineCore) openBuild(b *ordov1.Action_Build) {
	c.open = b
	if len(c.pool) > 0 {
		c.build()
		return
	}
	if b.GetDeadlineMs() > 0 {
		c.after(time.Duration(b.GetDeadlineMs())*time.Millisecond, func() {
			if c.open == b {
				c.build()
			}
		})
	}
}

// build closes the open attempt with what the pool has.
func (c *engineCore) build() {
	b := c.open
	c.open = nil
	if len(c.pool) == 0 && !b.GetAllowEmpty() {
		c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Failed_{Failed: &ordov1.ConsensusEvent_Failed{Attempt: b.GetAttempt(), Empty: true}}})
		c.told = false
		c.ready()
		return
	}
	c.nonce++
	body := engineBody{Height: c.height(), Parent: c.tip(), Proposer: c.self, Transactions: slices.Sorted(maps.Keys(c.pool)), Nonce: c.nonce}
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Error(err)
	}
	c.bodies[b.GetAttempt()] = raw
	value := sha256.Sum256(raw)
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Built_{Built: &ordov1.ConsensusEvent_Built{
		Attempt: b.GetAttempt(), Value: value[:], N: uint64(len(body.Transactions)), Proposal: raw}}})
}

func (c *engineCore) tip() []byte {
	if n := len(c.chain); n > 0 {
		return c.chain[n-1].value
	}
	return nil
}

func (c *engineCore) validate(v *ordov1.Action_Validate) {
	c.begin(v.GetAttempt())
	reason := c.wrong(v)
	if reason == "" {
		c.bodies[v.GetAttempt()] = v.GetProposal()
	}
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Verdict_{Verdict: &ordov1.ConsensusEvent_Verdict{
		Attempt: v.GetAttempt(), Valid: reason == "", Value: v.GetValue(), Reason: reason}}})
}

func (c *engineCore) wrong(v *ordov1.Action_Validate) string {
	var b engineBody
	value := sha256.Sum256(v.GetProposal())
	switch err := json.Unmarshal(v.GetProposal(), &b); {
	case c.refuse != "":
		return c.refuse
	case err != nil:
		return err.Error()
	case !bytes.Equal(value[:], v.GetValue()):
		return "another value"
	case b.Height != c.height() || !bytes.Equal(b.Parent, c.tip()):
		return fmt.Sprintf("it does not follow block %d", c.height()-1)
	case !bytes.Equal(b.Proposer, v.GetFrom()):
		return "the proposer is another"
	}
	return ""
}

// decidedAfter is how long the model takes to store a block: actions about the next height in this time are a fault.
const decidedAfter = 2 * time.Millisecond

func (c *engineCore) decide(d *ordov1.Action_Decide) {
	raw := c.bodies[d.GetAttempt()]
	value := sha256.Sum256(raw)
	if raw == nil || !bytes.Equal(value[:], d.GetValue()) {
		c.t.Errorf("height %d: attempt %d is decided as %x, and was not built or found valid with that value at this height", c.height(), d.GetAttempt(), d.GetValue())
		return
	}
	var b engineBody
	if err := json.Unmarshal(raw, &b); err != nil {
		c.t.Error(err)
	}
	for _, tx := range b.Transactions {
		delete(c.pool, tx)
	}
	height := c.height()
	c.chain = append(c.chain, engineBlock{d.GetValue(), d.GetCertificate(), raw})
	c.bodies, c.used, c.open, c.deciding = map[uint64][]byte{}, map[uint64]bool{}, nil, true
	c.after(decidedAfter, func() {
		c.deciding = false
		c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Decided_{Decided: &ordov1.ConsensusEvent_Decided{
			Height: height, Value: d.GetValue(), Pending: uint64(len(c.pool))}}})
		c.told = false
		c.ready()
	})
}

func (c *engineCore) ready() {
	if !c.told && len(c.pool) > 0 && c.open == nil && !c.deciding {
		c.told = true
		c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Ready_{Ready: &ordov1.ConsensusEvent_Ready{Pending: uint64(len(c.pool))}}})
	}
}
