package virtual

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// limit is how many transactions a block takes, by this execution.
const limit = 24

// state is what execution knows of the chain: the nonces of the accounts.
type state map[mempool.Key]uint64

// execution is one process of a pure execution stage.
type execution struct {
	host   *consensustest.Host
	down   bool
	tip    state
	builds map[uint64]*build
	work   *line // of the streams of builds
}

// build is one stream.
type build struct {
	items   []pipeline.Item
	results []*ordov1.TransactionResult
	state   state // behind the results
	closed  state // of the block
	full    bool
}

func newExecution(host *consensustest.Host, tip state) execution {
	return execution{host: host, tip: maps.Clone(tip), builds: map[uint64]*build{}, work: &line{host: host}}
}

// end ends the process; what it was asked gets no answer.
func (x *execution) end() {
	host := x.host
	*x = newExecution(host, nil)
	x.down = true
}

// alive says whether a build still waits for answers of this process.
func (x *execution) alive(id uint64, b *build) bool { return !x.down && x.builds[id] == b }

func (x *execution) open(c pipeline.Open) { x.builds[c.Build] = &build{state: maps.Clone(x.tip)} }

// handed is how many transactions a build was given.
func (x *execution) handed(id uint64) int {
	if b := x.builds[id]; b != nil {
		return len(b.items)
	}
	return 0
}

// one runs a transaction on a state.
func (s state) one(tx *ordov1.Transaction) *ordov1.TransactionResult {
	r := &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED}
	sender := mempool.Key(tx.Sender)
	nonce, _ := mempool.Nonce(tx.Nonce)
	switch {
	case string(tx.Signature) != signature:
		r.Status, r.Rejection, r.Reason = ordov1.TransactionResult_REJECTED, ordov1.RejectionCode_VALIDATION_FAILURE, "its signature is wrong"
	case nonce != s[sender]:
		r.Status, r.Rejection, r.Reason = ordov1.TransactionResult_REJECTED, ordov1.RejectionCode_INVALID_NONCE, fmt.Sprintf("its nonce is %d, that of the account %d", nonce, s[sender])
	default:
		s[sender]++
	}
	return r
}

func (x *execution) add(c pipeline.Add, post func(pipeline.Input)) {
	b := x.builds[c.Build]
	if b == nil {
		return
	}
	b.items = append(b.items, c.Items...)
	x.work.put(func() time.Duration { return x.host.Between(50*time.Microsecond, time.Millisecond) }, func() {
		if !x.alive(c.Build, b) || b.full {
			return
		}
		first := len(b.results)
		for _, item := range b.items[first:min(limit, first+len(c.Items))] {
			b.results = append(b.results, b.state.one(item.Tx))
		}
		if len(b.results) > first {
			post(pipeline.Executed{Build: c.Build, Results: &ordov1.BuildResponse_Results{First: uint64(first), Results: slices.Clone(b.results[first:])}})
		}
		if b.full = first+len(c.Items) > limit; b.full && x.alive(c.Build, b) {
			post(pipeline.Full{Build: c.Build, N: uint64(len(b.results)), Why: "a block takes no more transactions"})
		}
	})
}

func (x *execution) close(c pipeline.Close, post func(pipeline.Input)) {
	b := x.builds[c.Build]
	if b == nil {
		return
	}
	x.work.put(x.host.RunTime, func() {
		if !x.alive(c.Build, b) {
			return
		}
		var diff *ordov1.StateDiff
		b.closed, diff = blockOn(x.tip, b.items[:c.N])
		post(pipeline.Closed{Build: c.Build, Closed: &ordov1.BuildResponse_Closed{N: c.N, StateDiff: diff}})
	})
}

func (x *execution) abort(id uint64) { delete(x.builds, id) }

func (x *execution) apply(c pipeline.Apply, post func(pipeline.Input)) {
	b := x.builds[c.Build]
	x.host.After(x.host.Between(0, time.Millisecond), func() {
		if b == nil || x.down || b.closed == nil {
			return
		}
		x.tip, x.builds = b.closed, map[uint64]*build{}
		post(pipeline.Applied{Height: c.Height})
	})
}

func (x *execution) adopt(c pipeline.Adopt, tip state, post func(pipeline.Input)) {
	x.host.After(x.host.RunTime(), func() {
		if !x.down {
			x.tip = tip
			post(pipeline.Adopted(c))
		}
	})
}

// blockOn runs a block on a state: the state behind it, and what it changes.
func blockOn(before state, items []pipeline.Item) (after state, diff *ordov1.StateDiff) {
	after, diff = maps.Clone(before), &ordov1.StateDiff{}
	for _, item := range items {
		after.one(item.Tx)
	}
	for _, sender := range slices.SortedFunc(maps.Keys(after), func(a, b mempool.Key) int { return bytes.Compare(a[:], b[:]) }) {
		if after[sender] != before[sender] {
			diff.Nonces = binary.BigEndian.AppendUint64(append(append(diff.Nonces, sender[:]...), make([]byte, 24)...), after[sender])
		}
	}
	return after, diff
}

var canonical = proto.MarshalOptions{Deterministic: true}

// valueOf is the partial hash of a block, as this chain has it.
func valueOf(context *ordov1.BlockContext, items []pipeline.Item, diff *ordov1.StateDiff) []byte {
	sum := sha256.New()
	b, _ := canonical.Marshal(context)
	sum.Write(b)
	for _, item := range items {
		sum.Write(item.Tx.Hash)
	}
	sum.Write(diff.GetNonces())
	return sum.Sum(nil)
}

// hashHeader answers HashHeader. A node that diverges comes to another value.
func (n *node) hashHeader(c pipeline.HashHeader) {
	header := proto.CloneOf(c.Draft)
	header.PartialHash = valueOf(header.Context, c.Items, c.Diff)
	if n.host.Does(consensustest.Diverge) {
		sum := sha256.Sum256(header.PartialHash)
		header.PartialHash = sum[:]
	}
	n.host.After(n.host.Between(0, time.Millisecond), func() { n.post(pipeline.HeaderHashed{Build: c.Build, Header: header}) })
}

// check answers Check.
func (n *node) check(c pipeline.Check) {
	why := falsified(c.Proposal)
	n.host.After(n.host.Between(0, time.Millisecond), func() {
		if !n.execution.down {
			n.post(pipeline.Checked{Build: c.Build, Invalid: why})
		}
	})
}

// falsified says which transaction has not the hash that it claims.
func falsified(p *ordov1.Proposal) string {
	for i, tx := range p.Transactions {
		if nonce, _ := mempool.Nonce(tx.Nonce); len(tx.Sender) != len(mempool.Key{}) || !bytes.Equal(tx.Hash, hashOf(tx.Sender, nonce)) {
			return fmt.Sprintf("transaction %d has another hash than it says", i)
		}
	}
	return ""
}
