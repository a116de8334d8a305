package network

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// BenchmarkHeight is what a height costs the mesh: a body of 100 kB of the proposer, its proposal message, and two rounds of votes of all to all, in
// meshes of one process over loopback.
func BenchmarkHeight(b *testing.B) {
	for _, size := range []int{4, 7} {
		b.Run(fmt.Sprintf("nodes=%d", size), func(b *testing.B) {
			nodes := newMesh(b, size, func(_ int, o *Options) { o.Limits = DefaultLimits(); o.Limits.Messages = 1e6 })
			body, vote := make([]byte, 100_000), make([]byte, 200)
			height := uint64(0)
			for b.Loop() {
				height++
				begun := make(map[*testNode]int)
				for _, n := range nodes {
					n.mu.Lock()
					begun[n] = len(n.messages)
					n.mu.Unlock()
				}
				proposer := nodes[int(height)%size]
				p := proposer.PublishBody(height, 0)
				if err := p.Part(body); err != nil {
					b.Fatal(err)
				}
				value := Value{byte(height), byte(height >> 8), byte(height >> 16)}
				p.Finish(value)
				if err := proposer.Broadcast(height, fmt.Appendf(nil, "proposal %d", height)); err != nil {
					b.Fatal(err)
				}
				var all sync.WaitGroup
				for i, n := range nodes {
					all.Go(func() {
						if _, err := n.FetchBody(b.Context(), height, value, proposer.ID()); err != nil {
							b.Error(err)
						}
						others := 1
						if n == proposer {
							others = 0
						}
						for round := range 2 {
							copy(vote, fmt.Sprintf("vote %d %d %d", height, round, i))
							if err := n.Broadcast(height, vote[:150+round]); err != nil {
								b.Error(err)
							}
							others += size - 1
							n.wait("votes", func() bool { return len(n.messages)-begun[n] >= others })
						}
					})
				}
				all.Wait()
				for _, n := range nodes {
					n.Announce(Head{Height: height, Value: value})
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(time.Millisecond/time.Microsecond), "ms/height")
		})
	}
}
