package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// BenchmarkAdmit: acknowledged transactions, each of a size like a transfer's, by callers that wait for theirs; with fsync
// and, as the baseline, without. Set TMPDIR to the disk in question.
func BenchmarkAdmit(b *testing.B) {
	for _, mode := range []string{"fsync", "unsynced"} {
		for _, callers := range []int{1, 8, 64, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d", mode, callers), func(b *testing.B) {
				folder, err := OpenFolder(b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				j, _, err := Open(folder, Options{Chain: "BENCH", Unsynced: mode == "unsynced"})
				if err != nil {
					b.Fatal(err)
				}
				var number atomic.Uint64
				b.SetParallelism((callers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						n := number.Add(1)
						tx := transfer(n)
						if err := j.Admit(tx, nil); err != nil {
							b.Error(err)
							return
						}
						if n%16 == 0 { // nothing waits for ever
							if err := j.Release(Key(tx.Hash)); err != nil {
								b.Error(err)
								return
							}
						}
					}
				})
				b.StopTimer()
				s := j.Stats()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
				b.ReportMetric(float64(s.Records)/float64(s.Commits), "records/commit")
				if err := j.Close(); err != nil {
					b.Fatal(err)
				}
				_ = folder.Close()
			})
		}
	}
}

// BenchmarkOpen: reading back a journal of 100,000 waiting transactions.
func BenchmarkOpen(b *testing.B) {
	folder, err := OpenFolder(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	o := Options{Chain: "BENCH", Unsynced: true}
	j, _, err := Open(folder, o)
	if err != nil {
		b.Fatal(err)
	}
	var number atomic.Uint64
	const count = 100_000
	done := make(chan struct{})
	for range 256 {
		go func() {
			for n := number.Add(1); n <= count; n = number.Add(1) {
				if err := j.Admit(transfer(n), nil); err != nil {
					b.Error(err)
				}
			}
			done <- struct{}{}
		}()
	}
	for range 256 {
		<-done
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		j, r, err := Open(folder, o)
		if err != nil || len(r.Transactions) != count {
			b.Fatal(err)
		}
		_ = j.Close()
	}
	b.ReportMetric(count, "transactions")
}

func transfer(n uint64) *ordov1.Transaction {
	hash := sha256.Sum256(binary.BigEndian.AppendUint64(nil, n))
	return &ordov1.Transaction{
		Type: ordov1.TransactionType_INVOKE, Hash: hash[:], Sender: hash[:], Nonce: binary.BigEndian.AppendUint64(nil, n), Tip: n,
		Calldata: bytes.Repeat(hash[:], 7), Signature: bytes.Repeat(hash[:], 2),
	}
}
