package rpc

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/gateway"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

const transferTemplate = `{"jsonrpc":"2.0","id":1,"method":"starknet_addInvokeTransaction","params":{"invoke_transaction":{"type":"INVOKE","version":"0x3",
"sender_address":"0x64b48806902a367c8598f4f95c305e8c1a1acba5f082d294a43793113115691",
"calldata":["0x1","0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d","0x83afd3f4caedc6eebf44246fe54e38c95e3179a5ec9ea81740eca5b482d12e","0x3",
"0x78662e7352d062084b0010068b99288486c2d8b914f6e2a55ce945f8792c8b1","0x1","0x0"],
"signature":["0x71d7bb07b9a64f6f78ac4c816aff4da9e1406455b7d66b1690803be066cbe5e","0x260a8311b4f1092db620b923e8d7d20e76dedcc615fb4b6fdf28315b81de201"],
"nonce":"%#x","resource_bounds":{"l1_gas":{"max_amount":"0x100","max_price_per_unit":"0x3b9aca00"},"l2_gas":{"max_amount":"0x1000000","max_price_per_unit":"0x3b9aca00"},"l1_data_gas":{"max_amount":"0x100","max_price_per_unit":"0x3b9aca00"}},
"tip":"0x0","paymaster_data":[],"account_deployment_data":[],"nonce_data_availability_mode":"L1","fee_data_availability_mode":"L1"}}}`

// BenchmarkAddInvoke is the way of one transfer from the body of the request to the pool: reading, hashing, one Validate over
// gRPC in memory.
func BenchmarkAddInvoke(b *testing.B) {
	w := newWorld(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		body := fmt.Sprintf(transferTemplate, n)
		n++
		r := httptest.NewRecorder()
		w.server.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		if !strings.Contains(r.Body.String(), "transaction_hash") {
			b.Fatal(r.Body)
		}
	}
}

// BenchmarkAddInvokes is the same through a socket, with as many transactions in a body as its name says and 16 connections;
// times and allocations are per transaction.
func BenchmarkAddInvokes(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			address := serve(b, newWorld(b).server)
			transport := &http.Transport{MaxIdleConnsPerHost: 16}
			b.Cleanup(transport.CloseIdleConnections)
			client := &http.Client{Transport: transport}
			var next atomic.Int64
			var all sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			before := processorTime()
			for range 16 {
				all.Go(func() {
					for {
						last := int(next.Add(int64(n)))
						if last-n >= b.N {
							return
						}
						body := transferBatch(last-n, n)
						r, err := client.Post("http://"+address, "application/json", strings.NewReader(body))
						if err != nil {
							b.Error(err)
							return
						}
						text, err := io.ReadAll(r.Body)
						r.Body.Close()
						if got := strings.Count(string(text), "transaction_hash"); err != nil || got != n {
							b.Errorf("%d taken of %d: %v %.200s", got, n, err, text)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}

// processorTime is what the process has used, which a busy machine changes less than the time on the wall.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// transferBatch has n transfers of n senders; a single one is no batch.
func transferBatch(first, n int) string {
	const sender = "0x64b48806902a367c8598f4f95c305e8c1a1acba5f082d294a43793113115691"
	if n == 1 {
		return fmt.Sprintf(transferTemplate, first)
	}
	list := make([]string, n)
	for i := range list {
		list[i] = strings.Replace(fmt.Sprintf(transferTemplate, first+i), sender, fmt.Sprintf("%#x", 0xa0000+i), 1)
	}
	return "[" + strings.Join(list, ",") + "]"
}

// BenchmarkRequests takes one body apart.
func BenchmarkRequests(b *testing.B) {
	body := []byte(fmt.Sprintf(transferTemplate, 7))
	for name, read := range map[string]func([]byte, int) ([]request, bool, *Error){"fast": requests, "careful": carefulRequests} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, failed := read(body, 1000); failed != nil {
					b.Fatal(failed)
				}
			}
		})
	}
}

// BenchmarkDecode is the part of it that reads and hashes.
func BenchmarkDecode(b *testing.B) {
	w := newWorld(b)
	body := fmt.Sprintf(transferTemplate, 1)
	raw := []byte(body[strings.Index(body, `{"type"`) : len(body)-2])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gateway.Decode(raw, w.server.ChainID); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBlockAnswer encodes a block of 500 transactions with receipts.
func BenchmarkBlockAnswer(b *testing.B) {
	type pair struct {
		Transaction any      `json:"transaction"`
		Receipt     *receipt `json:"receipt"`
	}
	tx, res := account(ordov1.TransactionType_INVOKE, 0x101, 1), result(0x101, emitted(0x99, fes(1, 2, 3), fes(4, 5)))
	b.ReportAllocs()
	for b.Loop() {
		list := make([]pair, 500)
		for i := range list {
			list[i] = pair{transactionAnswer(tx, false, false), newReceipt(tx, res, acceptedOnL2)}
		}
		if _, err := encode(list); err != nil {
			b.Fatal(err)
		}
	}
}
