package devnet

import (
	"context"
	"encoding/json"
	"testing"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/rpc"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// world is a development node around a small chain: blocks 0 to 2 are stored, block 3 is decided, block 4 is open as build 1.
// Its stages are fakes; gateway, chain view and JSON-RPC server are the real ones.
type world struct {
	chain   *chainview.Chain
	storage *fakestage.Chain
	clock   *clockwork
	options Options
	devnet  *Devnet
	server  *rpc.Server
	config  rpc.Options
	table   map[string]rpc.Method
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{storage: &fakestage.Chain{}, clock: &clockwork{}}
	for n := range uint64(3) {
		w.storage.Append(&ordov1.Block{Header: &ordov1.BlockHeader{Context: blockContext(n), Hash: fe(0xb10c0 + n), ParentHash: fe(0xb10c0 + n - 1)},
			StateDiff: &ordov1.StateDiff{Nonces: fes(0x77, 4)}})
	}
	w.chain = chainview.New(func() *ordov1.BlockContext { return blockContext(0) })
	w.chain.Start(w.storage.Stored[2].Header, nil, nil)
	ran := &ordov1.TransactionResult{Hash: fe(0x301), Status: ordov1.TransactionResult_SUCCEEDED}
	w.chain.Decide(chainview.NewBlock(&ordov1.BlockHeader{Context: blockContext(3)}, []*ordov1.Transaction{account(0x301, 3)},
		[]*ordov1.TransactionResult{ran}, &ordov1.StateDiff{Nonces: fes(0x77, 4)}, nil))
	w.chain.Open(1, blockContext(4))
	conn := fakestage.Dial(t, func(s *grpc.Server) {
		ordov1.RegisterStorageReadServer(s, w.storage)
		ordov1.RegisterExecutionServer(s, &fakestage.Questions{})
	})
	reads, runs, id := ordov1.NewStorageReadClient(conn), ordov1.NewExecutionClient(conn), felt.MustShortString("SN_SEPOLIA")
	in := gateway.New(gateway.Options{ChainID: id, Execution: runs, Storage: reads, Pool: fakePool{w.chain}, Chain: w.chain})
	t.Cleanup(in.Close)
	w.options = Options{
		ChainID: id, Chain: w.chain, Gateway: in,
		Config: Config{Seed: 7, TotalAccounts: 1, AccountClassHash: felt.FromUint64(0xc1), InitialBalance: "1000", ChainID: "SN_SEPOLIA",
			StateArchive: "full", BlockGeneration: "transaction"},
		Accounts: []Account{{InitialBalance: "1000", Address: felt.FromUint64(0x77), PublicKey: felt.FromUint64(1), PrivateKey: felt.FromUint64(2)}},
		STRK:     felt.FromUint64(0x57), ETH: felt.FromUint64(0xe7), Faucet: faucet{},
		CreateBlock: func(context.Context) (felt.Felt, error) { return felt.FromUint64(0xb10c2), nil },
		Clock:       w.clock,
	}
	w.config = rpc.Options{ChainID: id, Chain: w.chain, Storage: reads, Execution: runs, Gateway: in}
	w.serve(AtOnce(w.chain))
	return w
}

// serve makes the node anew, with its options and answers.
func (w *world) serve(a *Answers) {
	w.devnet = New(w.options, a)
	w.config.Extension = &tapped{w.devnet, w}
	w.server = rpc.New(w.config)
}

// tapped is a Devnet whose table of methods the test can read.
type tapped struct {
	*Devnet
	w *world
}

func (e *tapped) Methods(s *rpc.Server) map[string]rpc.Method {
	e.w.table = e.Devnet.Methods(s)
	return e.w.table
}

// methods is the table that the node serves.
func (w *world) methods() map[string]rpc.Method { return w.table }

// call is one request: its result, or its error, as text.
func call(t testing.TB, w *world, name, params string) string {
	t.Helper()
	result, failed := w.server.Call(t.Context(), name, json.RawMessage(params))
	var v any = result
	if failed != nil {
		v = failed
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// fakePool keeps what it is given.
type fakePool struct{ chain *chainview.Chain }

func (p fakePool) SubmitAt(_ context.Context, tx *ordov1.Transaction, _ *ordov1.Class, _ uint64) error {
	p.chain.Received(tx)
	return nil
}

func (fakePool) Deploying([]byte) bool { return false }

// faucet signs with the hash itself, so that a test can check what was signed.
type faucet struct{}

func (faucet) Address() felt.Felt                       { return felt.FromUint64(0x77) }
func (faucet) Sign(hash felt.Felt) ([]felt.Felt, error) { return []felt.Felt{hash, felt.One()}, nil }

func blockContext(n uint64) *ordov1.BlockContext {
	price := &ordov1.GasPrice{Wei: fe(1)[16:], Fri: fe(1_000_000_000)[16:]}
	return &ordov1.BlockContext{Number: n, Timestamp: 1_700_000_000 + n, Sequencer: fe(0x5e0), StarknetVersion: "0.14.4", L1Gas: price, L1DataGas: price, L2Gas: price}
}

func account(hash, nonce uint64) *ordov1.Transaction {
	return &ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Hash: fe(hash), Sender: fe(0x77), Nonce: fe(nonce), Calldata: fes(1), ResourceBounds: &ordov1.ResourceBounds{}}
}

func fe(n uint64) []byte { return felt.FromUint64(n).Append(nil) }

func fes(list ...uint64) (out []byte) {
	for _, n := range list {
		out = append(out, fe(n)...)
	}
	return out
}
