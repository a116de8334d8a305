package comet_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// traffic keeps the pools of cores filled until it is stopped: every transaction reaches all of them, as through the mesh.
func traffic(nodes []*node) (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tx := 0; ; tx++ {
			for _, n := range nodes {
				n.add(tx)
			}
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return sync.OnceFunc(func() { close(stop); <-done })
}

// agree holds chains against each other, up to the shortest, and their certificates against Verify.
func agree(t *testing.T, nodes []*node) {
	t.Helper()
	var longest []decision
	for _, n := range nodes {
		if chain := n.snapshot(); len(chain) > len(longest) {
			longest = chain
		}
	}
	for _, n := range nodes {
		for i, d := range n.snapshot() {
			if i < len(longest) && !bytes.Equal(d.value, longest[i].value) {
				t.Fatalf("height %d: %x on %x, and %x on another", i+1, d.value, n.self[:4], longest[i].value)
			}
			v, err := nodes[0].client().Verify(context.Background(), &ordov1.VerifyRequest{ChainId: chainID, Height: uint64(i + 1), Value: d.value,
				Certificate: d.certificate, Validators: n.validators, Scheme: "ed25519"})
			if err != nil || !v.GetValid() {
				t.Fatalf("the certificate of height %d: %v %v", i+1, v.GetReason(), err)
			}
		}
	}
}

// TestFourValidators: they agree while one of them is killed and comes back, and report a twin.
func TestFourValidators(t *testing.T) {
	t.Parallel()
	nodes, twin := network(t, 4)
	for _, n := range nodes {
		n.start()
	}
	quiet := traffic(nodes)
	t.Cleanup(func() { quiet() })
	for _, n := range nodes {
		n.blocks(50)
	}
	proposers := map[string]bool{}
	agree(t, nodes)
	for _, d := range nodes[0].snapshot() {
		var b body
		unmarshal(t, d.body, &b)
		proposers[string(b.Proposer)] = true
	}
	if len(proposers) != 4 {
		t.Errorf("%d validators propose", len(proposers))
	}

	nodes[3].kill()
	at := len(nodes[0].snapshot())
	nodes[0].blocks(at + 10)
	nodes[3].start()
	nodes[3].blocks(at + 15)

	quiet()
	twin.mu.Lock()
	twin.nonce = 1 << 32 // never the block that the other one builds
	twin.mu.Unlock()
	twin.start() // and fetches the chain, which it does faster than a busy one grows, but not much
	twin.blocks(at + 15)
	// Each of the two builds a block of its own when it is their turn to propose, and votes for that.
	quiet = traffic(append([]*node{twin}, nodes...))
	for _, n := range nodes {
		n.until("a report of the twin", time.Minute, func() bool { return len(n.reports) > 0 })
		n.mu.Lock()
		if r := n.reports[0]; r.GetKind() != "double-vote" || !bytes.Equal(r.GetAbout(), nodes[0].self) || len(r.GetData()) == 0 {
			t.Errorf("%v", r)
		}
		n.mu.Unlock()
	}
	for _, n := range append(nodes, twin) {
		n.mu.Lock()
		if n.halted != "" {
			t.Error(n.halted)
		}
		n.mu.Unlock()
	}
	at = len(nodes[1].snapshot())
	nodes[1].blocks(at + 5)
	agree(t, nodes)
}
