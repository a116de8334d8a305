package rpc

import (
	"testing"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// world is a small chain that has one of everything:
// block 0 deploys 0x77, 0x88 (class 0xc1) and the token 0x99; block 1 invokes and reverts; block 2 declares 0xc2, deploys
// an account and handles a message; block 3 is decided and not accepted; block 4 is open; two transactions wait.
type world struct {
	server    *Server
	chain     *chainview.Chain
	storage   *fakeStorage
	execution *fakeExecution
	pool      *fakePool
	gateway   *gateway.Gateway

	reads, runs grpc.ClientConnInterface // to storage and execution
}

func blockContext(n uint64) *ordov1.BlockContext {
	return &ordov1.BlockContext{
		Number: n, Timestamp: 1_700_000_000 + n, Sequencer: fe(0x5e0), StarknetVersion: "0.14.4", BlobDa: true,
		L1Gas:     &ordov1.GasPrice{Wei: u128(1), Fri: u128(1_000_000_000)},
		L1DataGas: &ordov1.GasPrice{Wei: u128(2), Fri: u128(2_000_000_000)},
		L2Gas:     &ordov1.GasPrice{Wei: u128(3), Fri: u128(3_000_000_000)},
	}
}

func account(kind ordov1.TransactionType, hash, nonce uint64) *ordov1.Transaction {
	return &ordov1.Transaction{
		Type: kind, Hash: fe(hash), Sender: fe(0x77), Nonce: fe(nonce), Tip: 5, Signature: fes(0x51, 0x52), Calldata: fes(1, 0x99, 2),
		ResourceBounds: &ordov1.ResourceBounds{L1GasPrice: u128(7), L2GasAmount: 1 << 40, L2GasPrice: u128(9), L1DataGasAmount: 10, L1DataGasPrice: u128(11)},
	}
}

func result(hash uint64, events ...*ordov1.Event) *ordov1.TransactionResult {
	return &ordov1.TransactionResult{
		Hash: fe(hash), Status: ordov1.TransactionResult_SUCCEEDED, ActualFee: u128(0xfee), Gas: &ordov1.Gas{L1DataGas: 128, L2Gas: 1_000_000},
		Events: events,
	}
}

func emitted(from uint64, keys, data []byte) *ordov1.Event {
	return &ordov1.Event{FromAddress: fe(from), Keys: keys, Data: data}
}

func accepted(n uint64, txs []*ordov1.Transaction, results []*ordov1.TransactionResult, diff *ordov1.StateDiff) *ordov1.Block {
	events := uint32(0)
	for _, r := range results {
		events += uint32(len(r.Events))
	}
	h := &ordov1.BlockHeader{
		Context: blockContext(n), TransactionCount: uint32(len(txs)), EventCount: events, StateDiffLength: 3,
		TransactionCommitment: fe(0xa0 + n), EventCommitment: fe(0xb0 + n), ReceiptCommitment: fe(0xc0 + n), StateDiffCommitment: fe(0xd0 + n),
		Hash: fe(0xb10c0 + n), ParentHash: fe(0),
	}
	if n > 0 {
		h.ParentHash = fe(0xb10c0 + n - 1)
	}
	return &ordov1.Block{Header: h, Transactions: txs, Results: results, StateDiff: diff}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	reverted := result(0x102)
	reverted.Status, reverted.Reason = ordov1.TransactionResult_REVERTED, "assert <failed>"
	declare := account(ordov1.TransactionType_DECLARE, 0x201, 2)
	declare.Calldata, declare.ClassHash, declare.CompiledClassHash = nil, fe(0xc2), fe(0xcc)
	deploy := account(ordov1.TransactionType_DEPLOY_ACCOUNT, 0x202, 0)
	deploy.Sender, deploy.ClassHash, deploy.ContractAddressSalt = fe(0x66), fe(0xc1), fe(0x5a17)
	message := &ordov1.Transaction{
		Type: ordov1.TransactionType_L1_HANDLER, Hash: fe(0x203), Sender: fe(0x88), Nonce: fe(4), EntryPointSelector: fe(0x5e1), Calldata: fes(0xe0a, 1, 2),
	}
	sent := result(0x202, emitted(0x66, fes(0xe2), nil))
	sent.Messages = []*ordov1.MessageToL1{{FromAddress: fe(0x66), ToAddress: fe(0xabc), Payload: fes(1, 2)}}
	storage := &fakeStorage{Chain: fakestage.Chain{
		Stored: []*ordov1.Block{
			accepted(0, nil, nil, &ordov1.StateDiff{
				Deployed: fes(0x77, 0xc1, 0x88, 0xc1, 0x99, 0xc0), Declared: fes(0xc1, 0xcc1), DeprecatedDeclared: fes(0xc0),
				Storage: []*ordov1.ContractStorage{{Address: fe(0x99), Entries: fes(1, 100)}},
			}),
			accepted(1, []*ordov1.Transaction{account(ordov1.TransactionType_INVOKE, 0x101, 0), account(ordov1.TransactionType_INVOKE, 0x102, 1)},
				[]*ordov1.TransactionResult{result(0x101, emitted(0x99, fes(0xe1, 0x77), fes(1)), emitted(0x99, fes(0xe1, 0x88), fes(2)), emitted(0x88, fes(0xe2), nil)), reverted},
				&ordov1.StateDiff{Nonces: fes(0x77, 2), Storage: []*ordov1.ContractStorage{{Address: fe(0x99), Entries: fes(1, 101, 2, 7)}}}),
			accepted(2, []*ordov1.Transaction{declare, deploy, message},
				[]*ordov1.TransactionResult{result(0x201), sent, result(0x203, emitted(0x99, fes(0xe1), fes(3)))},
				&ordov1.StateDiff{Nonces: fes(0x66, 1, 0x77, 3), Declared: fes(0xc2, 0xcc), Migrated: fes(0xc5, 0xb5), Deployed: fes(0x66, 0xc1), Replaced: fes(0x88, 0xc2)}),
		},
		Known: []*ordov1.Class{
			{Hash: fe(0xc1), Kind: ordov1.Class_SIERRA, CompiledClassHash: fe(0xcc1),
				Definition: []byte(`{"sierra_program":["0x1"],"contract_class_version":"0.1.0","entry_points_by_type":{"CONSTRUCTOR":[],"EXTERNAL":[{"selector":"0x5","function_idx":0}],"L1_HANDLER":[]},"abi":"[]"}`),
				Casm:       []byte(`{"prime":"0x800000000000011000000000000000000000000000000000000000000000001","compiler_version":"2.1.0","bytecode":["0x1"],"hints":[[0,[{"TestLessThan":{"lhs":{"Immediate":"-0x1"},"rhs":{"Immediate":"-0x10000000000000000"},"dst":{"register":"AP","offset":0}}}]]],"pythonic_hints":[],"entry_points_by_type":{"CONSTRUCTOR":[],"EXTERNAL":[{"selector":"0x5","offset":0,"builtins":["range_check"]}],"L1_HANDLER":[]}}`)},
			{Hash: fe(0xc0), Kind: ordov1.Class_CAIRO0, Definition: []byte(`{"program":"H4sI","entry_points_by_type":{"EXTERNAL":[]},"abi":[]}`)},
		},
	}}
	storage.trueRoots()
	decided := chainview.NewBlock(&ordov1.BlockHeader{Context: blockContext(3)}, []*ordov1.Transaction{account(ordov1.TransactionType_INVOKE, 0x301, 3)},
		[]*ordov1.TransactionResult{result(0x301, emitted(0x99, fes(0xe1, 0x77), fes(4)))},
		&ordov1.StateDiff{Nonces: fes(0x77, 4), Storage: []*ordov1.ContractStorage{{Address: fe(0x99), Entries: fes(1, 103)}}}, nil)
	present := chainview.New(func() *ordov1.BlockContext { return blockContext(0) })
	present.Start(storage.Stored[2].Header, nil, nil)
	present.Decide(decided)
	rejected := result(0x402)
	rejected.Status, rejected.Rejection = ordov1.TransactionResult_REJECTED, ordov1.RejectionCode_INVALID_NONCE
	late := account(ordov1.TransactionType_DECLARE, 0x403, 5)
	late.ClassHash = fe(0xc4)
	present.Open(1, blockContext(4))
	present.Candidates(1, []*ordov1.Transaction{account(ordov1.TransactionType_INVOKE, 0x401, 4), account(ordov1.TransactionType_INVOKE, 0x402, 9), late,
		account(ordov1.TransactionType_INVOKE, 0x404, 6)}, []*ordov1.Class{{Hash: fe(0xc4), Definition: storage.Known[0].Definition, Casm: storage.Known[0].Casm}})
	present.Preconfirm(1, []*ordov1.TransactionResult{result(0x401, emitted(0x99, fes(0xe1), fes(5))), rejected, result(0x403)}, &ordov1.StateDiff{Nonces: fes(0x77, 6), Declared: fes(0xc4, 0xcc4)})
	present.Received(account(ordov1.TransactionType_INVOKE, 0x501, 7))
	present.Drop(Key(fe(0x502)), mempool.ErrExpired)
	execution := &fakeExecution{verdicts: map[Key]*ordov1.ValidateResponse_Verdict{}, errors: map[Key]*ordov1.ViewError{
		Key(fe(0xdead)): {Code: ordov1.ViewError_CONTRACT_NOT_FOUND},
		Key(fe(0xdead2)): {Code: ordov1.ViewError_EXECUTION_ERROR, Error: &ordov1.ContractError{
			Frames: []*ordov1.ContractError_Frame{{Contract: fe(0xdead2), ClassHash: fe(0), Selector: fe(5)}}, Message: "not deployed"}},
		Key(fe(0xe21)): {Code: ordov1.ViewError_ENTRYPOINT_NOT_FOUND},
		Key(fe(0xbad)): {Code: ordov1.ViewError_CONTRACT_ERROR, Error: &ordov1.ContractError{
			Frames: []*ordov1.ContractError_Frame{{Contract: fe(0xbad), ClassHash: fe(0xc1), Selector: fe(5)}, {Contract: fe(0x99), ClassHash: fe(0xc0), Selector: fe(6)}}, Message: "no & <no>"}},
		Key(fe(0xbad2)): {Code: ordov1.ViewError_EXECUTION_ERROR, Error: &ordov1.ContractError{Message: "nonce"}},
	}}
	for sender, refusal := range refusedSenders {
		execution.verdicts[Key(fe(sender))] = &ordov1.ValidateResponse_Verdict{Rejection: refusal, Reason: "because of " + refusal.String()}
	}
	p := &fakePool{chain: present, deploying: map[Key]bool{}, errors: map[Key]error{}}
	for sender, err := range poolSenders {
		p.errors[Key(fe(sender))] = err
	}
	toStorage := dial(t, func(s *grpc.Server) { ordov1.RegisterStorageReadServer(s, storage) })
	toExecution := dial(t, func(s *grpc.Server) { ordov1.RegisterExecutionServer(s, execution) })
	reads, runs := ordov1.NewStorageReadClient(toStorage), ordov1.NewExecutionClient(toExecution)
	id := felt.MustShortString("SN_SEPOLIA")
	in := gateway.New(gateway.Options{ChainID: id, Execution: runs, Storage: reads, Pool: p, Chain: present})
	t.Cleanup(in.Close)
	server := New(Options{ChainID: id, Chain: present, Storage: reads, Execution: runs, Gateway: in})
	return &world{storage: storage, server: server, chain: present, execution: execution, pool: p, gateway: in, reads: toStorage, runs: toExecution}
}

// Senders whose transactions are refused, each for its own reason.
var refusedSenders = map[uint64]ordov1.RejectionCode{
	0x1001: ordov1.RejectionCode_INVALID_NONCE, 0x1002: ordov1.RejectionCode_INSUFFICIENT_RESOURCES, 0x1003: ordov1.RejectionCode_INSUFFICIENT_BALANCE,
	0x1004: ordov1.RejectionCode_VALIDATION_FAILURE, 0x1005: ordov1.RejectionCode_CLASS_ALREADY_DECLARED, 0x1006: ordov1.RejectionCode_CLASS_NOT_DECLARED,
	0x1007: ordov1.RejectionCode_COMPILED_CLASS_HASH_MISMATCH, 0x1008: ordov1.RejectionCode_COMPILATION_FAILED, 0x1009: ordov1.RejectionCode_CLASS_TOO_LARGE,
	0x100a: ordov1.RejectionCode_NON_ACCOUNT, 0x100b: ordov1.RejectionCode_FEE_BELOW_MINIMUM, 0x100c: ordov1.RejectionCode_UNSUPPORTED_CLASS_VERSION,
	0x100d: ordov1.RejectionCode_TRANSACTION_TOO_LARGE, 0x100e: ordov1.RejectionCode_INVALID_PROOF, 0x100f: ordov1.RejectionCode_OTHER, 0x1010: ordov1.RejectionCode_MEMORY_EXCEEDED,
}

var poolSenders = map[uint64]error{
	0x2001: mempool.ErrDuplicate, 0x2002: mempool.ErrUnderpriced, 0x2003: mempool.ErrExecuting, 0x2004: mempool.ErrNonceTooOld,
	0x2005: mempool.ErrNonceTooFar, 0x2006: mempool.ErrFull,
}
