package network

import (
	"fmt"
	"testing"
)

// TestInboundIsBoundedInBytesAlone: many small frames take no more room than a large one, what is taken comes in order and many at a time,
// and room comes back when transactions are admitted.
func TestInboundIsBoundedInBytesAlone(t *testing.T) {
	const each = 136
	q := newInbound(5000 * (each + transactionCost))
	tx := func(n int) []byte { return fmt.Appendf(make([]byte, 0, each), "%0*d", each, n) }
	for n := range 5000 {
		if !q.put([][]byte{tx(n)}) {
			t.Fatalf("no room for transaction %d", n)
		}
	}
	if q.put([][]byte{tx(5000)}) {
		t.Fatal("beyond its bytes")
	}
	next := 0
	for range 5 {
		<-q.more
		batch, done := q.take(1000)
		if len(batch) != 1000 {
			t.Fatalf("%d at a time", len(batch))
		}
		for _, one := range batch {
			if string(one) != string(tx(next)) {
				t.Fatalf("%s, want %d", one, next)
			}
			next++
		}
		if next == 1000 && q.put([][]byte{tx(0)}) {
			t.Fatal("there is room before they are admitted")
		}
		done()
		if !q.put(batch[:1]) {
			t.Fatal("there is no room after they are admitted")
		}
	}
	<-q.more
	if batch, done := q.take(1000); len(batch) != 5 {
		t.Errorf("%d are left", len(batch))
	} else {
		done()
	}
	if batch, done := q.take(10); len(batch) != 0 || q.bytes != 0 {
		t.Errorf("%d and %d bytes", len(batch), q.bytes)
	} else {
		done()
	}
	if big := make([]byte, 10_000_000); !q.put([][]byte{big}) || q.put([][]byte{tx(1)}) {
		t.Error("one batch there is always room for, and no second beside it")
	}
}
