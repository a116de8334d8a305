package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/chainview"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// counterNode is a node with one contract, 0x77, whose nonce, slot 1 and answer to any call count its transactions. It takes the
// steps of a block one by one, in the order in which core/driver does.
type counterNode struct {
	ordov1.UnimplementedExecutionServer

	mu      sync.Mutex
	run     uint64 // transactions with a result, in the newest attempt or before
	applied uint64 // transactions in the tip of execution

	stored *fakestage.Chain // read while it grows
	chain  *chainview.Chain
	build  uint64
	before func(step string) // looks at the node before the next step
}

// View answers a call as execution does: an attempt is the open block until it is applied, also when it is closed.
func (n *counterNode) View(_ context.Context, q *ordov1.ViewRequest) (*ordov1.ViewResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := n.applied
	switch at := q.At.At.(type) {
	case *ordov1.StateAt_OpenBlock:
		count = n.run
	case *ordov1.StateAt_Height:
		count = 3 * at.Height
	}
	return &ordov1.ViewResponse{Result: &ordov1.ViewResponse_Call{Call: fe(count)}}, nil
}

func (n *counterNode) diff(count uint64) *ordov1.StateDiff {
	return &ordov1.StateDiff{Nonces: fes(0x77, count), Storage: []*ordov1.ContractStorage{{Address: fe(0x77), Entries: fes(1, count)}}}
}

// block makes block number h of three transactions.
func (n *counterNode) block(h uint64) {
	step := func(name string, do func()) {
		do()
		n.before(fmt.Sprintf("block %d: %s", h, name))
	}
	n.build++
	var txs []*ordov1.Transaction
	var results []*ordov1.TransactionResult
	for i := range uint64(3) {
		txs = append(txs, account(ordov1.TransactionType_INVOKE, 0x10000*h+i, 3*(h-1)+i))
		results = append(results, result(0x10000*h+i))
	}
	late := account(ordov1.TransactionType_INVOKE, 0x10000*h+9, 3*h) // handed over too late for this block
	step("received", func() {
		for _, tx := range txs {
			n.chain.Received(tx)
		}
	})
	step("opened", func() { n.chain.Open(n.build, blockContext(h)) })
	step("candidates", func() { n.chain.Candidates(n.build, append(txs[:3:3], late), nil) })
	for i := range txs {
		step("a result", func() {
			n.mu.Lock()
			n.run++
			n.mu.Unlock()
			n.chain.Preconfirm(n.build, results[i:i+1], n.diff(3*(h-1)+uint64(i)+1))
		})
	}
	step("closed", func() { n.chain.Closed(n.build) })
	header := accepted(h, txs, results, n.diff(3*h))
	step("decided", func() {
		n.chain.Decide(chainview.NewBlock(header.Header, txs, results, header.StateDiff, nil))
	})
	step("applied", func() {
		n.mu.Lock()
		n.applied = 3 * h
		n.mu.Unlock()
	})
	step("committed", func() { n.stored.Append(header) })
	step("accepted", func() { n.chain.Accept(header.Header) })
}

// TestPreConfirmedNeverGoesBack: whatever is read at pre_confirmed, in memory or in execution, has all that an earlier read had,
// at every step of a block: between close and apply no less than at any other.
func TestPreConfirmedNeverGoesBack(t *testing.T) {
	genesis := accepted(0, nil, nil, &ordov1.StateDiff{Deployed: fes(0x77, 0xc1)})
	n := &counterNode{stored: &fakestage.Chain{Stored: []*ordov1.Block{genesis}}, chain: chainview.New(func() *ordov1.BlockContext { return blockContext(0) })}
	n.chain.Start(genesis.Header, nil, nil)
	s := New(Options{ChainID: felt.MustShortString("SN_SEPOLIA"), Chain: n.chain,
		Storage:   ordov1.NewStorageReadClient(dial(t, func(g *grpc.Server) { ordov1.RegisterStorageReadServer(g, n.stored) })),
		Execution: ordov1.NewExecutionClient(dial(t, func(g *grpc.Server) { ordov1.RegisterExecutionServer(g, n) }))})
	read := func(method, params string) uint64 {
		result, failed := s.Call(context.Background(), method, json.RawMessage(params))
		if failed != nil {
			t.Errorf("%s: %v", method, failed)
			return 0
		}
		raw, err := encode(result)
		if err != nil {
			t.Error(err)
		}
		count, err := strconv.ParseUint(strings.Trim(string(raw), `[]"`), 0, 64)
		if err != nil {
			t.Error(err)
		}
		return count
	}
	questions := []struct{ method, params string }{
		{"starknet_getNonce", `["pre_confirmed","0x77"]`},
		{"starknet_getStorageAt", `["0x77","0x1","pre_confirmed"]`},
		{"starknet_call", `[{"contract_address":"0x77","entry_point_selector":"0x1","calldata":[]},"pre_confirmed"]`},
	}
	// One reader looks between any two steps, and knows how many results there are.
	n.before = func(step string) {
		n.mu.Lock()
		want := n.run
		n.mu.Unlock()
		for _, q := range questions {
			if got := read(q.method, q.params); got != want {
				t.Errorf("%s: %s says %d, %d transactions have results", step, q.method, got, want)
			}
		}
	}
	for h := range uint64(3) {
		n.block(h + 1)
	}
	// Others look whenever they like.
	n.before = func(string) {}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for _, q := range questions {
		for range 2 {
			readers.Go(func() {
				var last uint64
				for {
					select {
					case <-done:
						return
					default:
					}
					got := read(q.method, q.params)
					if got < last {
						t.Errorf("%s went back from %d to %d", q.method, last, got)
					}
					last = got
				}
			})
		}
	}
	for h := range uint64(100) {
		n.block(h + 4)
	}
	close(done)
	readers.Wait()
}
