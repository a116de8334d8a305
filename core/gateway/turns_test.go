package gateway

import (
	"fmt"
	"math/rand"
	"testing"
)

// TestTurnsAreFair: random lanes, bounded in all and each, wait; none waits for longer than a round of all the lanes beside
// it, and no flow is lost or served twice.
func TestTurnsAreFair(t *testing.T) {
	for seed := range int64(200) {
		r := rand.New(rand.NewSource(seed))
		most, share := 1+r.Intn(12), 1+r.Intn(4)
		q := newTurns(most, share)
		waits := map[*flow]int{} // times that another one was served since it was the first of its lane
		for step := range 300 {
			l := lane{proven: r.Intn(2) == 0, of: fmt.Sprint(r.Intn(6))}
			switch r.Intn(4) {
			case 0, 1:
				before := q.waiting
				f := &flow{hash: fmt.Sprint(step)}
				out, ok := q.add(l, f)
				if ok {
					waits[f] = 0
				}
				if out != nil {
					if before < most {
						t.Fatalf("seed %d: one had to leave though there was room", seed)
					}
					if out.lane.proven && !l.proven {
						t.Fatalf("seed %d: an estimate displaced a declaration", seed)
					}
					delete(waits, out)
				}
				if !ok && before < most && q.length(l) < share {
					t.Fatalf("seed %d: refused with room for it", seed)
				}
			case 2:
				f := q.next()
				if f == nil {
					if len(waits) > 0 {
						t.Fatalf("seed %d: no flow has the turn though %d wait", seed, len(waits))
					}
					continue
				}
				if _, here := waits[f]; !here {
					t.Fatalf("seed %d: served though it does not wait", seed)
				}
				delete(waits, f)
				for _, r := range q.lanes {
					if waits[r.flows[0]]++; waits[r.flows[0]] > 2*13 {
						t.Fatalf("seed %d: lane %v was passed over %d times", seed, r.lane, waits[r.flows[0]])
					}
				}
			case 3:
				for f := range waits { // any
					if r.Intn(2) == 0 {
						q.remove(f)
						delete(waits, f)
					} else {
						q.prove(lane{proven: true, of: f.lane.of}, f)
					}
					break
				}
			}
			if q.waiting != len(waits) || q.waiting > most || len(q.rings[0])+len(q.rings[1]) != len(q.lanes) {
				t.Fatalf("seed %d: %d wait, %d counted of at most %d", seed, len(waits), q.waiting, most)
			}
			for _, r := range q.lanes {
				if len(r.flows) == 0 || len(r.flows) > share {
					t.Fatalf("seed %d: lane with %d of at most %d", seed, len(r.flows), share)
				}
			}
		}
	}
}

// TestTurnsByHand: two accounts and two addresses, in the order in which they are served.
func TestTurnsByHand(t *testing.T) {
	q := newTurns(8, 4)
	for _, f := range []struct {
		proven bool
		of     string
		name   string
	}{{false, "x", "x1"}, {false, "x", "x2"}, {false, "x", "x3"}, {false, "x", "x4"}, {true, "a", "a1"}, {true, "a", "a2"}, {false, "y", "y1"}, {true, "b", "b1"}} {
		if _, ok := q.add(lane{f.proven, f.of}, &flow{hash: f.name}); !ok {
			t.Fatal("no room for", f.name)
		}
	}
	if _, ok := q.add(lane{false, "x"}, &flow{}); ok {
		t.Error("x has more than its share")
	}
	if out, ok := q.add(lane{false, "z"}, &flow{hash: "z1"}); !ok || out.hash != "x4" {
		t.Error("z is not let in at the expense of x")
	}
	if out, ok := q.add(lane{true, "c"}, &flow{hash: "c1"}); !ok || out.hash != "x3" {
		t.Error("c is not let in at the expense of x")
	}
	var order string
	for f := q.next(); f != nil; f = q.next() {
		order += f.hash + " "
	}
	if order != "a1 x1 b1 y1 c1 z1 a2 x2 " {
		t.Error(order)
	}
}
