package pipeline

import (
	"bytes"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// valueOf is what consensus decides of these transactions: a block, or an order.
func (c *chaos) valueOf(context *ordov1.BlockContext, parent []byte, items []Item) []byte {
	if c.lazy {
		return orderValue("", context, parent, items, nil)
	}
	return value(context, items)
}

// orderIn is the value of the order in a body, and how many transactions it has.
func (c *chaos) orderIn(body []byte) (value []byte, n uint64) {
	p := &ordov1.Proposal{}
	if err := proto.Unmarshal(body, p); err != nil {
		c.fatal("a body: %v", err)
	}
	var items []Item
	for _, tx := range p.Transactions {
		items = append(items, Item{Tx: tx})
	}
	return orderValue("", p.Context, p.ParentResult, items, p.Rest), p.N
}

// executedOrder is the block of a decided order; ran counts the transactions of the order that were executed.
type executedOrder struct {
	Commit
	ran int
}

// takesNonce says whether a transaction has the nonce that is next for its account in a build, and takes it.
func (c *chaos) takesNonce(b *build, tx *ordov1.Transaction) bool {
	if b.nonces == nil {
		b.nonces = map[string]uint64{}
	}
	sender := name(tx.Sender)
	next, moved := b.nonces[sender]
	if !moved {
		next = c.chained[sender]
	}
	nonce, _ := mempool.Nonce(tx.Nonce)
	if nonce == next {
		b.nonces[sender] = next + 1
	}
	return nonce == next
}

// replicate executes the decided orders on another machine, from what each node keeps of them: it comes to the same blocks.
func (c *chaos) replicate() {
	if len(c.orders) == 0 {
		return
	}
	m, _ := New(Options{Capabilities: abilities(false, true), Chunk: 2, Window: 2, Template: template, Lazy: true}, mempool.New(mempool.Options{}), 1000,
		Head{Hashes: map[uint64][]byte{0: []byte("hash-0")}})
	var step func(Input)
	var items []Item
	room, done := 0, 0 // transactions that the block has room for, and that have run
	block := map[string]bool{}
	perform := func(command Command) {
		switch command := command.(type) {
		case Open:
			items, done = nil, 0
		case Add:
			items = append(items, command.Items...)
			r := &ordov1.BuildResponse_Results{First: uint64(done)}
			for ; done < min(room, len(items)); done++ {
				result := &ordov1.TransactionResult{Hash: items[done].Tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED}
				if !block[signed(items[done])] {
					result.Status = ordov1.TransactionResult_REJECTED
				}
				r.Results = append(r.Results, result)
			}
			full := done < len(items)
			if step(Executed{command.Build, r}); full {
				step(Full{command.Build, uint64(done), "a limit"})
			}
		case Close:
			step(Closed{command.Build, &ordov1.BuildResponse_Closed{N: command.N}})
		case HashHeader:
			step(HeaderHashed{command.Build, &ordov1.BlockHeader{Context: command.Draft.Context, PartialHash: value(command.Draft.Context, command.Items)}})
		case Apply:
			step(Applied{command.Height})
		case Commit:
			if was := c.orders[command.Height-1]; !bytes.Equal(command.Header.PartialHash, was.Header.PartialHash) || !bytes.Equal(command.Order.Value, was.Order.Value) {
				c.fatal("another machine comes to block %d %s of the order %x, here it was %s of %x", command.Height, command.Header.PartialHash, command.Order.Value,
					was.Header.PartialHash, was.Order.Value)
			}
			step(Committed{command.Height})
			step(RootComputed{&ordov1.Root{Height: command.Height, BlockHash: []byte("hash-" + string(rune(command.Height)))}})
		case Unlearned:
			c.fatal("another machine does not take the order of block %d: %s", command.Height, command.Why)
		}
	}
	var work []Command
	step = func(in Input) {
		out, err := m.Step(1000, in)
		if err != nil {
			c.fatal("another machine: %v", err)
		}
		work = append(work, out...)
	}
	for i, b := range c.orders {
		d := Decided{Context: b.Header.Context, Items: slices.Clone(b.Items), Value: b.Order.Value, Parent: b.Order.Parent, Rest: b.Order.Rest}
		room, block = b.ran, map[string]bool{}
		for _, item := range b.Items {
			block[signed(item)] = true
		}
		for _, left := range b.Order.LeftOut { // by rising place
			d.Items = slices.Insert(d.Items, left.Place, left.Item)
		}
		if b.Height != uint64(i)+1 {
			c.fatal("block %d is number %d", b.Height, i+1)
		}
		step(Learned{b.Height, true, d})
		for len(work) > 0 {
			next := work[0]
			work = work[1:]
			perform(next)
		}
		if m.Height() != b.Height+1 {
			c.fatal("another machine does not decide block %d", b.Height)
		}
	}
}

func signed(item Item) string { return string(item.Tx.Hash) + string(item.Tx.Signature) }
