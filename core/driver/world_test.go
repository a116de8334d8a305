package driver

import (
	"bytes"
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
	"github.com/ordo-sequencer/ordo/test/fakestage"
	"github.com/ordo-sequencer/ordo/test/grammar"
)

type world struct {
	t         testing.TB
	recorder  *grammar.Recorder
	storage   *fakestage.Storage
	execution *fakestage.Execution
	ordering  *fakestage.Ordering
	consensus func(*ordov1.ConsensusEvent) []*ordov1.Action
	options   Options
	node      *Driver
}

// serve puts services on an in-memory connection, with real gRPC in between and a recorder of what is called.
func serve(t testing.TB, recorder *grammar.Recorder, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	return fakestage.Dial(t, register, grpc.WithChainUnaryInterceptor(recorder.Unary), grpc.WithChainStreamInterceptor(recorder.Stream))
}

// What a transaction does.
const (
	plain, reverts, rejects, breaks, hangs, kills = fakestage.Plain, fakestage.Reverts, fakestage.Rejects, fakestage.Breaks, fakestage.Hangs, fakestage.Kills
)

func num(n uint64) []byte { return felt.FromUint64(n).Append(nil) }

func newWorld(t testing.TB) *world {
	return &world{t: t, recorder: &grammar.Recorder{}, storage: fakestage.NewStorage(), ordering: &fakestage.Ordering{}, consensus: fakestage.Solo(),
		execution: fakestage.NewExecution(),
		options:   Options{ChainID: "SN_TEST", Genesis: &Genesis{Timestamp: 1, Diff: &ordov1.StateDiff{Nonces: append(num(0xacc0), num(3)...)}}}}
}

func (w *world) make() {
	w.t.Helper()
	w.options.Stages = Stages{
		Storage:     serve(w.t, w.recorder, func(s *grpc.Server) { ordov1.RegisterStorageServer(s, w.storage) }),
		StorageRead: serve(w.t, &grammar.Recorder{}, func(s *grpc.Server) { ordov1.RegisterStorageReadServer(s, w.storage) }),
		Execution:   serve(w.t, w.recorder, func(s *grpc.Server) { ordov1.RegisterExecutionServer(s, w.execution) }),
		Ordering:    serve(w.t, w.recorder, func(s *grpc.Server) { ordov1.RegisterOrderingServer(s, w.ordering) }),
		Consensus: serve(w.t, w.recorder, func(s *grpc.Server) {
			ordov1.RegisterConsensusServer(s, &fakestage.Consensus{Step: w.consensus})
		}),
		OrderingCapabilities: w.options.Stages.OrderingCapabilities, ConsensusCapabilities: w.options.Stages.ConsensusCapabilities,
	}
	w.execution.Read = ordov1.NewStorageReadClient(w.options.Stages.StorageRead)
}

func (w *world) start() *Driver {
	w.t.Helper()
	w.make()
	var err error
	if w.node, err = New(w.options); err != nil {
		w.t.Fatal(err)
	}
	if err := w.node.Start(ctx(w.t)); err != nil {
		w.t.Fatal(err)
	}
	node := w.node
	w.t.Cleanup(func() { node.stop(nil); node.work.Wait() })
	return w.node
}

func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return c
}

func (w *world) tx(account, nonce, what, tip uint64) *ordov1.Transaction {
	tx := &ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Sender: num(account), Nonce: num(nonce), Tip: tip, Calldata: num(what),
		ResourceBounds: &ordov1.ResourceBounds{L2GasAmount: 1000, L2GasPrice: u128(1e9)}, Signature: num(account)}
	chainID, _ := felt.FromShortString(w.options.ChainID)
	hash, err := wire.TransactionHash(tx, chainID)
	if err != nil {
		w.t.Fatal(err)
	}
	tx.Hash = wire.FromFelt(hash)
	return tx
}

func (w *world) submit(txs ...*ordov1.Transaction) {
	w.t.Helper()
	for _, tx := range txs {
		if err := w.submitOne(tx); err != nil {
			w.t.Fatal(err)
		}
	}
}

// submitOne submits a transaction as admission does: with the nonce that execution tells, asked again while that restarts.
func (w *world) submitOne(tx *ordov1.Transaction) error {
	c := ctx(w.t)
	for {
		verdicts, err := ordov1.NewExecutionClient(w.options.Stages.Execution).Validate(c, &ordov1.ValidateRequest{Items: []*ordov1.ValidateRequest_Item{{Transaction: tx}}})
		if err == nil {
			nonce, _ := mempool.Nonce(verdicts.Verdicts[0].AccountNonce)
			return w.node.SubmitAt(c, tx, nil, nonce)
		}
		select {
		case <-w.node.Done():
			return ErrStopped
		case <-c.Done():
			return err
		case <-time.After(time.Millisecond):
		}
	}
}

// await waits until all have reached a stage.
func (w *world) await(stage chainview.Status, txs ...*ordov1.Transaction) {
	w.t.Helper()
	for _, tx := range txs {
		err := w.node.Chain().Await(ctx(w.t), func() bool {
			got := w.node.Chain().Status(mempool.Key(tx.Hash)).Status
			return got >= stage
		})
		if got := w.node.Chain().Status(mempool.Key(tx.Hash)); err != nil || got.Status != stage {
			w.t.Fatalf("transaction of 0x%x, nonce %d: %v: is %s (%v), not %s; node: %v", bytes.TrimLeft(tx.Sender, "\x00"), tx.Nonce[31], err, got.Status, got.Why, stage, w.node.Err())
		}
	}
}

// chainIsSound recomputes every hash and link of what storage holds.
func (w *world) chainIsSound() {
	w.t.Helper()
	w.storage.Mu.Lock()
	defer w.storage.Mu.Unlock()
	parent := felt.Zero()
	for i, b := range w.storage.Stored {
		sealed, err := HashHeader(&ordov1.BlockHeader{Context: b.Header.Context, GasUsed: b.Header.GasUsed}, b.Transactions, b.Results, b.StateDiff)
		if err != nil {
			w.t.Fatal(err)
		}
		if !bytes.Equal(sealed.PartialHash, b.Header.PartialHash) {
			w.t.Fatalf("block %d: partial hash", i)
		}
		var h starknet.Header
		if h, err = wire.Header(b.Header); err != nil {
			w.t.Fatal(err)
		}
		if h.ParentHash != parent {
			w.t.Fatalf("block %d: parent", i)
		}
		if parent, err = h.Hash(); err != nil {
			w.t.Fatal(err)
		}
		if old := b.Header.Context.OldBlockHash; i >= 10 && !bytes.Equal(old, w.storage.Stored[i-10].Header.Hash) {
			w.t.Fatalf("block %d: old hash %x", i, old)
		}
	}
}

// callsAreLawful checks what was sent against the grammars of the specification.
func (w *world) callsAreLawful(pages map[string]*grammar.Grammar) {
	w.t.Helper()
	for service, name := range map[string]string{"ordo.v1.Storage": "storage", "ordo.v1.Execution": "execution", "ordo.v1.Ordering": "ordering"} {
		if err := pages[name].Check(w.recorder.Calls(service)); err != nil {
			w.t.Error(err)
		}
	}
	for _, steps := range w.recorder.Streams("/ordo.v1.Execution/Build") {
		if err := pages["build"].Check(steps); err != nil {
			w.t.Error(err)
		}
	}
	for _, steps := range w.recorder.Streams("/ordo.v1.Consensus/Run") {
		if err := pages["run"].Check(steps); err != nil {
			w.t.Error(err)
		}
	}
}

// accepted counts the transactions in blocks with a root.
func (w *world) accepted() (count int) {
	latest := w.node.Chain().Latest().Context.Number
	w.storage.Mu.Lock()
	defer w.storage.Mu.Unlock()
	for _, b := range w.storage.Stored[:latest+1] {
		count += len(b.Transactions)
	}
	return count
}
