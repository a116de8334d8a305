package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// flaky is a connection to a stage that is away until the stage has been asked often enough.
type flaky struct {
	grpc.ClientConnInterface
	away atomic.Int32
}

func (f *flaky) fail() error {
	if f.away.Add(-1) >= 0 {
		return status.Error(codes.Unavailable, "storage/badger: away, restarting")
	}
	return nil
}

func (f *flaky) Invoke(ctx context.Context, m string, args, reply any, opts ...grpc.CallOption) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.ClientConnInterface.Invoke(ctx, m, args, reply, opts...)
}

func (f *flaky) NewStream(ctx context.Context, d *grpc.StreamDesc, m string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.ClientConnInterface.NewStream(ctx, d, m, opts...)
}

// flakyWorld has stages that can be away.
func flakyWorld(t *testing.T, grace time.Duration) (w *world, storage, execution *flaky) {
	w = newWorld(t)
	o := w.server.Options
	storage, execution = &flaky{ClientConnInterface: w.reads}, &flaky{ClientConnInterface: w.runs}
	o.Storage, o.Execution = ordov1.NewStorageReadClient(storage), ordov1.NewExecutionClient(execution)
	in := gateway.New(gateway.Options{ChainID: o.ChainID, Execution: o.Execution, Storage: o.Storage, Pool: w.pool, Chain: w.chain, Limits: gateway.Limits{Grace: grace}})
	t.Cleanup(in.Close)
	o.Gateway = in
	o.Limits.Grace = grace
	w.server = New(o)
	return w, storage, execution
}

const invoke = `[{"type":"INVOKE","sender_address":"0x77","calldata":["0x1"],"version":"0x3","signature":[],"nonce":"0x7","resource_bounds":{"l1_gas":{"max_amount":"0x10","max_price_per_unit":"0x20"},"l2_gas":{"max_amount":"0x10","max_price_per_unit":"0x20"},"l1_data_gas":{"max_amount":"0x10","max_price_per_unit":"0x20"}},"tip":"0x0","paymaster_data":[],"account_deployment_data":[],"nonce_data_availability_mode":"L1","fee_data_availability_mode":"L1"}]`

// TestAShortAbsenceIsNotNoticed: whatever is asked while a stage restarts is answered when it is back.
func TestAShortAbsenceIsNotNoticed(t *testing.T) {
	w, storage, execution := flakyWorld(t, 20*time.Second)
	for _, c := range []struct{ method, params string }{
		{"starknet_getNonce", `["latest","0x77"]`}, {"starknet_getBlockWithReceipts", `[{"block_number":1}]`}, {"starknet_getClassAt", `["latest","0x77"]`},
		{"starknet_getTransactionReceipt", `["0x101"]`}, {"starknet_getEvents", `[{"chunk_size":5}]`}, {"starknet_call", `[{"contract_address":"0x88","entry_point_selector":"0x1","calldata":[]},"latest"]`},
		{"starknet_traceTransaction", `["0x101"]`}, {"starknet_addInvokeTransaction", invoke},
	} {
		storage.away.Store(3)
		execution.away.Store(3)
		if got := call(t, w, c.method, c.params); strings.Contains(got, `"code"`) {
			t.Errorf("%s: %s", c.method, got)
		}
	}
}

// TestStagesAway: for longer than the grace. Reads from memory are answered, the others say what is away, and writes do it with
// a code of the specification.
func TestStagesAway(t *testing.T) {
	w, storage, execution := flakyWorld(t, 30*time.Millisecond)
	storage.away.Store(1 << 30)
	execution.away.Store(1 << 30)
	for _, c := range []struct{ method, params, want string }{
		{"starknet_chainId", `[]`, `"0x534e5f5345504f4c4941"`},
		{"starknet_blockNumber", `[]`, `2`},
		{"starknet_blockHashAndNumber", `[]`, `"block_number":2`},
		{"starknet_getBlockWithReceipts", `["pre_confirmed"]`, `"block_number":4`},
		{"starknet_getTransactionStatus", `["0x301"]`, `"PRE_CONFIRMED"`},
		{"starknet_getTransactionReceipt", `["0x401"]`, `"PRE_CONFIRMED"`},
		{"starknet_getTransactionByHash", `["0x501"]`, `"transaction_hash":"0x501"`},
		{"starknet_getNonce", `["latest","0x77"]`, `{"code":-32006,"message":"storage is restarting, try again"}`},
		{"starknet_getBlockWithTxs", `[{"block_number":1}]`, `{"code":-32006,"message":"storage is restarting, try again"}`},
		{"starknet_getTransactionStatus", `["0x101"]`, `{"code":-32006,"message":"storage is restarting, try again"}`},
		{"starknet_call", `[{"contract_address":"0x88","entry_point_selector":"0x1","calldata":[]},"latest"]`, `{"code":-32006,"message":"execution is restarting, try again"}`},
		{"starknet_addInvokeTransaction", invoke, `{"code":63,"message":"An unexpected error occurred","data":"execution is restarting, try again"}`},
	} {
		if got := call(t, w, c.method, c.params); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.method, got, c.want)
		}
	}
}

// TestWhatCannotBePromised: a transaction that the journal does not take is not taken, with a code of the specification.
func TestWhatCannotBePromised(t *testing.T) {
	w := newWorld(t)
	for err, want := range map[error]string{
		fmt.Errorf("submit: journal: write 0001.journal: %w", syscall.ENOSPC): `the disk of the node is full, so it can promise nothing: try again later`,
		fmt.Errorf("submit: journal: %w", journal.ErrPoisoned):                `look at the disk, then start again`,
		fmt.Errorf("submit: %w", mempool.ErrShare):                            `wait until some are in a block`,
		errors.New("the node has stopped"):                                    `the node has stopped`,
	} {
		w.pool.errors[Key(fe(0x77))] = err
		if got := call(t, w, "starknet_addInvokeTransaction", invoke); !strings.Contains(got, `"code":63`) || !strings.Contains(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
}
