package driver

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
)

// BenchmarkNode is submit to acceptance with stages that cost next to nothing: what the core itself takes per transaction,
// gRPC, statuses, commitments and block hashes included.
func BenchmarkNode(b *testing.B) {
	w := newWorld(b)
	w.options.Stages.OrderingCapabilities = []string{sdk.CapArrival}
	w.execution.Limit = 1000
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
		if err := n.SubmitAt(b.Context(), tx, nil, 0); err != nil {
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

// BenchmarkSubmit is acknowledged transactions a second, from so many callers that each wait for their answer: without a
// journal, with one on the disk of the temporary folder, with one on a disk that takes a millisecond whatever else it has to
// do, and with one that leaves the syncing to the operating system.
func BenchmarkSubmit(b *testing.B) {
	for _, kind := range []string{"none", "journal", "1ms", "unsynced"} {
		for _, callers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%s/%d", kind, callers), func(b *testing.B) {
				w := newWorld(b)
				w.options.Stages.OrderingCapabilities = []string{sdk.CapArrival}
				w.execution.Limit = 1000
				var written func() journal.Stats
				if kind != "none" {
					folder, err := journal.OpenFolder(b.TempDir())
					if err != nil {
						b.Fatal(err)
					}
					defer func() { _ = folder.Close() }()
					disk := journal.Directory(folder)
					if kind == "1ms" {
						disk = steady{folder}
					}
					j, recovery, err := journal.Open(disk, journal.Options{Chain: "SN_TEST", Unsynced: kind == "unsynced"})
					if err != nil {
						b.Fatal(err)
					}
					defer func() { _ = j.Close() }()
					w.options.Journal, w.options.Recovery, written = j, recovery, j.Stats
				}
				n := w.start()
				defer func() { n.stop(nil); n.work.Wait() }()
				txs := make([]*ordov1.Transaction, b.N)
				for i := range txs {
					txs[i] = w.tx(uint64(1+i%5000), uint64(i/5000), plain, 0)
				}
				var clients sync.WaitGroup
				b.ResetTimer()
				for c := range callers {
					clients.Go(func() {
						for i := c; i < len(txs); i += callers {
							for err := n.SubmitAt(b.Context(), txs[i], nil, 0); err != nil; err = n.SubmitAt(b.Context(), txs[i], nil, 0) {
								if !errors.Is(err, mempool.ErrNonceTooFar) {
									b.Error(err)
									return
								}
								time.Sleep(time.Millisecond)
							}
						}
					})
				}
				clients.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
				b.ReportMetric(float64(b.N)/float64(n.Chain().Latest().Context.Number+1), "tx/block")
				if written != nil {
					s := written()
					b.ReportMetric(float64(s.Records)/float64(s.Commits), "records/commit")
					b.ReportMetric(float64(s.Commits)/b.Elapsed().Seconds(), "commits/s")
				}
			})
		}
	}
}

// steady is a disk whose sync takes a millisecond of a blocked thread.
type steady struct{ journal.Directory }

type steadyFile struct{ journal.File }

func (d steady) Create(name string) (journal.File, error) {
	f, err := d.Directory.Create(name)
	return steadyFile{f}, err
}

func (steadyFile) Sync() error {
	pause := syscall.NsecToTimespec(int64(time.Millisecond))
	return syscall.Nanosleep(&pause, nil)
}

// BenchmarkSeal: the header of a block of transfers, each by another account. CPU time is what counts: it runs on all cores.
func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := newWorld(b)
			token := num(0x100)
			diff := &ordov1.StateDiff{Storage: []*ordov1.ContractStorage{{Address: token}}}
			var txs []*ordov1.Transaction
			var results []*ordov1.TransactionResult
			transfer := func(from int) *ordov1.Event {
				return &ordov1.Event{FromAddress: token, Keys: slices.Concat(num(0x99cd), num(uint64(from)), num(7)), Data: slices.Concat(num(1), num(0))}
			}
			for i := range size {
				tx := w.tx(uint64(1+i), 0, plain, 0)
				tx.Signature = slices.Concat(num(uint64(i)), num(uint64(i)+1))
				txs = append(txs, tx)
				results = append(results, &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED, ActualFee: u128(1e9),
					Events: []*ordov1.Event{transfer(i), transfer(i)}, Gas: &ordov1.Gas{L2Gas: 1e6}})
				diff.Nonces = append(append(diff.Nonces, num(uint64(1+i))...), num(1)...)
				for k := range 2 {
					diff.Storage[0].Entries = append(append(diff.Storage[0].Entries, num(uint64(1000+2*i+k))...), num(uint64(i))...)
				}
			}
			draft := &ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: 1, StarknetVersion: starknet.LatestVersion, Sequencer: num(1),
				L1Gas: &ordov1.GasPrice{Wei: u128(1), Fri: u128(1)}, L1DataGas: &ordov1.GasPrice{Wei: u128(1), Fri: u128(1)}, L2Gas: &ordov1.GasPrice{Wei: u128(1), Fri: u128(1)}}}
			b.ReportAllocs()
			before := cpu()
			for b.Loop() {
				if _, err := HashHeader(draft, txs, results, diff); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// cpu is what this process has used.
func cpu() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkWaiting is what an admission costs the core, with its rank from the policy over gRPC and its place in what readers
// see, while so many wait: processor time of the whole process. A nonce is missing before all of them.
func BenchmarkWaiting(b *testing.B) {
	for _, waiting := range []int{100, 100_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			w := newWorld(b)
			w.options.Stages.OrderingCapabilities = []string{sdk.CapArrival}
			n := w.start()
			defer func() { n.stop(nil); n.work.Wait() }()
			ranked := func() {
				for {
					n.pool.mu.Lock()
					more := n.pool.Unscored(1)
					n.pool.RankByArrival(more)
					n.pool.mu.Unlock()
					if len(more) == 0 {
						return
					}
				}
			}
			submit := func(tx *ordov1.Transaction) {
				if err := n.SubmitAt(b.Context(), tx, nil, 0); err != nil {
					b.Fatal(err)
				}
			}
			for i := range waiting {
				submit(w.tx(uint64(1+i/50), uint64(1+i%50), plain, 0))
			}
			ranked()
			txs := make([]*ordov1.Transaction, b.N)
			for i := range txs {
				txs[i] = w.tx(uint64(1_000_000+i/50), uint64(1+i%50), plain, 0)
			}
			runtime.GC()
			before := cpu()
			b.ResetTimer()
			for _, tx := range txs {
				submit(tx)
			}
			ranked()
			b.StopTimer()
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/1000/float64(b.N), "cpu-us/op")
		})
	}
}
