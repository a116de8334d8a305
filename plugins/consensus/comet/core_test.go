package comet_test

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

// body is a block of the model core: its value is the hash of its JSON.
type body struct {
	Height   uint64
	Parent   []byte
	Proposer []byte
	Txs      []int
	Nonce    uint64
}

// decision is a decided block of a core.
type decision struct{ value, certificate, body []byte }

// core plays the core of one node: it keeps the books of its chain and fails the test at the first action that a core would refuse. It
// outlives the plugin's process, as the core does.
type core struct {
	t          *testing.T
	self       []byte
	validators []*ordov1.Validator

	mu       sync.Mutex
	changed  *sync.Cond
	chain    []decision // of heights 1, 2, ...
	pool     map[int]bool
	told     bool // Ready was told since the pool was empty, or since the last block
	demand   bool
	open     *ordov1.Action_Build
	bodies   map[uint64][]byte // what was built or found valid at this height
	used     map[uint64]bool
	reports  []*ordov1.Action_Report
	halted   string
	ended    error
	stream   ordov1.Consensus_RunClient
	seq      uint64
	answered uint64
	nonce    uint64
}

func newCore(t *testing.T, self []byte, validators []*ordov1.Validator) *core {
	c := &core{t: t, self: self, validators: validators, pool: map[int]bool{}}
	c.changed = sync.NewCond(&c.mu)
	return c
}

func (c *core) height() uint64 { return uint64(len(c.chain)) + 1 }

// connect opens a stream to an instance of the plugin. The stream before is void.
func (c *core) connect(ctx context.Context, client ordov1.ConsensusClient) {
	stream, err := client.Run(ctx)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.mu.Lock()
	c.stream, c.seq, c.answered, c.open, c.ended = stream, 0, 0, nil, nil
	c.bodies, c.used = map[uint64][]byte{}, map[uint64]bool{}
	start := &ordov1.ConsensusEvent_Start{Height: c.height(), Pending: uint64(len(c.pool)), Validators: c.validators, Self: c.self, Scheme: "ed25519", ChainId: chainID}
	if n := len(c.chain); n > 0 {
		start.Parent = &ordov1.ConsensusEvent_Parent{Value: c.chain[n-1].value, Certificate: c.chain[n-1].certificate}
	}
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Start_{Start: start}})
	c.told = false
	c.ready()
	c.mu.Unlock()
	go func() {
		for {
			actions, err := stream.Recv()
			c.mu.Lock()
			if err != nil {
				if c.stream == stream {
					c.ended = err
					c.changed.Broadcast()
				}
				c.mu.Unlock()
				return
			}
			if c.stream == stream {
				c.take(actions)
			}
			c.mu.Unlock()
		}
	}()
}

func (c *core) send(e *ordov1.ConsensusEvent) {
	c.seq++
	e.Seq, e.NowMs = c.seq, uint64(time.Now().UnixMilli())
	_ = c.stream.Send(e) // Recv gets the reason
}

func (c *core) take(actions *ordov1.Actions) {
	if seq := actions.GetSeq(); seq > 0 {
		if c.answered++; seq != c.answered || seq > c.seq {
			c.t.Errorf("answer to event %d, want to %d of %d", seq, c.answered, c.seq)
		}
	}
	for _, a := range actions.GetActions() {
		c.act(a)
	}
	c.changed.Broadcast()
}

func (c *core) name(attempt uint64) {
	if attempt == 0 || c.used[attempt] {
		c.t.Errorf("attempt %d is used twice at height %d", attempt, c.height())
	}
	c.used[attempt] = true
	c.open = nil
}

func (c *core) act(action *ordov1.Action) {
	switch a := action.GetAction().(type) {
	case *ordov1.Action_Build_:
		c.name(a.Build.GetAttempt())
		c.open = a.Build
		if len(c.pool) > 0 {
			c.build()
			return
		}
		build := a.Build
		time.AfterFunc(time.Duration(build.GetDeadlineMs())*time.Millisecond, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.open == build {
				c.build()
			}
		})
	case *ordov1.Action_Seal_:
		if c.open != nil && c.open.GetAttempt() == a.Seal.GetAttempt() {
			c.build()
		}
	case *ordov1.Action_Validate_:
		c.name(a.Validate.GetAttempt())
		reason := c.check(a.Validate)
		if reason == "" {
			c.bodies[a.Validate.GetAttempt()] = a.Validate.GetProposal()
		}
		c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Verdict_{Verdict: &ordov1.ConsensusEvent_Verdict{
			Attempt: a.Validate.GetAttempt(), Valid: reason == "", Value: a.Validate.GetValue(), Reason: reason}}})
	case *ordov1.Action_Decide_:
		c.decide(a.Decide)
	case *ordov1.Action_Report_:
		c.reports = append(c.reports, a.Report)
	case *ordov1.Action_Halt_:
		c.halted = a.Halt.GetReason()
	case *ordov1.Action_SetTimer_:
		id, stream := a.SetTimer.GetId(), c.stream
		time.AfterFunc(time.Duration(a.SetTimer.GetAfterMs())*time.Millisecond, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.stream == stream {
				c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: id}}})
			}
		})
	default:
		c.t.Errorf("an action that a core does not expect of an engine: %v", action)
	}
}

// build closes the open attempt with what the pool has.
func (c *core) build() {
	b := c.open
	c.open = nil
	if len(c.pool) == 0 && !b.GetAllowEmpty() {
		c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Failed_{Failed: &ordov1.ConsensusEvent_Failed{Attempt: b.GetAttempt(), Empty: true}}})
		c.told = false
		c.ready()
		return
	}
	c.nonce++
	block := body{Height: c.height(), Parent: c.tip(), Proposer: c.self, Txs: slices.Sorted(maps.Keys(c.pool)), Nonce: c.nonce}
	raw, _ := json.Marshal(block)
	c.bodies[b.GetAttempt()] = raw
	value := sha256.Sum256(raw)
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Built_{Built: &ordov1.ConsensusEvent_Built{
		Attempt: b.GetAttempt(), Value: value[:], N: uint64(len(block.Txs)), Proposal: raw}}})
}

func (c *core) tip() []byte {
	if n := len(c.chain); n > 0 {
		return c.chain[n-1].value
	}
	return nil
}

func (c *core) check(v *ordov1.Action_Validate) string {
	var b body
	value := sha256.Sum256(v.GetProposal())
	switch err := json.Unmarshal(v.GetProposal(), &b); {
	case err != nil:
		return err.Error()
	case !bytes.Equal(value[:], v.GetValue()):
		return "another value"
	case b.Height != c.height() || !bytes.Equal(b.Parent, c.tip()):
		return fmt.Sprintf("it does not follow block %d", c.height()-1)
	case !bytes.Equal(b.Proposer, v.GetFrom()):
		return "it pays another"
	}
	return ""
}

func (c *core) decide(d *ordov1.Action_Decide) {
	raw := c.bodies[d.GetAttempt()]
	value := sha256.Sum256(raw)
	if raw == nil || !bytes.Equal(value[:], d.GetValue()) {
		c.t.Errorf("height %d: attempt %d is decided as %x", c.height(), d.GetAttempt(), d.GetValue())
		return
	}
	var b body
	_ = json.Unmarshal(raw, &b)
	for _, tx := range b.Txs {
		delete(c.pool, tx)
	}
	height := c.height()
	c.chain = append(c.chain, decision{d.GetValue(), d.GetCertificate(), raw})
	c.bodies, c.used, c.open, c.demand = map[uint64][]byte{}, map[uint64]bool{}, nil, false
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Decided_{Decided: &ordov1.ConsensusEvent_Decided{
		Height: height, Value: d.GetValue(), Pending: uint64(len(c.pool))}}})
	c.told = false
	c.ready()
}

func (c *core) ready() {
	if !c.told && len(c.pool) > 0 && c.open == nil {
		c.told = true
		c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Ready_{Ready: &ordov1.ConsensusEvent_Ready{Pending: uint64(len(c.pool))}}})
	}
}

// add puts a transaction into the pool.
func (c *core) add(tx int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool[tx] = true
	if c.open != nil && c.stream != nil {
		c.build()
	} else if c.stream != nil {
		c.ready()
	}
}

// createBlock is the wish of an operator.
func (c *core) createBlock() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_CreateBlock_{CreateBlock: &ordov1.ConsensusEvent_CreateBlock{}}})
}

// until waits for something of this core.
func (c *core) until(what string, limit time.Duration, wish func() bool) {
	c.t.Helper()
	expired := false
	timer := time.AfterFunc(limit, func() {
		c.mu.Lock()
		expired = true
		c.changed.Broadcast()
		c.mu.Unlock()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !wish() {
		if expired {
			c.t.Fatalf("not within %s: %s; height %d, halted %q, stream %v", limit, what, c.height(), c.halted, c.ended)
		}
		c.changed.Wait()
	}
}

// snapshot is the chain as it is now.
func (c *core) snapshot() []decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.chain[:len(c.chain):len(c.chain)]
}

// blocks waits until the chain has so many blocks.
func (c *core) blocks(n int) {
	c.t.Helper()
	c.until(fmt.Sprintf("block %d", n), time.Minute, func() bool { return len(c.chain) >= n })
}
