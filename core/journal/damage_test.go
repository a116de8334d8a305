package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// digest is all that a recovery tells.
func digest(r *Recovery) string {
	var b strings.Builder
	for _, w := range r.Transactions {
		fmt.Fprintf(&b, "%x %v\n", w.Tx.Hash, w.Class != nil)
	}
	fmt.Fprintf(&b, "%+v\n", r.Heads)
	for _, h := range r.Heights {
		fmt.Fprintf(&b, "%d %q %q %q %q\n", h.Number, h.Proposed, h.Decided, h.Note, h.Log)
	}
	return b.String()
}

// TestDamage cuts, zeroes or flips a file at 500 random places. What opens must be the state after some commit of the last
// segment; anything else must be refused with file and offset.
func TestDamage(t *testing.T) {
	d := newDisk(3)
	options := tiny
	options.SegmentBytes, options.Garbage = 2000, 1<<20
	j, _, err := Open(d, options)
	if err != nil {
		t.Fatal(err)
	}
	life(j, newPromised(), crashed)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// The states that a shorter last segment leaves: cut it at every byte.
	var last string
	for name := range d.names {
		last = max(last, name)
	}
	states := map[string]bool{}
	for size := headerSize; size <= len(d.names[last].data); size++ {
		cut := d.after(synced, 0)
		n := cut.names[last]
		n.data = n.data[:size]
		j, r, err := Open(cut, options)
		if err != nil {
			t.Fatalf("last segment cut to %d bytes: %v", size, err)
		}
		if torn := r.Torn != nil; torn && r.Torn.File != last {
			t.Fatalf("torn: %v", r.Torn)
		}
		states[digest(r)] = true
		_ = j.Close()
	}
	if len(states) < 3 || len(d.names) < 4 {
		t.Fatalf("%d states, %d segments: too few to tell anything", len(states), len(d.names))
	}

	rng := rand.New(rand.NewPCG(4, 4))
	var names []string
	for name := range d.names {
		names = append(names, name)
	}
	refused, prefixes := 0, 0
	for i := range 500 {
		hurt := d.after(synced, 0)
		name := names[rng.IntN(len(names))]
		if i%2 == 0 { // the only one that can be hurt and opened
			name = last
		}
		n := hurt.names[name]
		at := rng.IntN(len(n.data))
		what := []string{"cut", "zero", "flip"}[i%3]
		switch what {
		case "cut":
			n.data = n.data[:at]
		case "zero":
			zeroes := n.data[at:min(len(n.data), at+1+rng.IntN(200))]
			if strings.Trim(string(zeroes), "\x00") == "" {
				zeroes[0] = 1
			} else {
				clear(zeroes)
			}
		case "flip":
			n.data[at] ^= 1 << rng.IntN(8)
		}
		j, r, err := Open(hurt, options)
		if err != nil {
			refused++
			if !errors.Is(err, ErrDamaged) && !strings.Contains(err.Error(), "version") && !strings.Contains(err.Error(), "chain") {
				t.Fatalf("%s %s at %d: %v", what, name, at, err)
			}
			if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "offset ") {
				t.Fatalf("%s %s at %d: the error does not say where: %v", what, name, at, err)
			}
			continue
		}
		prefixes++
		if name != last || r.Torn == nil && what != "cut" || !states[digest(r)] {
			t.Fatalf("%s %s at %d: opened as\n%s", what, name, at, digest(r))
		}
		_ = j.Close()
	}
	t.Logf("%d segments, %d refused, %d opened as a prefix", len(names), refused, prefixes)
	if refused < 50 || prefixes < 50 {
		t.Fatal("one kind is hardly tried")
	}
}
