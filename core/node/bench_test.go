package node

import (
	"testing"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// BenchmarkNode is submit to acceptance with stages that cost next to nothing: what the core itself takes per transaction,
// gRPC, statuses, commitments and block hashes included.
func BenchmarkNode(b *testing.B) {
	w := newWorld(b)
	w.options.Stages.OrderingCapabilities = []string{"arrival"}
	w.execution.limit = 1000
	n := w.start()
	txs := make([]*ordov1.Transaction, b.N)
	for i := range txs {
		txs[i] = w.tx(uint64(1+i%1000), uint64(i/1000), plain, 0)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i, tx := range txs {
		for i-w.accepted() > 50_000 { // nonce bound and memory: stay in sight of the chain
			time.Sleep(time.Millisecond)
		}
		if err := n.SubmitAt(tx, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
	for w.accepted() < len(txs) {
		if n.Err() != nil {
			b.Fatal(n.Err())
		}
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/float64(n.Chain().Latest().Context.Number), "tx/block")
}
