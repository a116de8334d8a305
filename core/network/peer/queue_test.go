package peer

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestQueue reads transcripts: what is pushed, what is dropped, and what comes out in which order.
func TestQueue(t *testing.T) {
	var q *Queue
	classOf := map[string]Class{"control": Control, "bodies": Bodies, "fetches": Fetches, "gossip": Gossip}
	datadriven.RunTest(t, "testdata/queue.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		number := func(key string) (n uint64) {
			if d.HasArg(key) {
				d.ScanArgs(t, key, &n)
			}
			return n
		}
		switch d.Cmd {
		case "new":
			q = NewQueue(int(number("limit")))
		case "height":
			q.SetHeight(number("at"))
		case "head":
			q.SetHead(Item{Frame: fmt.Sprint("head ", number("at"))})
		case "push":
			for _, line := range strings.Split(d.Input, "\n") {
				words := strings.Fields(line) // CLASS BYTES [height=N] [group=N] [last]
				bytes, err := strconv.Atoi(words[1])
				if err != nil {
					t.Fatal(err)
				}
				i := Item{Class: classOf[words[0]], Bytes: bytes, Frame: line}
				for _, w := range words[2:] {
					key, value, _ := strings.Cut(w, "=")
					n, _ := strconv.ParseUint(value, 10, 64)
					switch key {
					case "height":
						i.Height = n
					case "group":
						i.Group = n
					case "last":
						i.Last = true
					}
				}
				fmt.Fprintf(&out, "%s: %s\n", line, [...]string{"queued", "dropped", "full: end the link"}[q.Push(i)])
			}
		case "pop":
			for _, pop := range []func() (Item, bool){q.PopControl, q.PopBulk} {
				for i, ok := pop(); ok; i, ok = pop() {
					fmt.Fprintf(&out, "%v\n", i.Frame)
				}
			}
		default:
			t.Fatalf("unknown command %s", d.Cmd)
		}
		fmt.Fprintf(&out, "%d bytes", q.Bytes())
		for _, c := range Classes() {
			if n := q.Dropped(c); n > 0 {
				fmt.Fprintf(&out, ", %d %s dropped", n, c)
			}
		}
		return out.String() + "\n"
	})
}

// TestQueueIsBounded: whatever is pushed and popped, no more bytes wait than allowed, the books are right, each class comes out in its order,
// and no control message of the current height is dropped.
func TestQueueIsBounded(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		limit := 50 + r.IntN(500)
		q := NewQueue(limit)
		height, serial := uint64(1), 0
		last := make(map[Class]int)
		owed := 0 // control messages of the current height and above that were queued
		take := func(pop func() (Item, bool)) {
			i, ok := pop()
			if !ok {
				return
			}
			n := i.Frame.(int)
			if n <= last[i.Class] {
				t.Fatalf("seed %d: %s %d after %d", seed, i.Class, n, last[i.Class])
			}
			last[i.Class] = n
			if i.Class == Control && i.Height >= height {
				owed--
			}
		}
		for range 2000 {
			serial++
			switch r.IntN(8) {
			case 0:
				take(q.PopControl)
			case 1, 2:
				take(q.PopBulk)
			case 3:
				if r.IntN(10) == 0 {
					for i, ok := q.PopControl(); ok; i, ok = q.PopControl() {
						last[Control] = i.Frame.(int)
					}
					owed, height = 0, height+1
					q.SetHeight(height)
				}
			default:
				i := Item{Class: Class(r.IntN(4)), Bytes: 1 + r.IntN(40), Height: height - uint64(r.IntN(2)) + uint64(r.IntN(2)), Frame: serial}
				if i.Class != Control {
					i.Group = uint64(r.IntN(4))
					i.Last = r.IntN(5) == 0
				}
				switch pushed := q.Push(i); {
				case pushed == Queued && i.Class == Control && i.Height >= height:
					owed++
				case pushed == Dropped && i.Class == Control, pushed == Full && i.Class != Control:
					t.Fatalf("seed %d: %+v: %d", seed, i, pushed)
				}
			}
			sum := 0
			for _, c := range Classes() {
				sum += q.ClassBytes(c)
			}
			if sum != q.Bytes() || sum > limit || sum < 0 {
				t.Fatalf("seed %d: %d bytes, %d in the classes, at most %d", seed, q.Bytes(), sum, limit)
			}
		}
		found := 0
		for i, ok := q.PopControl(); ok; i, ok = q.PopControl() {
			if i.Height >= height {
				found++
			}
		}
		if found != owed {
			t.Fatalf("seed %d: %d control messages of the current height, want %d", seed, found, owed)
		}
	}
}
