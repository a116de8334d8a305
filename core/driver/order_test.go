package driver

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/internal/grpcerr"
	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/grammar"
)

// What the journal keeps of an open attempt says also that it is degraded, from the moment that it is, over any number of
// restarts.
func TestOrderKeepsTheMark(t *testing.T) {
	w := newWorld(t)
	items := []pipeline.Item{{Tx: w.tx(1, 0, plain, 0)}, {Tx: w.tx(2, 0, plain, 0)}, {Tx: w.tx(3, 0, plain, 0)}}
	waiting := map[mempool.Key]*journal.Waiting{}
	for _, item := range items {
		waiting[mempool.Key(item.Tx.Hash)] = &journal.Waiting{Tx: item.Tx}
	}
	kept := func(open pipeline.Open, adds ...pipeline.Add) *pipeline.Order {
		t.Helper()
		o, handed := newOrders(), 0
		open.Build, open.Own, open.Context = 1, true, &ordov1.BlockContext{Number: 7}
		log := o.open(open, nil)
		for _, add := range adds {
			add.Build = 1
			log.add(add, handed)
			handed += len(add.Items)
		}
		var note []byte
		for _, part := range o.queue.take(t.Context()) {
			note = append(note, part.bytes...)
		}
		order, err := decodeOrder(note, waiting)
		if err != nil {
			t.Fatal(err)
		}
		return order
	}
	for _, c := range []struct {
		name string
		got  *pipeline.Order
		want bool
		n    int
	}{
		{"never", kept(pipeline.Open{}, pipeline.Add{Items: items}), false, 3},
		{"late", kept(pipeline.Open{}, pipeline.Add{Items: items[:1]}, pipeline.Add{Items: items[1:2], Degraded: true}, pipeline.Add{Items: items[2:], Degraded: true}), true, 3},
		{"before the restart", kept(pipeline.Open{Order: items[:2], Degraded: true}, pipeline.Add{Items: items, Degraded: true}), true, 3},
	} {
		if c.got.Degraded != c.want || len(c.got.Items) != c.n || c.got.Context.Number != 7 {
			t.Errorf("%s: degraded %v with %d transactions", c.name, c.got.Degraded, len(c.got.Items))
		}
	}
}

// gRPC refuses a message with the code that storage has for a full disk; only the second is worth another try.
func TestTooLargeIsNotNoRoom(t *testing.T) {
	w := newWorld(t)
	part := &ordov1.CommitRequest{Certificate: make([]byte, 5<<20)} // over the 4 MiB that a server takes unasked
	conn := serve(t, &grammar.Recorder{}, func(s *grpc.Server) { ordov1.RegisterStorageServer(s, w.storage) })
	send := func(options ...grpc.CallOption) error {
		stream, err := ordov1.NewStorageClient(conn).Commit(ctx(t), options...)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(part); status.Code(err) == codes.ResourceExhausted {
			return err
		}
		_, err = stream.CloseAndRecv()
		return err
	}
	for name, err := range map[string]error{"here": send(grpc.MaxCallSendMsgSize(1 << 20)), "there": send()} {
		if status.Code(err) != codes.ResourceExhausted || !grpcerr.TooLarge(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if grpcerr.TooLarge(status.Error(codes.ResourceExhausted, "commit: 1 MB is free, 64 MB are needed: make room")) || grpcerr.TooLarge(nil) {
		t.Error("a full disk passes for a large message")
	}
}
