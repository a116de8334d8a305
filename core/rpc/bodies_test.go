package rpc

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// bigStorage has blocks of any number, all of one size; those from 100 on have no root yet.
type bigStorage struct {
	ordov1.UnimplementedStorageReadServer
	reads atomic.Int32
}

// bigBlock is the calldata of a block that the memory for blocks has room for four times.
const bigBlock = bodiesKept/4 - 1000

func (b *bigStorage) Blocks(q *ordov1.BlocksRequest, out grpc.ServerStreamingServer[ordov1.Block]) error {
	b.reads.Add(1)
	header := &ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: q.GetNumber()}}
	if q.GetNumber() < 100 {
		header.Hash = fe(q.GetNumber() + 1)
	}
	return out.Send(&ordov1.Block{Header: header, Transactions: []*ordov1.Transaction{{Calldata: make([]byte, bigBlock)}}})
}

func TestBodiesAreReadOnce(t *testing.T) {
	storage := &bigStorage{}
	s := New(Options{Storage: ordov1.NewStorageReadClient(dial(t, func(g *grpc.Server) { ordov1.RegisterStorageReadServer(g, storage) }))})
	read := func(number uint64) {
		t.Helper()
		if b, err := s.whole(t.Context(), number); err != nil || b.Header.Context.Number != number {
			t.Fatalf("block %d: %v, %v", number, b, err)
		}
	}
	count := func(want int32) {
		t.Helper()
		if got := storage.reads.Swap(0); got != want {
			t.Errorf("storage was read %d times, want %d", got, want)
		}
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { read(1) })
	}
	all.Wait()
	count(1)

	// Room for four: what was used last stays.
	for _, number := range []uint64{2, 3, 4, 1, 5} {
		read(number)
	}
	count(4)
	read(1)
	count(0)
	read(2)
	count(1)
	if s.bodies.size > bodiesKept || len(s.bodies.kept) != 4 {
		t.Errorf("%d blocks with %d bytes are kept", len(s.bodies.kept), s.bodies.size)
	}

	// A block without a hash may get one: it is read again.
	read(100)
	read(100)
	count(2)

	// A client that left is no reason to fail for the others, and leaves nothing behind.
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = s.whole(gone, 7)
	read(7)
	count(1)
}

// TestReceiptsFromMemory: once one receipt of a block was read, the others need no storage.
func TestReceiptsFromMemory(t *testing.T) {
	w, storage, _ := flakyWorld(t, 30*time.Millisecond)
	decided := w.chain.Unaccepted(3)
	block := accepted(3, decided.Transactions, decided.Results, nil)
	w.chain.Accept(block.Header)
	storage.away.Store(1 << 30)
	receipt := func() string { return call(t, w, "starknet_getTransactionReceipt", `["0x301"]`) }
	if got := receipt(); !strings.Contains(got, "storage is restarting") {
		t.Fatalf("from where is %s", got)
	}
	read, first := w.server.bodies.get(3)
	if !first {
		t.Fatal("the block that could not be read is kept")
	}
	read.block = block
	w.server.bodies.done(read)
	close(read.done)
	if got := receipt(); !strings.Contains(got, `"finality_status":"ACCEPTED_ON_L2"`) || !strings.Contains(got, `"block_hash":"0xb10c3"`) {
		t.Errorf("got %s", got)
	}
}
