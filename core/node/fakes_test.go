package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/chain"
	"github.com/ordo-sequencer/ordo/core/pool"
	"github.com/ordo-sequencer/ordo/core/starknet"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	"github.com/ordo-sequencer/ordo/core/starknet/poseidon"
	"github.com/ordo-sequencer/ordo/core/starknet/wire"
	"github.com/ordo-sequencer/ordo/sdk/grammar"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// serve puts services on an in-memory connection, with real gRPC in between and a recorder of what is called.
func serve(t testing.TB, recorder *grammar.Recorder, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	register(server)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:fake", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithChainUnaryInterceptor(recorder.Unary), grpc.WithChainStreamInterceptor(recorder.Stream))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func num(n uint64) []byte { return new(big.Int).SetUint64(n).FillBytes(make([]byte, 32)) }

// ---- execution: accounts with nonces, and a counter each at contract 0x100 ----

// What the first word of calldata makes a transaction do.
const (
	plain = iota
	reverts
	rejects
	breaks // the stream of the build, once
)

type fakeExecution struct {
	ordov1.UnimplementedExecutionServer
	read   ordov1.StorageReadClient
	limit  int // transactions in a block; 0: none
	mu     sync.Mutex
	tip    uint64
	hasTip bool
	state  map[pool.Key]uint64 // nonces that storage may not have yet
	closed map[uint64]map[pool.Key]uint64
	broken map[pool.Key]bool // transactions that have broken a stream
	dead   bool
}

func (f *fakeExecution) nonce(ctx context.Context, overlay map[pool.Key]uint64, account pool.Key) (uint64, error) {
	if n, ok := overlay[account]; ok {
		return n, nil
	}
	f.mu.Lock()
	n, ok := f.state[account]
	f.mu.Unlock()
	if ok {
		return n, nil
	}
	state, err := f.read.State(ctx, &ordov1.StateRequest{Nonces: account[:]})
	if err != nil {
		return 0, err
	}
	n, _ = pool.Nonce(state.Nonces)
	return n, nil
}

func (f *fakeExecution) Build(stream ordov1.Execution_BuildServer) error {
	var attempt uint64
	var txs []*ordov1.Transaction
	var results []*ordov1.TransactionResult
	overlay := map[pool.Key]uint64{}
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f.mu.Lock()
		tip, dead := f.tip, f.dead
		f.mu.Unlock()
		if dead {
			return status.Error(codes.Unavailable, "execution is gone")
		}
		switch step := request.Step.(type) {
		case *ordov1.BuildRequest_Open_:
			if step.Open.Context.Number != tip+1 {
				return status.Errorf(codes.FailedPrecondition, "block %d on tip %d", step.Open.Context.Number, tip)
			}
			attempt = step.Open.Attempt
			if err := stream.Send(&ordov1.BuildResponse{Step: &ordov1.BuildResponse_Opened_{Opened: &ordov1.BuildResponse_Opened{}}}); err != nil {
				return err
			}
		case *ordov1.BuildRequest_Add_:
			out := &ordov1.BuildResponse_Results{First: uint64(len(results))}
			nonces := map[pool.Key]uint64{}
			for _, tx := range step.Add.Transactions {
				if f.limit > 0 && len(results) == f.limit {
					break
				}
				r, err := f.execute(stream.Context(), overlay, nonces, tx)
				if err != nil {
					return err
				}
				txs, results, out.Results = append(txs, tx), append(results, r), append(out.Results, r)
			}
			out.Delta = diffOf(nonces)
			if len(out.Results) > 0 {
				if err := stream.Send(&ordov1.BuildResponse{Step: &ordov1.BuildResponse_Results_{Results: out}}); err != nil {
					return err
				}
			}
			if f.limit > 0 && len(results) == f.limit && len(out.Results) < len(step.Add.Transactions) {
				if err := stream.Send(&ordov1.BuildResponse{Step: &ordov1.BuildResponse_Full_{Full: &ordov1.BuildResponse_Full{N: uint64(len(results)), Why: "count"}}}); err != nil {
					return err
				}
			}
		case *ordov1.BuildRequest_Close_:
			n := int(step.Close.N)
			if n > len(results) {
				return status.Error(codes.InvalidArgument, "close beyond the results")
			}
			final := map[pool.Key]uint64{}
			for i, r := range results[:n] {
				if r.Status != ordov1.TransactionResult_REJECTED {
					nonce, _ := pool.Nonce(txs[i].Nonce)
					final[pool.Key(txs[i].Sender)] = nonce + 1
				}
			}
			f.mu.Lock()
			f.closed[attempt] = final
			f.mu.Unlock()
			return stream.Send(&ordov1.BuildResponse{Step: &ordov1.BuildResponse_Closed_{Closed: &ordov1.BuildResponse_Closed{N: step.Close.N, StateDiff: diffOf(final), GasUsed: &ordov1.Gas{}}}})
		case *ordov1.BuildRequest_Abort_:
			return nil
		}
	}
}

func (f *fakeExecution) execute(ctx context.Context, overlay, changed map[pool.Key]uint64, tx *ordov1.Transaction) (*ordov1.TransactionResult, error) {
	r := &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED, ActualFee: u128(7), Gas: &ordov1.Gas{L2Gas: 5}, DaGas: &ordov1.Gas{},
		Events: []*ordov1.Event{{FromAddress: tx.Sender, Keys: num(1), Data: tx.Nonce}}}
	sender := pool.Key(tx.Sender)
	nonce, err := f.nonce(ctx, overlay, sender)
	if err != nil {
		return nil, err
	}
	want, _ := pool.Nonce(tx.Nonce)
	what := uint64(plain)
	if len(tx.Calldata) >= 32 {
		what, _ = pool.Nonce(tx.Calldata[:32])
	}
	switch {
	case nonce != want:
		return &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_REJECTED, Refusal: ordov1.Refusal_INVALID_NONCE, Reason: fmt.Sprintf("nonce %d, account at %d", want, nonce)}, nil
	case what == rejects:
		return &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_REJECTED, Refusal: ordov1.Refusal_VALIDATION_FAILURE, Reason: "no"}, nil
	case what == breaks:
		f.mu.Lock()
		before := f.broken[pool.Key(tx.Hash)]
		f.broken[pool.Key(tx.Hash)] = true
		f.mu.Unlock()
		if !before {
			return nil, status.Error(codes.Internal, "a worker panicked")
		}
	case what == reverts:
		r.Status, r.Reason, r.Events = ordov1.TransactionResult_REVERTED, "out of luck", nil
	}
	overlay[sender], changed[sender] = nonce+1, nonce+1
	return r, nil
}

func diffOf(nonces map[pool.Key]uint64) *ordov1.StateDiff {
	d := &ordov1.StateDiff{Nonces: nil}
	counters := &ordov1.StateDiff{Storage: []*ordov1.ContractStorage{{Address: num(0x100)}}}
	for account, n := range nonces {
		d.Nonces = append(append(d.Nonces, account[:]...), num(n)...)
		counters.Storage[0].Entries = append(append(counters.Storage[0].Entries, account[:]...), num(n)...)
	}
	if len(nonces) == 0 {
		counters = nil
	}
	return chain.Merge([]*ordov1.StateDiff{d, counters}) // sorted
}

func (f *fakeExecution) Apply(_ context.Context, r *ordov1.ApplyRequest) (*ordov1.ApplyResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.dead:
		return nil, status.Error(codes.Unavailable, "execution is gone")
	case r.Adopt:
		f.tip, f.hasTip, f.state, f.closed = r.Height, true, map[pool.Key]uint64{}, map[uint64]map[pool.Key]uint64{}
	case r.Height != f.tip+1 || f.closed[r.Attempt] == nil:
		return nil, status.Errorf(codes.FailedPrecondition, "apply %d of build %d on tip %d", r.Height, r.Attempt, f.tip)
	default:
		for account, n := range f.closed[r.Attempt] {
			f.state[account] = n
		}
		f.tip, f.closed = r.Height, map[uint64]map[pool.Key]uint64{}
	}
	return &ordov1.ApplyResponse{HasTip: true, Tip: f.tip}, nil
}

// ---- storage: in memory; the "root" chains over the state diffs, the block hash is the real one ----

type fakeStorage struct {
	ordov1.UnimplementedStorageServer
	ordov1.UnimplementedStorageReadServer
	mu     sync.Mutex
	blocks []*ordov1.Block
	nonces map[pool.Key][]byte
	bell   chan struct{}
	lie    bool          // about block hashes
	slow   time.Duration // before every root
}

func newStorage() *fakeStorage {
	return &fakeStorage{nonces: map[pool.Key][]byte{}, bell: make(chan struct{})}
}

func (f *fakeStorage) Head(context.Context, *ordov1.HeadRequest) (*ordov1.HeadResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.blocks) == 0 {
		return &ordov1.HeadResponse{Empty: true}, nil
	}
	h := &ordov1.HeadResponse{Height: uint64(len(f.blocks) - 1)}
	for _, b := range f.blocks {
		if len(b.Header.Hash) > 0 {
			h.Rooted, h.RootHeight, h.StateRoot, h.BlockHash = true, b.Header.Context.Number, b.Header.StateRoot, b.Header.Hash
		}
	}
	return h, nil
}

func (f *fakeStorage) Commit(stream ordov1.Storage_CommitServer) error {
	b := &ordov1.Block{}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if part.Header != nil {
			b.Header, b.Certificate = part.Header, part.Certificate
		}
		b.Transactions, b.Results = append(b.Transactions, part.Transactions...), append(b.Results, part.Results...)
		if part.StateDiff != nil {
			b.StateDiff = part.StateDiff
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	height := b.Header.Context.Number
	switch {
	case height != uint64(len(f.blocks)):
		return status.Errorf(codes.FailedPrecondition, "block %d after %d blocks", height, len(f.blocks))
	case int(b.Header.TransactionCount) != len(b.Transactions) || len(b.Transactions) != len(b.Results):
		return status.Error(codes.InvalidArgument, "counts")
	}
	f.blocks = append(f.blocks, b)
	for d := b.StateDiff.GetNonces(); len(d) >= 64; d = d[64:] {
		f.nonces[pool.Key(d[:32])] = d[32:64]
	}
	close(f.bell)
	f.bell = make(chan struct{})
	return stream.SendAndClose(&ordov1.CommitResponse{Height: height})
}

func (f *fakeStorage) Roots(r *ordov1.RootsRequest, stream ordov1.Storage_RootsServer) error {
	for height := r.From; ; height++ {
		f.mu.Lock()
		for uint64(len(f.blocks)) <= height {
			bell := f.bell
			f.mu.Unlock()
			select {
			case <-bell:
			case <-stream.Context().Done():
				return nil
			}
			f.mu.Lock()
		}
		slow := f.slow
		f.mu.Unlock()
		time.Sleep(slow)
		f.mu.Lock()
		root := f.root(height)
		f.mu.Unlock()
		if err := stream.Send(root); err != nil {
			return err
		}
	}
}

func (f *fakeStorage) root(height uint64) *ordov1.Root {
	b := f.blocks[height]
	parent := &ordov1.BlockHeader{}
	if height > 0 {
		parent = f.blocks[height-1].Header
	}
	changes, _ := wire.StateDiff(b.StateDiff)
	before, _ := wire.Felt(parent.StateRoot)
	h := proto.Clone(b.Header).(*ordov1.BlockHeader)
	h.StateRoot, h.ParentHash = wire.FromFelt(poseidon.Hash(before, changes.Commitment())), parent.Hash
	hashed, _ := wire.Header(h)
	hash, _ := hashed.Hash()
	if f.lie && height == 2 {
		hash = hash.Add(felt.One())
	}
	h.Hash = wire.FromFelt(hash)
	b.Header = h
	return &ordov1.Root{Height: height, StateRoot: h.StateRoot, BlockHash: h.Hash, ParentHash: h.ParentHash}
}

func (f *fakeStorage) State(_ context.Context, r *ordov1.StateRequest) (*ordov1.StateResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := &ordov1.StateResponse{}
	for b := r.Nonces; len(b) >= 32; b = b[32:] {
		nonce := f.nonces[pool.Key(b[:32])]
		if nonce == nil {
			nonce = make([]byte, 32)
		}
		out.Nonces = append(out.Nonces, nonce...)
	}
	return out, nil
}

func (f *fakeStorage) Classes(*ordov1.ClassesRequest, ordov1.StorageRead_ClassesServer) error {
	return nil
}

func (f *fakeStorage) Blocks(r *ordov1.BlocksRequest, stream ordov1.StorageRead_BlocksServer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := r.GetNumber(); n < uint64(len(f.blocks)) {
		return stream.Send(f.blocks[n])
	}
	return nil
}

// ---- ordering and consensus ----

type fakeOrdering struct {
	ordov1.UnimplementedOrderingServer
	mu   sync.Mutex
	dead bool
}

func (f *fakeOrdering) Score(_ context.Context, r *ordov1.ScoreRequest) (*ordov1.ScoreResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return nil, status.Error(codes.Unavailable, "ordering is gone")
	}
	out := &ordov1.ScoreResponse{Generation: 1}
	for _, view := range r.Transactions {
		out.Hi = append(out.Hi, view.Tip)
	}
	return out, nil
}

// fakeConsensus answers events by a function, which makes a test a script.
type fakeConsensus struct {
	ordov1.UnimplementedConsensusServer
	step func(*ordov1.ConsensusEvent) []*ordov1.Action
}

func (f *fakeConsensus) Run(stream ordov1.Consensus_RunServer) error {
	for {
		event, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := stream.Send(&ordov1.Actions{Seq: event.Seq, Actions: f.step(event)}); err != nil {
			return err
		}
	}
}

func doBuild(b *ordov1.Action_Build) *ordov1.Action {
	return &ordov1.Action{Action: &ordov1.Action_Build_{Build: b}}
}

func doSeal(attempt uint64) *ordov1.Action {
	return &ordov1.Action{Action: &ordov1.Action_Seal_{Seal: &ordov1.Action_Seal{Attempt: attempt}}}
}

func doDecide(attempt uint64, value []byte) *ordov1.Action {
	return &ordov1.Action{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{Attempt: attempt, Value: value}}}
}

// solo builds when there is something and when asked, and decides at once.
func solo() func(*ordov1.ConsensusEvent) []*ordov1.Action {
	attempt, building, again := uint64(0), false, false
	build := func(empty bool) []*ordov1.Action {
		attempt++
		building = true
		actions := []*ordov1.Action{doBuild(&ordov1.Action_Build{Attempt: attempt, IdleMs: 2, DeadlineMs: 500, AllowEmpty: empty})}
		if empty {
			actions = append(actions, doSeal(attempt))
		}
		return actions
	}
	return func(event *ordov1.ConsensusEvent) []*ordov1.Action {
		switch e := event.Event.(type) {
		case *ordov1.ConsensusEvent_Ready_:
			if !building {
				return build(false)
			}
		case *ordov1.ConsensusEvent_Demand_:
			if !building {
				return build(true)
			}
			again = true
		case *ordov1.ConsensusEvent_Built_:
			return []*ordov1.Action{doDecide(e.Built.Attempt, e.Built.Value)}
		case *ordov1.ConsensusEvent_Decided_, *ordov1.ConsensusEvent_Failed_:
			building = false
			if again {
				again = false
				return build(true)
			}
		}
		return nil
	}
}

// ---- one node on fakes ----

type world struct {
	t         testing.TB
	recorder  *grammar.Recorder
	storage   *fakeStorage
	execution *fakeExecution
	ordering  *fakeOrdering
	consensus func(*ordov1.ConsensusEvent) []*ordov1.Action
	options   Options
	node      *Node
}

func newWorld(t testing.TB) *world {
	return &world{t: t, recorder: &grammar.Recorder{}, storage: newStorage(), ordering: &fakeOrdering{}, consensus: solo(),
		execution: &fakeExecution{broken: map[pool.Key]bool{}},
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
			ordov1.RegisterConsensusServer(s, &fakeConsensus{step: w.consensus})
		}),
		OrderingCapabilities: w.options.Stages.OrderingCapabilities, ConsensusCapabilities: w.options.Stages.ConsensusCapabilities,
	}
	w.execution.read = ordov1.NewStorageReadClient(w.options.Stages.StorageRead)
}

func (w *world) start() *Node {
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
	w.t.Cleanup(func() { node.end(nil); node.work.Wait() })
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
		if err := w.node.Submit(ctx(w.t), tx, nil); err != nil {
			w.t.Fatal(err)
		}
	}
}

// await waits until all have reached a stage.
func (w *world) await(stage chain.Stage, txs ...*ordov1.Transaction) {
	w.t.Helper()
	for _, tx := range txs {
		err := w.node.Chain().Await(ctx(w.t), func() bool {
			got := w.node.Chain().Status(pool.Key(tx.Hash)).Stage
			return got >= stage
		})
		if got := w.node.Chain().Status(pool.Key(tx.Hash)); err != nil || got.Stage != stage {
			w.t.Fatalf("transaction of 0x%x, nonce %d: %v: is %s (%v), not %s; node: %v", bytes.TrimLeft(tx.Sender, "\x00"), tx.Nonce[31], err, got.Stage, got.Why, stage, w.node.Err())
		}
	}
}

// chainIsSound recomputes every hash and link of what storage holds.
func (w *world) chainIsSound() {
	w.t.Helper()
	w.storage.mu.Lock()
	defer w.storage.mu.Unlock()
	parent := felt.Zero()
	for i, b := range w.storage.blocks {
		sealed, err := Seal(&ordov1.BlockHeader{Context: b.Header.Context, GasUsed: b.Header.GasUsed}, b.Transactions, b.Results, b.StateDiff)
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
		if old := b.Header.Context.OldBlockHash; i >= 10 && !bytes.Equal(old, w.storage.blocks[i-10].Header.Hash) {
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
	w.storage.mu.Lock()
	defer w.storage.mu.Unlock()
	for _, b := range w.storage.blocks[:latest+1] {
		count += len(b.Transactions)
	}
	return count
}
