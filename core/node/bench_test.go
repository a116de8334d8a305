package node

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/pool"
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

// BenchmarkSubmit is acknowledged transactions a second, from so many callers who each wait for their answer, without a
// journal, with one on the disk of the temporary folder, and with one that leaves the syncing to the operating system.
func BenchmarkSubmit(b *testing.B) {
	for _, kind := range []string{"none", "journal", "unsynced"} {
		for _, callers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%s/%d", kind, callers), func(b *testing.B) {
				w := newWorld(b)
				w.options.Stages.OrderingCapabilities = []string{"arrival"}
				w.execution.limit = 1000
				if kind != "none" {
					folder, err := journal.OpenFolder(b.TempDir())
					if err != nil {
						b.Fatal(err)
					}
					defer func() { _ = folder.Close() }()
					j, recovery, err := journal.Open(folder, journal.Options{Chain: "SN_TEST", Unsynced: kind == "unsynced"})
					if err != nil {
						b.Fatal(err)
					}
					defer func() { _ = j.Close() }()
					w.options.Journal, w.options.Recovery = j, recovery
				}
				n := w.start()
				defer func() { n.end(nil); n.work.Wait() }()
				txs := make([]*ordov1.Transaction, b.N)
				for i := range txs {
					txs[i] = w.tx(uint64(1+i%5000), uint64(i/5000), plain, 0)
				}
				var clients sync.WaitGroup
				b.ResetTimer()
				for c := range callers {
					clients.Go(func() {
						for i := c; i < len(txs); i += callers {
							for err := n.SubmitAt(txs[i], nil, nil); err != nil; err = n.SubmitAt(txs[i], nil, nil) {
								if !errors.Is(err, pool.ErrNonceTooFar) {
									b.Error(err)
									return
								}
								time.Sleep(time.Millisecond)
							}
						}
					})
				}
				clients.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
			})
		}
	}
}
