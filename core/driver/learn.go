package driver

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// DecidedBlock is a block as nodes hand it to each other: what it can be executed again from, and the proof that it was decided.
type DecidedBlock struct {
	Height      uint64
	Value       []byte // that consensus decided: partial hash, or hash of the order
	Body        []byte // an ordo.v1.Proposal
	Certificate []byte
}

// WrongBlock is the fault of the node that a block came from.
type WrongBlock struct{ Why string }

func (e *WrongBlock) Error() string { return e.Why }

// Decided reads a decided block for another node; nil when storage does not have it. Of block 0 the body has the context alone: its state is
// what the settings of a chain make it.
func (d *Driver) Decided(ctx context.Context, height uint64) (*DecidedBlock, error) {
	b, err := readBlock(ctx, d.read.client, height, true)
	if err != nil || b == nil {
		return nil, err
	}
	body, err := d.bodyOf(ctx, d.read.client, b)
	if err != nil {
		return nil, err
	}
	value, certificate, err := d.decidedAs(b)
	if err != nil {
		return nil, err
	}
	return &DecidedBlock{Height: height, Value: value, Body: body, Certificate: certificate}, nil
}

// Learn executes a block that other nodes decided, and returns when this node has decided it, too. A *WrongBlock is the fault of the
// node that it came from. Heights come one after the other; one that is past is nil.
func (d *Driver) Learn(ctx context.Context, b *DecidedBlock) error {
	next := d.chain.Next().GetNumber()
	switch {
	case b.Height < next:
		return nil
	case b.Height > next:
		return fmt.Errorf("learn: block %d comes, block %d is next", b.Height, next)
	}
	learned, err := d.readLearned(ctx, b)
	if err != nil {
		return err
	}
	result := make(chan string, 1)
	d.learning.set(b.Height, result)
	defer d.learning.clear(b.Height)
	d.post(*learned)
	for {
		changed := d.chain.Changed()
		if d.chain.Next().GetNumber() > b.Height {
			return nil
		}
		select {
		case <-changed:
		case why := <-result:
			return &WrongBlock{fmt.Sprintf("block %d: %s", b.Height, why)}
		case <-ctx.Done():
			return ctx.Err()
		case <-d.done:
			return ErrStopped
		}
	}
}

// readLearned checks what can be checked of a learned block before it is executed: hashes, classes, and whether its certificate proves it.
func (d *Driver) readLearned(ctx context.Context, b *DecidedBlock) (*pipeline.Learned, error) {
	wrong := func(format string, args ...any) error {
		return &WrongBlock{fmt.Sprintf("block %d: ", b.Height) + fmt.Sprintf(format, args...)}
	}
	p, why := pipeline.ReadLearned(b.Height, b.Value, b.Body)
	if why != "" {
		return nil, wrong("%s", why)
	}
	if kind := d.kindOf(p); kind != "" {
		return nil, wrong("%s", kind)
	}
	proven, err := d.verify(ctx, b)
	if err != nil {
		return nil, err
	}
	d.pool.mu.Lock()
	wrongContext := d.machine.CheckLearned(p)
	d.pool.mu.Unlock()
	if wrongContext != "" {
		return nil, wrong("%s", wrongContext)
	}
	classes := map[mempool.Key]*ordov1.Class{}
	invalid, err := d.execution.proposals.invalid(ctx, p, classes)
	if err != nil {
		return nil, fmt.Errorf("learn: block %d: execution: %w", b.Height, err)
	}
	if invalid != "" {
		return nil, wrong("%s", invalid)
	}
	learned := &pipeline.Learned{Height: b.Height, Proven: proven, Decided: pipeline.Decided{Context: p.Context, Value: b.Value, Certificate: b.Certificate, FromPeer: true,
		Parent: p.ParentResult, Rest: p.Rest}}
	for _, tx := range p.Transactions {
		item := pipeline.Item{Tx: tx}
		if tx.Type == ordov1.TransactionType_DECLARE {
			item.Class = classes[mempool.Key(tx.ClassHash)]
		}
		learned.Items = append(learned.Items, item)
	}
	return learned, nil
}

// verify asks the consensus plugin whether a certificate proves its block. Where no certificate can, the block is as good as the node
// that it came from: proven is false.
func (d *Driver) verify(ctx context.Context, b *DecidedBlock) (proven bool, err error) {
	n := &d.options.Network
	if !d.options.Certificates || len(n.Validators) == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.options.CallLimit)
	defer cancel()
	v, err := d.consensus.client.Verify(ctx, &ordov1.VerifyRequest{ChainId: n.ChainID, Height: b.Height, Value: b.Value, Certificate: b.Certificate,
		Validators: n.Validators, Scheme: n.Scheme})
	if err != nil {
		return false, fmt.Errorf("learn: block %d: consensus: verify: %w", b.Height, err)
	}
	if !v.Valid {
		return false, &WrongBlock{fmt.Sprintf("block %d: its certificate proves nothing: %s", b.Height, v.Reason)}
	}
	return true, nil
}

// learning tells Learn that the block came to another value. Safe for concurrent use.
type learning struct {
	mu     sync.Mutex
	height uint64
	result chan<- string
}

func (l *learning) set(height uint64, result chan<- string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.height, l.result = height, result
}

func (l *learning) clear(height uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.height == height {
		l.result = nil
	}
}

func (l *learning) failed(c pipeline.Unlearned) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.result == nil || l.height != c.Height {
		return
	}
	select {
	case l.result <- c.Why:
	default: // it was told
	}
}

// Deliver hands a message of a validator to consensus, and returns when it was taken, so that a peer that sends more than consensus can
// read waits.
func (d *Driver) Deliver(ctx context.Context, from, data []byte) error {
	taken := make(chan struct{})
	d.inbox.push(inboxMsg{input: pipeline.Delivered{From: bytes.Clone(from), Data: data}, then: func(*pipeline.Machine) { close(taken) }})
	select {
	case <-taken:
		return nil
	case <-d.ctx.Done():
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// proposalOf writes a stored block as the proposal that it was, with classes as their authors sent them.
func proposalOf(ctx context.Context, read ordov1.StorageReadClient, b *ordov1.Block) (*ordov1.Proposal, error) {
	proposal := &ordov1.Proposal{Context: b.Header.Context, Transactions: b.Transactions, N: uint64(len(b.Transactions))}
	var declared []byte
	for _, tx := range b.Transactions {
		if tx.Type == ordov1.TransactionType_DECLARE {
			declared = append(declared, tx.ClassHash...)
		}
	}
	var err error
	if proposal.Classes, err = readClasses(ctx, read, declared); err != nil {
		return nil, err
	}
	for _, class := range proposal.Classes {
		class.Casm = nil // compiled by each node itself
	}
	return proposal, nil
}
