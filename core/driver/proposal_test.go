package driver

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// mutation changes an honest proposal of two transactions; want is a part of the reason of the verdict.
type mutation struct {
	name, want string
	tell       func(p *ordov1.Proposal)
}

// byzantine builds a block, proposes it to its own node with each of the faults, and decides it at the end.
type byzantine struct {
	mu        sync.Mutex
	mutations []mutation
	honest    []byte
	value     []byte
	attempt   uint64
	verdicts  []*ordov1.ConsensusEvent_Verdict
	looked    func() // when all faults were proposed
	broken    error
}

func (l *byzantine) step(event *ordov1.ConsensusEvent) []*ordov1.Action {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e := event.Event.(type) {
	case *ordov1.ConsensusEvent_Ready_:
		if l.attempt == 0 {
			l.attempt = 1
			return []*ordov1.Action{fakestage.Build(&ordov1.Action_Build{Attempt: 1, MaxTransactions: 2})}
		}
	case *ordov1.ConsensusEvent_Built_:
		l.honest, l.value = e.Built.Proposal, e.Built.Value
		return l.next()
	case *ordov1.ConsensusEvent_Verdict_:
		l.verdicts = append(l.verdicts, e.Verdict)
		return l.next()
	case *ordov1.ConsensusEvent_Failed_:
		l.broken = fmt.Errorf("attempt %d failed: %s", e.Failed.Attempt, e.Failed.Reason)
	}
	return nil
}

func (l *byzantine) next() []*ordov1.Action {
	if len(l.verdicts) == len(l.mutations) {
		l.looked()
		return []*ordov1.Action{fakestage.Decide(1, l.value)}
	}
	p := &ordov1.Proposal{}
	if l.broken = proto.Unmarshal(l.honest, p); l.broken != nil {
		return nil
	}
	l.mutations[len(l.verdicts)].tell(p)
	b, err := proto.Marshal(p)
	if l.broken = err; err != nil {
		return nil
	}
	l.attempt++
	return []*ordov1.Action{{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{Attempt: l.attempt, Proposal: b, Value: l.value}}}}
}

// TestAFalsifiedProposalIsInvalid: whatever another node claims falsely makes its proposal invalid, takes nothing out of the pool, and
// leaves no trace of transactions that were not sent to this node.
func TestAFalsifiedProposalIsInvalid(t *testing.T) {
	w := newWorld(t)
	stranger := w.tx(9, 0, plain, 0)
	chainID, err := felt.FromShortString(w.options.ChainID)
	if err != nil {
		t.Fatal(err)
	}
	hashed := func(tx *ordov1.Transaction) *ordov1.Transaction {
		hash, err := wire.TransactionHash(tx, chainID)
		if err != nil {
			t.Fatal(err)
		}
		tx.Hash = wire.FromFelt(hash)
		return tx
	}
	add := func(p *ordov1.Proposal, tx *ordov1.Transaction) {
		p.Transactions, p.N = append(p.Transactions, tx), p.N+1
	}
	bounds := &ordov1.ResourceBounds{L2GasAmount: 1000, L2GasPrice: u128(1e9)}
	declare := hashed(&ordov1.Transaction{Type: ordov1.TransactionType_DECLARE, Sender: num(1), ClassHash: num(7), CompiledClassHash: num(8), ResourceBounds: bounds})
	const class = `{"sierra_program":["0x1"],"contract_class_version":"0.1.0","entry_points_by_type":{"CONSTRUCTOR":[],"EXTERNAL":[],"L1_HANDLER":[]},"abi":"[]"}`
	l := &byzantine{mutations: []mutation{
		{"a signature is missing", "rejected: VALIDATION_FAILURE", func(p *ordov1.Proposal) {
			p.Transactions[0].Signature = nil
			add(p, proto.Clone(stranger).(*ordov1.Transaction))
		}},
		{"a nonce is used twice", "rejected: INVALID_NONCE", func(p *ordov1.Proposal) { add(p, w.tx(1, 0, plain, 5)) }},
		{"another sequencer", "pays its fees to", func(p *ordov1.Proposal) { p.Context.Sequencer = num(0xbad) }},
		{"cheaper gas", "another price of L2 gas", func(p *ordov1.Proposal) { p.Context.L2Gas.Fri = u128(1) }},
		{"a hash", "its hash is", func(p *ordov1.Proposal) { p.Transactions[1].Tip++ }},
		{"an estimate", "its hash is", func(p *ordov1.Proposal) { p.Transactions[1].QueryOnly = true }},
		{"a field of another type", "fields that a transaction of its type does not have", func(p *ordov1.Proposal) { p.Transactions[1].ClassHash = num(5) }},
		{"an unknown field", "fields that a transaction of its type does not have", func(p *ordov1.Proposal) {
			p.Transactions[1].ResourceBounds.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 1})
		}},
		{"a deployment to nowhere", "it has no sender", func(p *ordov1.Proposal) {
			add(p, hashed(&ordov1.Transaction{Type: ordov1.TransactionType_DEPLOY_ACCOUNT, ClassHash: num(7), ResourceBounds: bounds}))
		}},
		{"a message from L1", "not seen", func(p *ordov1.Proposal) {
			add(p, hashed(&ordov1.Transaction{Type: ordov1.TransactionType_L1_HANDLER, Sender: num(5), PaidFeeOnL1: u128(1)}))
		}},
		{"a class is missing", "does not bring", func(p *ordov1.Proposal) { add(p, declare) }},
		{"another class", "its class has the hash", func(p *ordov1.Proposal) {
			add(p, declare)
			p.Classes = []*ordov1.Class{{Hash: num(7), Definition: []byte(class)}}
		}},
		{"no class", "its class is malformed", func(p *ordov1.Proposal) {
			add(p, declare)
			p.Classes = []*ordov1.Class{{Hash: num(7), Definition: []byte(`{"abi":"[]"}`)}}
		}},
	}}
	w.consensus = l.step
	w.options.Stages.ConsensusCapabilities = []string{sdk.CapNetwork}
	w.options.Stages.OrderingCapabilities = []string{sdk.CapArrival}
	n := w.start()
	var waiting int
	var trace chainview.Status
	l.looked = func() {
		waiting = len(n.Waiting())
		trace = n.Chain().Status(mempool.Key(stranger.Hash)).Status
	}
	first, second := w.tx(1, 0, plain, 0), w.tx(2, 0, plain, 0)
	w.submit(first, second)
	w.await(chainview.Accepted, first, second)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		t.Fatal(l.broken)
	}
	for i, m := range l.mutations {
		if v := l.verdicts[i]; v.Valid || !strings.Contains(v.Reason, m.want) {
			t.Errorf("%s: valid %v: %s", m.name, v.Valid, v.Reason)
		}
	}
	if waiting != 2 {
		t.Errorf("%d of 2 transactions are left in the pool", waiting)
	}
	if trace != chainview.Unknown {
		t.Errorf("a transaction that was not sent here is %s", trace)
	}
	// The copy that waited here is in the block, signature and all.
	if got := w.storage.Stored[1].Transactions; len(got) != 2 || !proto.Equal(got[0], first) || !proto.Equal(got[1], second) {
		t.Errorf("block 1 has %v", got)
	}
}

// TestADecidedProposalKeepsItsOwnTransactions over a restart, though the pool has one with the same hash, for a hash does not
// cover the signature and the hash of the block does.
func TestADecidedProposalKeepsItsOwnTransactions(t *testing.T) {
	w := newWorld(t)
	mine := w.tx(1, 0, plain, 0)
	theirs := proto.Clone(mine).(*ordov1.Transaction)
	theirs.Signature = num(77)
	waiting := map[mempool.Key]*journal.Waiting{mempool.Key(mine.Hash): {Tx: mine}}
	for _, own := range []bool{true, false} {
		c := pipeline.Decided{Context: &ordov1.BlockContext{Number: 4}, Items: []pipeline.Item{{Tx: theirs}}}
		d, err := decodeDecided(&journal.Height{Number: 4, Note: encodeDecided(c, own)}, waiting, false)
		if err != nil {
			t.Fatal(err)
		}
		want := theirs
		if own {
			want = mine // the journal names it, and has it
		}
		if d.FromPeer == own || !bytes.Equal(d.Items[0].Tx.Signature, want.Signature) {
			t.Errorf("own %v: another node's: %v, signature %x", own, d.FromPeer, d.Items[0].Tx.Signature)
		}
	}
}
