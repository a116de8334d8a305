package driver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// record makes a decided order durable before it is executed, beside the loop.
func (j *journaling) record(c pipeline.RecordDecision) {
	recorded := func() { j.port.post(pipeline.DecisionRecorded{Height: c.Height}) }
	if j.journal == nil {
		recorded()
		return
	}
	j.recorded = c.Height
	step := journal.Step{Kind: journal.Decided, Height: c.Height, Block: c.Value, Note: encodeDecided(c.Decided, false)}
	j.port.spawn(func() {
		mark := func() error { return j.journal.Mark(step) }
		if j.retryUntilSpace(mark, mark) {
			recorded()
		}
	})
}

// orderCertificate is what storage keeps in the place of the certificate: with the block it is the order that was decided.
func orderCertificate(c *pipeline.Commit) []byte {
	o := &ordov1.DecidedOrder{Certificate: c.Certificate, Value: c.Order.Value, ParentResult: c.Order.Parent, Rest: c.Order.Rest}
	for _, left := range c.Order.LeftOut {
		one := &ordov1.LeftOut{Place: uint32(left.Place), Transaction: left.Tx}
		if class := left.Class; class != nil {
			one.Class = &ordov1.Class{Hash: class.Hash, Kind: class.Kind, Definition: class.Definition}
		}
		o.LeftOut = append(o.LeftOut, one)
	}
	b, _ := proto.Marshal(o) // fails only on invalid UTF-8 in a string field, and those are ours
	return b
}

// decidedOrder reads what storage keeps in the place of the certificate of a block; nil where blocks are decided, and of block 0.
func (d *Driver) decidedOrder(b *ordov1.Block) (*ordov1.DecidedOrder, error) {
	if !d.options.Lazy || b.Header.Context.Number == 0 {
		return nil, nil
	}
	o := &ordov1.DecidedOrder{}
	if err := proto.Unmarshal(b.Certificate, o); err != nil || len(o.Value) == 0 {
		return nil, fmt.Errorf("storage: block %d: the order that it comes from cannot be read: the store is damaged: restore a backup", b.Header.Context.Number)
	}
	return o, nil
}

// decidedAs is what consensus decided at the height of a stored block, and the proof of it.
func (d *Driver) decidedAs(b *ordov1.Block) (value, certificate []byte, err error) {
	switch o, err := d.decidedOrder(b); {
	case err != nil:
		return nil, nil, err
	case o != nil:
		return o.Value, o.Certificate, nil
	}
	return b.Header.PartialHash, b.Certificate, nil
}

// bodyOf writes a stored block as the proposal that it was, with what execution left out of it.
func (d *Driver) bodyOf(ctx context.Context, read ordov1.StorageReadClient, b *ordov1.Block) ([]byte, error) {
	proposal, err := proposalOf(ctx, read, b)
	if err != nil {
		return nil, err
	}
	o, err := d.decidedOrder(b)
	if err != nil {
		return nil, err
	}
	if o != nil {
		proposal.ParentResult, proposal.Rest = o.ParentResult, o.Rest
		for _, left := range o.LeftOut {
			if int(left.Place) > len(proposal.Transactions) {
				return nil, fmt.Errorf("storage: block %d: the order that it comes from has a hole: the store is damaged: restore a backup", b.Header.Context.Number)
			}
			proposal.Transactions = slices.Insert(proposal.Transactions, int(left.Place), left.Transaction)
			if left.Class != nil {
				proposal.Classes = append(proposal.Classes, left.Class)
			}
		}
		proposal.N = uint64(len(proposal.Transactions))
	}
	return proto.Marshal(proposal)
}

// kindOf says what is wrong with the kind of a learned proposal: a block where orders are decided, or the other way. "": nothing.
func (d *Driver) kindOf(p *ordov1.Proposal) string {
	switch order := len(p.ParentResult)+len(p.Rest) > 0; {
	case order && !d.options.Lazy:
		return "its body is an order, and this network decides blocks (execution)"
	case !order && d.options.Lazy:
		return "its body is a block, and this network decides orders (execution)"
	case len(p.Rest)%sha256.Size != 0:
		return "its digests are malformed"
	}
	return ""
}

// noteOrder puts what an order has beside its transactions into the note of a decision.
func noteOrder(note *ordov1.CommitRequest, d *pipeline.Decided) {
	o := &ordov1.DecidedOrder{Certificate: d.Certificate, Value: d.Value, ParentResult: d.Parent, Rest: d.Rest}
	note.Certificate, _ = proto.Marshal(o) // bytes only
}

// readNote takes what noteOrder put.
func readNote(d *pipeline.Decided) error {
	o := &ordov1.DecidedOrder{}
	if err := proto.Unmarshal(d.Certificate, o); err != nil {
		return err
	}
	if !bytes.Equal(o.Value, d.Value) {
		return errors.New("its note is of another order")
	}
	d.Certificate, d.Parent, d.Rest = o.Certificate, o.ParentResult, o.Rest
	return nil
}

// The certificate of block 0 names its chain, for a block hash does not cover the chain id, and how the chain is executed.
const (
	genesisPrefix = "genesis "
	lazySuffix    = "\nexecution lazy"
)

func (d *Driver) certificate() []byte {
	text := genesisPrefix + d.options.ChainID
	if d.options.Lazy {
		text += lazySuffix
	}
	return []byte(text)
}

// readGenesis reads the certificate of block 0; known is false when it was not written by ordo.
func readGenesis(certificate []byte) (chain string, lazy, known bool) {
	chain, known = strings.CutPrefix(string(certificate), genesisPrefix)
	chain, lazy = strings.CutSuffix(chain, lazySuffix)
	return chain, lazy, known
}

// executionName is the mode as settings name it.
func executionName(lazy bool) string {
	if lazy {
		return "lazy"
	}
	return "eager"
}
