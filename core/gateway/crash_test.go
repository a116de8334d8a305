package gateway

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/crash"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// mortal is an execution whose process ends over a transaction, each time.
type mortal struct {
	ordov1.ExecutionClient
	ledger *crash.Ledger
	over   []byte // calldata
	asked  []int  // transactions in each call
	ends   int
}

func (m *mortal) Validate(ctx context.Context, q *ordov1.ValidateRequest, _ ...grpc.CallOption) (*ordov1.ValidateResponse, error) {
	crash.Sent(ctx)
	m.asked = append(m.asked, len(q.Items))
	for _, item := range q.Items {
		if bytes.Equal(item.Transaction.Calldata, m.over) {
			m.ends++
			m.ledger.Ended(crash.End{Why: "signal: aborted"})
			return nil, status.Error(codes.Unavailable, "the plugin has ended")
		}
	}
	return accept(q), nil
}

// TestABatchThatCrashes: of a batch that ends execution the one that does it is rejected with its account, after two ends; each of the
// others gets its verdict. Copies, and the account's next transactions, are rejected without a run.
func TestABatchThatCrashes(t *testing.T) {
	ledger := crash.New(crash.Options{})
	m := &mortal{ledger: ledger, over: []byte("over")}
	present := chainview.New(func() *ordov1.BlockContext { return &ordov1.BlockContext{} })
	v := newValidator(m, present, newHasher(sepolia), DefaultLimits(), ledger, 0, 128)
	ask := func(txs ...*ordov1.Transaction) (verdicts []string) {
		var batch []*waiting
		for _, tx := range txs {
			batch = append(batch, &waiting{item: &ordov1.ValidateRequest_Item{Transaction: tx}, ctx: t.Context(), answer: make(chan answer, 1)})
		}
		v.call(batch)
		for _, w := range batch {
			if a := <-w.answer; a.err != nil {
				verdicts = append(verdicts, a.err.Error())
			} else {
				verdicts = append(verdicts, "accepted")
			}
		}
		return verdicts
	}
	tx := func(sender string, n int, calldata string) *ordov1.Transaction {
		return &ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Sender: []byte(sender), Hash: fmt.Appendf(nil, "%s/%d", sender, n), Calldata: []byte(calldata)}
	}
	var all []*ordov1.Transaction
	for i := range 20 {
		all = append(all, tx(fmt.Sprintf("account %d", i), 0, "fine"))
	}
	all[7] = tx("account 7", 0, "over")
	for i, verdict := range ask(all...) {
		if want := "accepted"; i != 7 && verdict != want || i == 7 && !strings.HasPrefix(verdict, "validation: execution: this transaction ended the execution plugin: refused until") {
			t.Errorf("%d: %s", i, verdict)
		}
	}
	if m.ends != 2 || len(m.asked) != 21 {
		t.Errorf("%d ends, calls of %v", m.ends, m.asked)
	}
	m.asked = nil
	got := ask(tx("account 7", 0, "over"), tx("account 1", 1, "fine"), tx("account 7", 1, "fine"))
	if !strings.HasPrefix(got[0], "validation: this transaction ended") || got[1] != "accepted" || !strings.HasPrefix(got[2], "validation: a transaction of this account ended") {
		t.Errorf("%q", got)
	}
	if m.ends != 2 || len(m.asked) != 1 || m.asked[0] != 1 {
		t.Errorf("%d ends, calls of %v", m.ends, m.asked)
	}
	// Alone, the first end says it.
	if got := ask(tx("account 30", 0, "over")); m.ends != 3 || !strings.Contains(got[0], "this transaction ended the execution plugin") {
		t.Errorf("%d ends, %q", m.ends, got)
	}
}
