package pipeline

import (
	"fmt"
	"testing"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// BenchmarkBlock moves one block of transactions from the pool to Commit: Take, Add, Executed and Preconfirm in chunks, then Close, Decide.
func BenchmarkBlock(b *testing.B) {
	for _, chunk := range []int{1, 128} {
		b.Run(fmt.Sprintf("chunk=%d", chunk), func(b *testing.B) { benchmarkBlock(b, chunk, 2048) })
	}
}

func benchmarkBlock(b *testing.B, chunk, n int) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		e := &env{now: 1000, pool: mempool.New(mempool.Options{})}
		for i := range n {
			e.submit(fmt.Sprintf("a%d/0", i), "", true)
		}
		b.StartTimer()
		m, work := New(Options{Capabilities: abilities(true, false), Chunk: chunk, Template: template}, e.pool, e.now, Head{})
		var seq uint64
		blocks := 0
		answer := func(actions ...*ordov1.Action) []Command {
			seq++
			out, err := m.Step(e.now, Answered{&ordov1.Actions{Seq: seq, Actions: actions}})
			if err != nil {
				b.Fatal(err)
			}
			return out
		}
		step := func(in Input) []Command {
			out, err := m.Step(e.now, in)
			if err != nil {
				b.Fatal(err)
			}
			return out
		}
		first := 0
		for len(work) > 0 && blocks == 0 {
			c := work[0]
			work = work[1:]
			switch c := c.(type) {
			case Tell:
				switch event := c.Event.Event.(type) {
				case *ordov1.ConsensusEvent_Ready_:
					work = append(work, answer(&ordov1.Action{Action: &ordov1.Action_Build_{Build: &ordov1.Action_Build{Attempt: 1, MaxTransactions: uint32(n)}}})...)
				case *ordov1.ConsensusEvent_Built_:
					work = append(work, answer(&ordov1.Action{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{Attempt: 1, Value: event.Built.Value}}})...)
				default:
					work = append(work, answer()...)
				}
			case Add:
				r := &ordov1.BuildResponse_Results{First: uint64(first)}
				for _, item := range c.Items {
					r.Results = append(r.Results, &ordov1.TransactionResult{Hash: item.Tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED})
				}
				first += len(c.Items)
				work = append(work, step(Executed{c.Build, r})...)
			case Close:
				work = append(work, step(Closed{c.Build, &ordov1.BuildResponse_Closed{N: c.N}})...)
			case HashHeader:
				c.Draft.PartialHash = []byte("value")
				work = append(work, step(HeaderHashed{c.Build, c.Draft})...)
			case Commit:
				if blocks++; len(c.Items) != n {
					b.Fatalf("%d of %d transactions in the block", len(c.Items), n)
				}
			}
		}
		if blocks != 1 {
			b.Fatal("no block")
		}
	}
}
