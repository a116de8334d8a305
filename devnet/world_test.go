package devnet

import (
	"context"
	"encoding/json"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/rpc"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// world is a development node around a small chain: blocks 0 to 2 are stored, block 3 is decided, block 4 is open as build 1.
// Its stages are fakes; gateway, chain view and JSON-RPC server are the real ones.
type world struct {
	chain   *chainview.Chain
	storage *fakeStorage
	clock   *clockwork
	options Options
	devnet  *Devnet
	server  *rpc.Server
	config  rpc.Options
	table   map[string]rpc.Method
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{storage: &fakeStorage{}, clock: &clockwork{}}
	for n := range uint64(3) {
		w.storage.add(&ordov1.BlockHeader{Context: blockContext(n), Hash: fe(0xb10c0 + n), ParentHash: fe(0xb10c0 + n - 1)})
	}
	w.chain = chainview.New(func() *ordov1.BlockContext { return blockContext(0) })
	w.chain.Start(w.storage.blocks[2].Header, nil, nil)
	ran := &ordov1.TransactionResult{Hash: fe(0x301), Status: ordov1.TransactionResult_SUCCEEDED}
	w.chain.Decide(chainview.NewBlock(&ordov1.BlockHeader{Context: blockContext(3)}, []*ordov1.Transaction{account(0x301, 3)},
		[]*ordov1.TransactionResult{ran}, &ordov1.StateDiff{Nonces: fes(0x77, 4)}, nil))
	w.chain.Open(1, blockContext(4))
	conn := dial(t, func(s *grpc.Server) {
		ordov1.RegisterStorageReadServer(s, w.storage)
		ordov1.RegisterExecutionServer(s, fakeExecution{})
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

func dial(t testing.TB, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	listener, server := bufconn.Listen(1<<20), grpc.NewServer()
	register(server)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// fakeStorage has headers, and one nonce for all accounts.
type fakeStorage struct {
	ordov1.UnimplementedStorageReadServer
	mu     sync.Mutex
	blocks []*ordov1.Block
}

func (f *fakeStorage) add(h *ordov1.BlockHeader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blocks = append(f.blocks, &ordov1.Block{Header: h})
}

func (f *fakeStorage) State(_ context.Context, q *ordov1.StateRequest) (*ordov1.StateResponse, error) {
	out := &ordov1.StateResponse{Storage: make([]byte, len(q.Storage)/2), ClassHashes: make([]byte, len(q.ClassHashes))}
	for range len(q.Nonces) / felt.Size {
		out.Nonces = append(out.Nonces, fe(4)...)
	}
	return out, nil
}

func (f *fakeStorage) Blocks(q *ordov1.BlocksRequest, out grpc.ServerStreamingServer[ordov1.Block]) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.blocks {
		if n, byNumber := q.From.(*ordov1.BlocksRequest_Number); byNumber && n.Number != b.Header.Context.Number ||
			!byNumber && string(q.GetHash()) != string(b.Header.Hash) {
			continue
		}
		return out.Send(b)
	}
	return nil
}

// fakeExecution takes every transaction, and answers a call with the contract and the calldata.
type fakeExecution struct {
	ordov1.UnimplementedExecutionServer
}

func (fakeExecution) Validate(_ context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
	out := &ordov1.ValidateResponse{}
	for range q.Items {
		out.Verdicts = append(out.Verdicts, &ordov1.ValidateResponse_Verdict{})
	}
	return out, nil
}

func (fakeExecution) View(_ context.Context, q *ordov1.ViewRequest) (*ordov1.ViewResponse, error) {
	call := q.GetCall()
	return &ordov1.ViewResponse{Result: &ordov1.ViewResponse_Call{Call: append(call.Contract[:32:32], call.Calldata...)}}, nil
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
