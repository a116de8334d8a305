package mempool

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// invariants are what must hold after every operation.
func invariants(p *Pool) error {
	size, leased, ready, gapped, count := 0, 0, 0, 0, 0
	var seq uint64
	for e := p.arrivals.first; e != nil; e = e.next {
		count++
		if p.txs[e.Hash] != e || e.gone {
			return fmt.Errorf("%s: in the list of arrivals but not in the pool", name(e.Hash))
		}
		if e.Seq <= seq {
			return fmt.Errorf("%s: out of order of arrival", name(e.Hash))
		}
		seq = e.Seq
		size += e.Size
		if e.lease != 0 {
			leased++
			if e.stamp != 0 || !slices.Contains(p.leases[e.lease], e) {
				return fmt.Errorf("%s: leased but ready, or not in its lease", name(e.Hash))
			}
		}
		if a := e.account; a != nil && (p.accounts[a.address] != a || a.find(e.Nonce) != e) {
			return fmt.Errorf("%s: not in the chain of its account", name(e.Hash))
		}
		should := e.lease == 0 && e.scored && (e.account == nil || e.Nonce == e.account.staged)
		if should != (e.stamp != 0) {
			return fmt.Errorf("%s: ready should be %v: %s", name(e.Hash), should, p.State(e))
		}
		if !e.scored && !e.queued {
			return fmt.Errorf("%s: has no score and does not wait for one", name(e.Hash))
		}
	}
	for _, a := range p.accounts {
		if a.committed > a.staged || a.staged > a.end {
			return fmt.Errorf("%s: committed %d, staged %d, end %d", name(a.address), a.committed, a.staged, a.end)
		}
		if len(a.chain) == 0 && a.touched == 0 {
			return fmt.Errorf("%s: kept for nothing", name(a.address))
		}
		beyond, whole := 0, 0
		for i, e := range a.chain {
			whole += e.Size
			if i > 0 && a.chain[i-1].Nonce >= e.Nonce || e.Nonce < a.committed {
				return fmt.Errorf("%s: chain out of order or stale at nonce %d", name(a.address), e.Nonce)
			}
			if (e.lease != 0) != (e.Nonce < a.staged) {
				return fmt.Errorf("%s: nonce %d leased %v but staged is %d", name(a.address), e.Nonce, e.lease != 0, a.staged)
			}
			if e.Nonce > a.end {
				beyond += e.Size
			}
		}
		if whole != a.bytes {
			return fmt.Errorf("%s: %d bytes, counted %d", name(a.address), whole, a.bytes)
		}
		if a.find(a.end) != nil {
			return fmt.Errorf("%s: end %d is not missing", name(a.address), a.end)
		}
		for n := a.committed; n < a.end; n++ {
			if a.find(n) == nil {
				return fmt.Errorf("%s: nonce %d is missing before end %d", name(a.address), n, a.end)
			}
		}
		if beyond != a.gapBytes || (beyond > 0) != (a.gapped != nil) {
			return fmt.Errorf("%s: %d bytes beyond the gap, counted %d", name(a.address), beyond, a.gapBytes)
		}
		gapped += beyond
	}
	for i := range p.ready.items {
		at := &p.ready.items[i]
		if at.entry.stamp == at.stamp {
			if ready++; *at != itemOf(at.entry) {
				return fmt.Errorf("%s: ready with an old score", name(at.entry.Hash))
			}
		}
		if i > 0 && at.before(&p.ready.items[(i-1)/ways]) {
			return fmt.Errorf("%s: heap order broken", name(at.entry.Hash))
		}
	}
	if ready != p.Ready() || 2*p.ready.stale > len(p.ready.items) {
		return fmt.Errorf("%d ready, counted %d; %d of %d stale", ready, p.Ready(), p.ready.stale, len(p.ready.items))
	}
	if size != p.bytes || leased != p.leased || gapped != p.gaps.bytes || count != len(p.txs) {
		return fmt.Errorf("counters: bytes %d/%d, leased %d/%d, gaps %d/%d, len %d/%d", size, p.bytes, leased, p.leased, gapped, p.gaps.bytes, count, len(p.txs))
	}
	for _, a := range p.accounts {
		if len(a.chain) > 1 && a.bytes > p.options.AccountBytes {
			return fmt.Errorf("%s: %d bytes, its share is %d", name(a.address), a.bytes, p.options.AccountBytes)
		}
	}
	if p.bytes > p.options.MaxBytes {
		return fmt.Errorf("over capacity: %d of %d bytes", p.bytes, p.options.MaxBytes)
	}
	return nil
}

// TestProperties drives random operations; each transaction must be somewhere, exactly once, or have left with a reason.
func TestProperties(t *testing.T) {
	for seed := range int64(60) {
		properties(t, seed, rand.New(rand.NewSource(seed)), 600)
	}
}

// FuzzPool lets the fuzzer choose the operations.
func FuzzPool(f *testing.F) {
	f.Add([]byte("0123456789"))
	f.Add([]byte{0, 0, 1, 0, 0, 4, 0, 4, 6, 1, 4, 8, 5, 2, 0, 0, 1, 3})
	long := make([]byte, 1000)
	rand.New(rand.NewSource(1)).Read(long)
	f.Add(long)
	f.Fuzz(func(t *testing.T, choices []byte) {
		c := &chosen{choices}
		properties(t, -1, c, min(len(choices)/2, 300))
	})
}

// dice choose a number below n.
type dice interface{ Intn(n int) int }

// chosen takes the numbers from bytes; zeros follow.
type chosen struct{ left []byte }

func (c *chosen) Intn(n int) int {
	v := 0
	for most := n - 1; most > 0 && len(c.left) > 0; most >>= 8 {
		v = v<<8 | int(c.left[0])
		c.left = c.left[1:]
	}
	return v % n
}

func properties(t *testing.T, seed int64, r dice, steps int) {
	p := New(Options{MaxBytes: 3000 + r.Intn(6000), AccountBytes: 500 + r.Intn(2000), TTL: 40 * time.Second, MaxNonceGap: 12})
	now := time.UnixMilli(0)
	alive := map[Key]bool{}
	nonces := map[string]uint64{} // what the chain says
	var height uint64
	left := func(dropped []Dropped) {
		for _, d := range dropped {
			if !alive[d.Hash] || d.Why == nil {
				t.Fatalf("seed %d: %s left twice or without a reason", seed, name(d.Hash))
			}
			delete(alive, d.Hash)
		}
	}
	for step := range steps {
		what := ""
		switch r.Intn(10) {
		case 0, 1, 2, 3:
			who := string(rune('a' + r.Intn(8)))
			nonce := nonces[who] + uint64(r.Intn(6))
			kind := ordov1.TransactionType_INVOKE
			if r.Intn(15) == 0 {
				kind = ordov1.TransactionType_L1_HANDLER
			}
			tx := transaction(fmt.Sprintf("%s/%d.%d", who, nonce, step), who, nonce, uint64(r.Intn(4)), 1+uint64(r.Intn(200)), kind)
			tx.Signature = make([]byte, r.Intn(200))
			what = "add " + name(Key(tx.Hash))
			stale := nonces[who]
			if stale > 0 && r.Intn(4) == 0 {
				stale-- // the caller's view may lag
			}
			before := p.AddError(tx, nil, stale)
			e, dropped, err := p.Add(now, tx, nil, stale)
			left(dropped)
			if before != nil && err == nil && len(dropped) == 0 {
				t.Fatalf("seed %d: AddError gave %v, and Add took it", seed, before)
			}
			if (e == nil) == (err == nil) {
				t.Fatalf("seed %d: Add gave %v and %v", seed, e, err)
			}
			if err == nil {
				alive[e.Hash] = true
			}
		case 4:
			what = "score"
			score(p, []string{"tip", "fifo", "lowest"}[r.Intn(3)], uint64(r.Intn(20)))
		case 5:
			what = "by arrival"
			p.RankByArrival(p.Unscored(1 + r.Intn(3)))
		case 6:
			lease := uint64(1 + r.Intn(2))
			taken, _ := p.Take(lease, r.Intn(5))
			what = fmt.Sprintf("take %d for %d", len(taken), lease)
			next := map[Key]uint64{}
			for _, e := range taken {
				if want, seen := next[e.Sender]; seen && e.account != nil && e.Nonce != want {
					t.Fatalf("seed %d: %s taken out of nonce order", seed, name(e.Hash))
				}
				if e.account != nil {
					next[e.Sender] = e.Nonce + 1
				}
			}
		case 7:
			what = "rewind"
			lease := uint64(1 + r.Intn(2))
			// With two leases in flight only the younger may go back in part; whole rewinds go youngest first.
			p.Rewind(3-lease, 0)
			p.Rewind(lease, 0)
		case 8:
			what = "commit block"
			// Keep one lease, so that it is a prefix of every chain, then put some prefix of it in a block.
			p.Rewind(2, 0)
			p.Rewind(1, 0)
			taken, _ := p.Take(1, r.Intn(8))
			n := 0
			if len(taken) > 0 {
				n = r.Intn(len(taken) + 1)
			}
			p.Rewind(1, n)
			var included []Key
			var refused []Rejected
			moved := map[Key]uint64{}
			broken := map[Key]bool{}
			for _, e := range taken[:n] {
				switch {
				case e.account != nil && broken[e.Sender]:
					refused = append(refused, Rejected{Hash: e.Hash, Code: ordov1.RejectionCode_INVALID_NONCE, Why: fmt.Errorf("nonce")})
					continue
				case e.account != nil && r.Intn(6) == 0:
					broken[e.Sender] = true
					refused = append(refused, Rejected{Hash: e.Hash, Code: ordov1.RejectionCode_VALIDATION_FAILURE, Why: fmt.Errorf("no")})
					continue
				}
				included = append(included, e.Hash)
				delete(alive, e.Hash)
				if e.account != nil {
					moved[e.Sender] = e.Nonce + 1
					nonces[name(e.Sender)] = e.Nonce + 1
				}
			}
			height++
			left(p.CommitBlock(height, included, refused, moved))
			for _, e := range included {
				if p.Get(e) != nil {
					t.Fatalf("seed %d: %s is in a block and in the pool", seed, name(e))
				}
			}
			if p.leased != 0 {
				t.Fatalf("seed %d: leases outlive a block", seed)
			}
		case 9:
			now = now.Add(time.Duration(r.Intn(4000)) * time.Millisecond)
			what = "expire"
			left(p.Expire(now))
		}
		if err := invariants(p); err != nil {
			t.Fatalf("seed %d, step %d (%s): %v", seed, step, what, err)
		}
		if len(alive) != p.Len() {
			t.Fatalf("seed %d, step %d (%s): %d transactions known, %d in the pool", seed, step, what, len(alive), p.Len())
		}
		for hash := range alive {
			if p.Get(hash) == nil {
				t.Fatalf("seed %d, step %d (%s): %s is lost", seed, step, what, name(hash))
			}
		}
	}
}

// BenchmarkPool measures one add, score, take and commit with many others waiting.
func BenchmarkPool(b *testing.B) {
	for _, waiting := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			p := New(Options{TTL: time.Hour})
			now := time.UnixMilli(0)
			add := func(i int) {
				tx := transaction(fmt.Sprintf("t%d", i), fmt.Sprintf("s%d", i), 0, uint64(i*7919%1000), 100, ordov1.TransactionType_INVOKE)
				if _, _, err := p.Add(now, tx, nil, 0); err != nil {
					b.Fatal(err)
				}
				score(p, "tip", 0)
			}
			for i := range waiting {
				add(i)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				add(waiting + i)
				taken, _ := p.Take(1, 1)
				e := taken[0]
				p.CommitBlock(uint64(i+1), []Key{e.Hash}, nil, map[Key]uint64{e.Sender: 1})
			}
		})
	}
}
