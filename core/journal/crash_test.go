package journal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Small enough that a short run sees many segments, copies forward and removals.
var tiny = Options{Chain: "TEST", SegmentBytes: 700, Garbage: 900}

func key(i int) (k Key) {
	k[0], k[31] = byte(i>>8)+1, byte(i)
	return k
}

func transaction(i int) (*ordov1.Transaction, *ordov1.Class) {
	hash := key(i)
	tx := &ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Hash: hash[:], Sender: hash[:], Nonce: []byte{byte(i)}, Calldata: bytes.Repeat([]byte{byte(i)}, 32*(i%4))}
	if i%5 != 3 {
		return tx, nil
	}
	tx.Type = ordov1.TransactionType_DECLARE
	return tx, &ordov1.Class{Hash: hash[:], Definition: bytes.Repeat([]byte("class"), i%50)}
}

// promised is what callers were told, and what they asked for without an answer.
type promised struct {
	asked             []int // in order
	told              map[int]bool
	released          map[int]bool // asked for
	gone              map[int]bool // told
	steps, toldSteps  []Step
	persisted         map[uint64][]byte // asked for
	toldPersisted     map[uint64]int    // how much of it was told
	committed, surely uint64
}

func newPromised() *promised {
	return &promised{told: map[int]bool{}, released: map[int]bool{}, gone: map[int]bool{}, persisted: map[uint64][]byte{}, toldPersisted: map[uint64]int{}}
}

func (p *promised) admit(j *Journal, i int) error {
	if !slices.Contains(p.asked, i) {
		p.asked = append(p.asked, i)
	}
	delete(p.gone, i)
	tx, class := transaction(i)
	err := j.Admit(tx, class)
	if err == nil {
		p.told[i] = true
		delete(p.released, i)
	}
	return err
}

func (p *promised) release(j *Journal, all bool, numbers ...int) error {
	var hashes []Key
	for _, i := range numbers {
		p.released[i] = true
		hashes = append(hashes, key(i))
	}
	b, err := j.release(hashes, all)
	if err != nil || b == nil {
		return err
	}
	if err := b.wait(); err != nil {
		return err
	}
	for _, i := range numbers {
		p.gone[i] = true
	}
	return nil
}

func (p *promised) mark(j *Journal, kind Kind, height uint64, note string) error {
	s := Step{Kind: kind, Height: height, Note: []byte(note)}
	if kind == Ordered {
		s.Block = fmt.Appendf(nil, "attempt %d", height%3)
	}
	if kind == Proposed || kind == Decided {
		s.Block = fmt.Appendf(nil, "block %d", height)
	}
	p.steps = append(p.steps, s)
	if kind == Committed {
		p.committed = height + 1
	}
	b, err := j.mark(s)
	if err == nil {
		err = b.wait()
	}
	if err == nil {
		p.toldSteps = append(p.toldSteps, s)
		if kind == Committed {
			p.surely = height + 1
		}
	}
	return err
}

func (p *promised) persist(j *Journal, height uint64, data string) error {
	p.persisted[height] = append(p.persisted[height], data...)
	err := j.Persist(height, []byte(data))
	if err == nil {
		p.toldPersisted[height] = len(p.persisted[height])
	}
	return err
}

// life is the script of a run: heights with their transactions, of which 0 waits for ever and 7 for long.
func life(j *Journal, p *promised, until func(error) bool) {
	do := func(err error) bool { return !until(err) }
	waiting := []int{}
	for h := range uint64(14) {
		for i := range 3 {
			n := int(h)*3 + i
			if !do(p.admit(j, n)) {
				return
			}
			if n != 0 && n != 7 {
				waiting = append(waiting, n)
			}
		}
		if !do(p.mark(j, Ordered, h, "first,")) || !do(p.mark(j, Ordered, h, "second")) {
			return
		}
		if !do(p.persist(j, h, fmt.Sprintf("vote %d.", h))) || !do(p.mark(j, Proposed, h, "")) || !do(p.mark(j, Decided, h, "order")) {
			return
		}
		if h == 12 {
			break // decided, not committed
		}
		if h%4 == 1 && !do(p.release(j, false, waiting[0])) {
			return
		}
		if h == 5 || h == 6 { // blocks without effect on the pool: more garbage than transactions that wait
			if !do(p.persist(j, h, strings.Repeat("x", 900))) {
				return
			}
		}
		if !do(p.mark(j, Applied, h, "")) || !do(p.release(j, true, waiting...)) || !do(p.mark(j, Committed, h, "")) || !do(p.mark(j, Accepted, h, "")) {
			return
		}
		waiting = waiting[:0]
		if h == 10 && (!do(p.release(j, true, 7)) || !do(p.admit(j, 7))) {
			return
		}
	}
}

func (p *promised) check(r *Recovery) error {
	seen := map[Key]bool{}
	last := -1
	for _, w := range r.Transactions {
		hash := Key(w.Tx.Hash)
		if seen[hash] {
			return fmt.Errorf("0x%x is there twice", hash)
		}
		seen[hash] = true
		i := slices.IndexFunc(p.asked, func(i int) bool { return key(i) == hash })
		if i < 0 {
			return fmt.Errorf("0x%x was never admitted", hash)
		}
		n := p.asked[i]
		if p.gone[n] {
			return fmt.Errorf("transaction %d was released and is back", n)
		}
		if n != 7 { // 7 is admitted again late
			if i < last {
				return fmt.Errorf("transaction %d is out of order", n)
			}
			last = i
		}
		tx, class := transaction(n)
		if !proto.Equal(tx, w.Tx) || (class == nil) != (w.Class == nil) || class != nil && !proto.Equal(class, w.Class) {
			return fmt.Errorf("transaction %d is not what was admitted", n)
		}
	}
	for n := range p.told {
		if !p.released[n] && !seen[key(n)] {
			return fmt.Errorf("transaction %d was promised and is lost", n)
		}
	}
	if r.Heads.Committed < p.surely || r.Heads.Committed > p.committed {
		return fmt.Errorf("committed below %d: want %d to %d", r.Heads.Committed, p.surely, p.committed)
	}
	heights := map[uint64]Height{}
	for _, h := range r.Heights {
		if h.Number < r.Heads.Committed {
			return fmt.Errorf("height %d is open and committed", h.Number)
		}
		if !bytes.HasPrefix(p.persisted[h.Number], h.Log) {
			return fmt.Errorf("height %d: persisted %q: want a prefix of %q", h.Number, h.Log, p.persisted[h.Number])
		}
		heights[h.Number] = h
	}
	for number, told := range p.toldPersisted {
		if number >= p.committed && len(heights[number].Log) < told {
			return fmt.Errorf("height %d: %d of %d persisted bytes are there", number, len(heights[number].Log), told)
		}
	}
	for _, s := range p.toldSteps {
		if s.Kind == Decided && s.Height >= p.committed && (!bytes.Equal(heights[s.Height].Decided, s.Block) || string(heights[s.Height].Note) != "order") {
			return fmt.Errorf("height %d: the decision is lost", s.Height)
		}
		if order := string(heights[s.Height].Order); s.Kind == Ordered && s.Height >= p.committed && (!strings.Contains(order, string(s.Note)) || !strings.HasPrefix("first,second", order)) {
			return fmt.Errorf("height %d: its order is %q, want %q in it", s.Height, order, s.Note)
		}
	}
	return nil
}

func crashed(err error) bool { return err != nil }

// TestEveryCrashPoint cuts the power during each operation of a run, lets each kind of disk survive, and cuts it again
// during each operation of the recovery.
func TestEveryCrashPoint(t *testing.T) {
	whole := newDisk(0)
	j, _, err := Open(whole, tiny)
	if err != nil {
		t.Fatal(err)
	}
	life(j, newPromised(), crashed)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	removed := 0
	for _, op := range whole.log {
		if strings.HasPrefix(op, "remove") {
			removed++
		}
	}
	if removed < 5 {
		t.Fatalf("the run removes %d segments only", removed)
	}
	recoveries := 0
	stride := 1
	if testing.Short() {
		stride = 7
	}
	for cut := 1; cut <= whole.ops+1; cut += stride {
		d := newDisk(uint64(cut))
		d.cutAt = cut
		p := newPromised()
		if j, _, err := Open(d, tiny); err == nil {
			life(j, p, crashed)
			_ = j.Close()
		}
		what := "the end"
		if cut <= whole.ops {
			what = whole.log[cut-1]
		}
		for variant := range uint64(6) {
			how := min(survivor(variant), torn)
			for again := 1; ; again++ {
				name := fmt.Sprintf("cut at %d (%s), variant %d, recovery cut at %d", cut, what, variant, again)
				next := d.after(how, variant)
				next.cutAt = again
				j, r, err := Open(next, tiny)
				interrupted := err != nil
				if interrupted && !errors.Is(err, errPowerCut) {
					t.Fatalf("%s: %v", name, err)
				}
				if !interrupted {
					// What a recovery has told is a promise too: it must survive whatever comes next.
					if err := p.check(r); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					goOn(t, name, next, j, r)
				}
				for _, how := range []survivor{synced, torn} {
					last, r2, err := Open(next.after(how, variant), tiny)
					if err != nil {
						t.Fatalf("%s: second recovery: %v", name, err)
					}
					if err := p.check(r2); interrupted && err != nil {
						t.Fatalf("%s: second recovery: %v", name, err)
					}
					_ = last.Close()
					recoveries++
				}
				if !interrupted && !next.cut {
					break
				}
			}
		}
	}
	t.Logf("%d operations, %d recoveries, %d segments removed", whole.ops, recoveries, removed)
}

// goOn uses a recovered journal: it holds what it told, and takes more.
func goOn(t *testing.T, name string, d *disk, j *Journal, r *Recovery) {
	t.Helper()
	want := len(r.Transactions)
	for i := 500; i < 503; i++ {
		tx, class := transaction(i)
		if err := j.Admit(tx, class); err == nil {
			want++
		} else if !d.cut {
			t.Fatalf("%s: %v", name, err)
		}
	}
	_ = j.Close()
	again, r2, err := Open(d.after(synced, 0), tiny)
	if err != nil {
		t.Fatalf("%s: open again: %v", name, err)
	}
	_ = again.Close()
	if len(r2.Transactions) != want && (!d.cut || len(r2.Transactions) < want) {
		t.Fatalf("%s: %d transactions after going on, want %d", name, len(r2.Transactions), want)
	}
	for i, w := range r.Transactions {
		if !proto.Equal(w.Tx, r2.Transactions[i].Tx) {
			t.Fatalf("%s: transaction %d changed its place", name, i)
		}
	}
}

// TestEveryFault lets each operation of a run fail once, while the process runs on.
func TestEveryFault(t *testing.T) {
	whole := newDisk(0)
	j, _, err := Open(whole, tiny)
	if err != nil {
		t.Fatal(err)
	}
	life(j, newPromised(), func(error) bool { return false })
	_ = j.Close()
	for at := 1; at <= whole.ops; at++ {
		d := newDisk(uint64(at))
		mustPoison, mayPoison, failedWrite := false, false, false
		d.fault = func(op int, what string) error {
			if op != at {
				return nil
			}
			if strings.HasPrefix(what, "write") || strings.HasPrefix(what, "create") {
				failedWrite = true
				return syscall.ENOSPC
			}
			mustPoison = strings.HasPrefix(what, "sync 0") || strings.HasPrefix(what, "rename")
			mayPoison = mustPoison || what == "sync directory" // after removals it does not matter
			return syscall.EIO
		}
		name := fmt.Sprintf("fault at %d (%s)", at, whole.log[at-1])
		p := newPromised()
		j, _, err := Open(d, tiny)
		if err == nil {
			life(j, p, func(err error) bool {
				if failedWrite && errors.Is(err, ErrPoisoned) {
					t.Fatalf("%s: a full disk is no reason to stop for ever: %v", name, err)
				}
				return false
			})
			if err := j.Admit(transaction(600)); mustPoison && !errors.Is(err, ErrPoisoned) || err != nil && !mayPoison {
				t.Fatalf("%s: admit: %v", name, err)
			} else if err == nil {
				p.asked, p.told[600] = append(p.asked, 600), true
			}
			_ = j.Close()
		}
		for _, how := range []survivor{synced, cached, torn} {
			j, r, err := Open(d.after(how, uint64(at)), tiny)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := p.check(r); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			_ = j.Close()
		}
	}
}
