package pipeline

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// env is the world around one machine: a real pool, and stages that answer when the transcript says so, or by themselves
// when they are named in `auto`.
type env struct {
	t       *testing.T
	pool    *mempool.Pool
	m       *Machine
	now     uint64
	auto    map[string]bool
	unheard uint64 // events that consensus has not answered
	seq     uint64
	builds  map[uint64]*build
	work    []Command // for the automatic stages
	last    *ordov1.ConsensusEvent_Built
	valid   []byte // value of the last proposal that was found valid
	out     strings.Builder
	err     error
	lazy    bool // the machine executes what is decided
}

type build struct {
	context *ordov1.BlockContext
	items   []Item
	ran     []*ordov1.TransactionResult
	n       uint64
	seal    HashHeader
	nonces  map[string]uint64 // after what ran
}

// Names are short strings left in the bytes of hashes and addresses: account "a", its transaction of nonce 3 "a/3".
func key(name string) []byte {
	k := make([]byte, 32)
	copy(k[32-len(name):], name)
	return k
}

func name(k []byte) string { return strings.TrimLeft(string(k), "\x00") }

// abilities are the capabilities of an ordering plugin that gains nothing by waiting, and of a consensus plugin that has peers.
func abilities(arrival, network bool) Capabilities {
	c := Capabilities{}
	if arrival {
		c[ordov1.Stage_STAGE_ORDERING] = []string{sdk.CapArrival}
	}
	if network {
		c[ordov1.Stage_STAGE_CONSENSUS] = []string{sdk.CapNetwork}
	}
	return c
}

// network is one of validators with short keys, whose signatures can be read. The address of validator k is "k".
func network(keys []string, self string) (n Network) {
	for _, k := range keys {
		n.Validators = append(n.Validators, &ordov1.Validator{Key: []byte(k), Power: 1, Address: key(k)})
	}
	if n.ChainID = "C"; self != "" {
		n.Self = []byte(self)
		n.Sign = func(message []byte) []byte { return fmt.Appendf(nil, "%s signs %q", self, message) }
	}
	return n
}

func template(nowMs uint64) *ordov1.BlockContext {
	return &ordov1.BlockContext{Timestamp: nowMs / 1000, StarknetVersion: "0.14.4", Sequencer: key("us"), L1Gas: &ordov1.GasPrice{Wei: []byte{100}}}
}

func (e *env) submit(tx, tip string, bare bool) {
	if _, _, err := e.pool.Add(time.UnixMilli(int64(e.now)), transaction(e.t, tx, tip), nil, 0); err != nil {
		fmt.Fprintf(&e.out, "%s: %v\n", tx, err)
	}
	if bare {
		e.pool.RankByArrival(e.pool.Unscored(100))
		return
	}
	var scores []mempool.Score
	for _, entry := range e.pool.Unscored(100) {
		scores = append(scores, mempool.Score{Entry: entry, Hi: entry.Tx.Tip})
	}
	e.pool.Rank(scores, 0)
}

// transaction makes a/3, signed, or message/1 from L1.
func transaction(t *testing.T, name, tip string) *ordov1.Transaction {
	sender, n, _ := strings.Cut(name, "/")
	nonce, ok := new(big.Int).SetString(n, 10)
	bid, _ := new(big.Int).SetString("0"+tip, 10)
	if !ok {
		t.Fatalf("bad transaction %q", name)
	}
	tx := &ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Hash: key(name), Sender: key(sender), Nonce: nonce.Bytes(), Tip: bid.Uint64(),
		ResourceBounds: &ordov1.ResourceBounds{L2GasPrice: []byte{1}}, Signature: []byte("signed by " + sender)}
	if sender == "message" {
		tx.Type, tx.Signature = ordov1.TransactionType_L1_HANDLER, nil
	}
	return tx
}

func (e *env) results(id uint64, n int, rejected []string, first int) {
	b := e.builds[id]
	if b == nil {
		fmt.Fprintf(&e.out, "no build %d\n", id)
		return
	}
	n = min(n, len(b.items)-len(b.ran))
	r := &ordov1.BuildResponse_Results{First: uint64(min(first, len(b.ran)))}
	for _, item := range b.items[len(b.ran):][:n] {
		result := &ordov1.TransactionResult{Hash: item.Tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED}
		if item.Tx.Type == ordov1.TransactionType_INVOKE && len(item.Tx.Signature) == 0 {
			result.Status, result.Rejection, result.Reason = ordov1.TransactionResult_REJECTED, ordov1.RejectionCode_VALIDATION_FAILURE, "no signature"
		} else if slices.Contains(rejected, name(item.Tx.Hash)) {
			result.Status, result.Rejection, result.Reason = ordov1.TransactionResult_REJECTED, ordov1.RejectionCode_INSUFFICIENT_BALANCE, "balance too low"
		} else if before := "no"; slices.ContainsFunc(append(b.ran, r.Results...), func(o *ordov1.TransactionResult) bool {
			before, _, _ = strings.Cut(name(o.Hash), "/")
			sender := name(item.Tx.Sender)
			return o.Status == ordov1.TransactionResult_REJECTED && before == sender
		}) {
			result.Status, result.Rejection, result.Reason = ordov1.TransactionResult_REJECTED, ordov1.RejectionCode_INVALID_NONCE, "nonce ahead"
		}
		r.Results = append(r.Results, result)
	}
	b.ran = append(b.ran, r.Results...)
	e.step(Executed{id, r})
}

func (e *env) closed(id uint64) {
	b := e.builds[id]
	nonces := map[string]uint64{}
	for i, r := range b.ran[:b.n] {
		if r.Status != ordov1.TransactionResult_REJECTED {
			n, _ := mempool.Nonce(b.items[i].Tx.Nonce)
			nonces[name(b.items[i].Tx.Sender)] = n + 1
		}
	}
	diff := &ordov1.StateDiff{}
	for sender, n := range nonces {
		diff.Nonces = append(append(diff.Nonces, key(sender)...), new(big.Int).SetUint64(n).FillBytes(make([]byte, 32))...)
	}
	e.step(Closed{id, &ordov1.BuildResponse_Closed{N: b.n, StateDiff: diff}})
}

// headerHashed gives blocks readable values: number, time and transactions.
func (e *env) headerHashed(id uint64) {
	s := e.builds[id].seal
	header := proto.Clone(s.Draft).(*ordov1.BlockHeader)
	header.PartialHash = fmt.Appendf(nil, "%d@%d[%s]", header.Context.Number, header.Context.Timestamp, names(s.Items))
	e.step(HeaderHashed{id, header})
}

func names(items []Item) string {
	var all []string
	for _, item := range items {
		all = append(all, name(item.Tx.Hash))
	}
	return strings.Join(all, " ")
}

func (e *env) step(in Input) {
	out, err := e.m.Step(e.now, in)
	e.carryOut(out)
	if err != nil {
		e.err = err
	}
}

// answerItself plays a stage that does its work at once.
func (e *env) answerItself(c Command) {
	switch c := c.(type) {
	case Add:
		e.results(c.Build, 1000, nil, 1<<32)
	case Close:
		e.closed(c.Build)
	case HashHeader:
		e.headerHashed(c.Build)
	case Check:
		e.step(Checked{Build: c.Build})
	case Apply:
		e.step(Applied{c.Height})
	case Adopt:
		e.step(Adopted(c))
	case Commit:
		e.step(Committed{c.Height})
		if e.auto["root"] {
			e.step(RootComputed{&ordov1.Root{Height: c.Height, BlockHash: fmt.Appendf(nil, "hash-%d", c.Height)}})
		}
	case RecordDecision:
		e.step(DecisionRecorded{c.Height})
	case Tell: // a solo protocol: build when there is something, decide at once
		e.unheard--
		e.seq++
		actions := &ordov1.Actions{Seq: e.seq}
		switch event := c.Event.Event.(type) {
		case *ordov1.ConsensusEvent_Ready_:
			actions.Actions = append(actions.Actions, e.action("build attempt=1"), e.action("seal attempt=1"))
		case *ordov1.ConsensusEvent_Built_:
			e.last = event.Built
			actions.Actions = append(actions.Actions, e.action("decide attempt=1"))
		}
		e.step(Answered{actions})
	}
}
