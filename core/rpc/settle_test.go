package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// waits starts to wait for a transaction that the pool has just taken.
func waits(t *testing.T, w *world, hash uint64) <-chan error {
	w.chain.Received(account(ordov1.TransactionType_INVOKE, hash, 9))
	done := make(chan error, 1)
	go func() { done <- w.server.newBlockWait().wait(t.Context(), fe(hash)) }()
	return done
}

func instantWorld(t *testing.T) *world {
	w := devnetWorld(t)
	w.server.Devnet.Instant = true
	return w
}

// openWorld answers when a transaction has run in the open block, which is build 50.
func openWorld(t *testing.T) *world {
	w := devnetWorld(t)
	w.server.AnswerRun = true
	w.chain.Open(50, &ordov1.BlockContext{Number: 6})
	return w
}

// TestAnswersWaitForTheBlock on an instant node: not the result but the block with its root ends the wait.
func TestAnswersWaitForTheBlock(t *testing.T) {
	w := instantWorld(t)
	decided := w.chain.Snapshot().Blocks()[0]
	done := make(chan error, 1)
	go func() { done <- w.server.newBlockWait().wait(t.Context(), decided.Transactions[0].Hash) }()
	select {
	case err := <-done:
		t.Fatal("it did not wait for the root:", err)
	case <-time.After(2 * settlePatience):
	}
	w.chain.Accept(&ordov1.BlockHeader{Context: decided.Context, Hash: fe(0xb10c3)})
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAnswersLeaveWhatCannotRun: a transaction with a gap before its nonce is answered for, though nothing happens to it.
func TestAnswersLeaveWhatCannotRun(t *testing.T) {
	for name, w := range map[string]*world{"instant": instantWorld(t), "open": openWorld(t)} {
		if err := <-waits(t, w, 0xabc1); err != nil {
			t.Error(name, err)
		}
	}
}

// TestAnswersTellARejection with the code that admission would have used: when it leaves, and while its block is open.
func TestAnswersTellARejection(t *testing.T) {
	told := func(err error) {
		t.Helper()
		if e, ok := clientError(err); !ok || e.Code != errBalance.Code || !strings.Contains(string(e.Data), "too poor") {
			t.Errorf("got %v", e)
		}
	}
	w := instantWorld(t)
	done := waits(t, w, 0xabc2)
	w.chain.Drop(Key(fe(0xabc2)), fmt.Errorf("block 5: %w", &pipeline.Rejection{Refusal: ordov1.Refusal_INSUFFICIENT_BALANCE, Reason: "too poor"}))
	told(<-done)

	w = openWorld(t)
	done = waits(t, w, 0xabc3)
	w.chain.Candidates(50, []*ordov1.Transaction{account(ordov1.TransactionType_INVOKE, 0xabc3, 9)}, nil)
	w.chain.Preconfirm(50, []*ordov1.TransactionResult{{Hash: fe(0xabc3), Status: ordov1.TransactionResult_REJECTED,
		Refusal: ordov1.Refusal_INSUFFICIENT_BALANCE, Reason: "too poor"}}, nil)
	told(<-done)
}

// TestAnswersComeWhenItHasRun in the open block: not before, also when the executor gives it back once, and not after.
func TestAnswersComeWhenItHasRun(t *testing.T) {
	w := openWorld(t)
	done := waits(t, w, 0xabc4)
	tx := []*ordov1.Transaction{account(ordov1.TransactionType_INVOKE, 0xabc4, 9)}
	w.chain.Candidates(50, tx, nil)
	w.chain.ResetPreconfirmed(50)
	w.chain.Open(51, &ordov1.BlockContext{Number: 6})
	w.chain.Candidates(51, tx, nil)
	select {
	case err := <-done:
		t.Fatal("it has not run:", err)
	case <-time.After(2 * settlePatience):
	}
	w.chain.Preconfirm(51, []*ordov1.TransactionResult{{Hash: fe(0xabc4), Status: ordov1.TransactionResult_SUCCEEDED}}, nil)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAnswersOfAFullBlock: what the executor gave back is answered for after a moment; its block may be minutes away.
func TestAnswersOfAFullBlock(t *testing.T) {
	w := openWorld(t)
	done := waits(t, w, 0xabc5)
	w.chain.Candidates(50, []*ordov1.Transaction{account(ordov1.TransactionType_INVOKE, 0xabc5, 9)}, nil)
	w.chain.Closed(50)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAnswersOfAPromise come at once where the configuration says so.
func TestAnswersOfAPromise(t *testing.T) {
	w := openWorld(t)
	w.server.AnswerRun = false
	if err := <-waits(t, w, 0xabc6); err != nil || w.chain.Status(Key(fe(0xabc6))).Status != chainview.Received {
		t.Error(err)
	}
}

// admitting is an ingress that takes everything, and an executor that runs it when told.
type admitting struct {
	chain *chainview.Chain
	sent  chan *ordov1.Transaction
}

func (a *admitting) Admit(_ context.Context, b *gateway.Broadcast) error {
	tx := b.Transaction
	tx.Hash = append(append(make([]byte, 0, 32), tx.Sender[16:]...), tx.Nonce[16:]...)
	a.chain.Received(tx)
	a.sent <- tx
	return nil
}

func (a *admitting) Submit(context.Context, json.RawMessage) (*ordov1.Transaction, error) {
	return nil, errors.New("not read ahead")
}

func (a *admitting) Read(context.Context, json.RawMessage) (*ordov1.Transaction, *ordov1.Class, error) {
	return nil, nil, errors.New("no estimates")
}

// TestABatchIsSentBeforeItIsWaitedFor: the invokes of a batch run together, and what is asked after them sees what they did.
func TestABatchIsSentBeforeItIsWaitedFor(t *testing.T) {
	w := openWorld(t)
	a := &admitting{chain: w.chain, sent: make(chan *ordov1.Transaction, 40)}
	w.server.Gateway = a
	const invoke = `{"jsonrpc":"2.0","id":%d,"method":"starknet_addInvokeTransaction","params":[{"type":"INVOKE","sender_address":"%#x","calldata":["0x1"],` +
		`"version":"0x3","signature":["0x1"],"nonce":"%#x","resource_bounds":{"l1_gas":{"max_amount":"0x1","max_price_per_unit":"0x1"},` +
		`"l2_gas":{"max_amount":"0x1","max_price_per_unit":"0x1"},"l1_data_gas":{"max_amount":"0x1","max_price_per_unit":"0x1"}},"tip":"0x0",` +
		`"paymaster_data":[],"account_deployment_data":[],"nonce_data_availability_mode":"L1","fee_data_availability_mode":"L1"}]}`
	var list []string
	for n := range 20 {
		list = append(list, fmt.Sprintf(invoke, n, 0x100+n%4, n/4))
	}
	list = append(list, fmt.Sprintf(`{"jsonrpc":"2.0","id":20,"method":"starknet_getTransactionStatus","params":["%s"]}`, hexOf(fe(0x100)[16:], fe(4)[16:])))
	answers := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.server.ServeHTTP(answers, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("["+strings.Join(list, ",")+"]")))
	}()
	// None of them is answered for, or it would not be taken before it has run.
	var txs []*ordov1.Transaction
	var results []*ordov1.TransactionResult
	for range 20 {
		tx := <-a.sent
		txs = append(txs, tx)
		results = append(results, &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED})
	}
	select {
	case <-done:
		t.Fatal("answered before they have run:", answers.Body)
	default:
	}
	results[7].Status, results[7].Refusal, results[7].Reason = ordov1.TransactionResult_REJECTED, ordov1.Refusal_INSUFFICIENT_BALANCE, "too poor"
	w.chain.Candidates(50, txs, nil)
	w.chain.Preconfirm(50, results, nil)
	<-done
	var got []struct {
		ID     int
		Result struct {
			Hash     string `json:"transaction_hash"`
			Finality string `json:"finality_status"`
		}
		Error *struct{ Code int }
	}
	if err := json.Unmarshal(answers.Body.Bytes(), &got); err != nil || len(got) != 21 {
		t.Fatal(err, answers.Body)
	}
	refused := 0
	for i, g := range got[:20] {
		if g.Error != nil && g.Error.Code == int(errBalance.Code) {
			refused++
		} else if g.Error != nil || g.Result.Hash == "" || g.ID != i {
			t.Errorf("answer %d: %+v", i, g)
		}
	}
	if refused != 1 || got[20].Result.Finality != "PRE_CONFIRMED" && got[20].Result.Finality != "CANDIDATE" {
		t.Errorf("%d refused, then %+v", refused, got[20])
	}
}

func hexOf(parts ...[]byte) string {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return fmt.Sprintf("0x%x", all)
}
