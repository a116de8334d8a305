package journal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T, d Directory, o Options) (*Journal, *Recovery) {
	t.Helper()
	j, r, err := Open(d, o)
	if err != nil {
		t.Fatal(err)
	}
	return j, r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func reopen(t *testing.T, j *Journal, d Directory, o Options) (*Journal, *Recovery) {
	t.Helper()
	must(t, j.Close())
	return open(t, d, o)
}

func TestFolder(t *testing.T) {
	path := t.TempDir() + "/new"
	folder, err := OpenFolder(path)
	must(t, err)
	if _, err := OpenFolder(path); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Fatalf("the lock: %v", err)
	}
	j, _ := open(t, folder, tiny)
	p := newPromised()
	life(j, p, func(err error) bool { must(t, err); return false })
	must(t, j.Close())
	must(t, folder.Close())
	if err := j.Admit(transaction(1)); !errors.Is(err, ErrClosed) {
		t.Fatalf("after close: %v", err)
	}
	folder, err = OpenFolder(path)
	must(t, err)
	j, r := open(t, folder, tiny)
	must(t, p.check(r))
	must(t, j.Close())
	must(t, folder.Close())
}

func TestHolders(t *testing.T) {
	d := newDisk(1)
	j, _ := open(t, d, tiny)
	for range 3 {
		must(t, j.Admit(transaction(1)))
	}
	must(t, j.Drop(key(1)))
	must(t, j.Drop(key(1), key(9)))
	j, r := reopen(t, j, d, tiny)
	if len(r.Transactions) != 1 {
		t.Fatalf("dropped by two of three: %d are there, want 1", len(r.Transactions))
	}
	must(t, j.Admit(transaction(1)))
	must(t, j.Release(key(1)))
	if s := j.Stats(); s.Transactions != 0 || s.LiveBytes != 0 {
		t.Fatalf("released: %+v", s)
	}
	j, r = reopen(t, j, d, tiny)
	if len(r.Transactions) != 0 {
		t.Fatal("released, and it is back")
	}
	must(t, j.Close())
}

func TestSteps(t *testing.T) {
	d := newDisk(1)
	j, _ := open(t, d, tiny)
	must(t, j.Mark(Step{Kind: Proposed, Height: 5, Block: []byte("a")}))
	must(t, j.Mark(Step{Kind: Proposed, Height: 5, Block: []byte("b"), Note: []byte("n")}))
	must(t, j.Mark(Step{Kind: Decided, Height: 5, Block: []byte("b")}))
	must(t, j.Mark(Step{Kind: Decided, Height: 5, Block: []byte("b")}))
	for _, s := range []Step{
		{Kind: Decided, Height: 5, Block: []byte("a")}, {Kind: Proposed, Height: 5, Block: []byte("c")}, {Kind: Committed, Height: 5, Block: []byte("a")},
		{Kind: Decided, Height: 6}, {Kind: Accepted, Height: 5}, {Kind: 9}, {},
	} {
		if err := j.Mark(s); err == nil {
			t.Fatalf("%+v is taken", s)
		}
	}
	must(t, j.Persist(6, []byte("early")))
	must(t, j.Mark(Step{Kind: Applied, Height: 5}))
	j, r := reopen(t, j, d, tiny)
	if h := r.Heights; len(h) != 2 || string(h[0].Proposed) != "b" || string(h[0].Decided) != "b" || string(h[0].Note) != "n" || string(h[1].Log) != "early" || r.Heads != (Heads{Applied: 6}) {
		t.Fatalf("%+v", r)
	}
	must(t, j.Mark(Step{Kind: Abandoned, Height: 5}))
	must(t, j.Mark(Step{Kind: Decided, Height: 5, Block: []byte("a")}))
	must(t, j.Mark(Step{Kind: Committed, Height: 5, Block: []byte("a")}))
	must(t, j.Mark(Step{Kind: Accepted, Height: 5}))
	if err := j.Mark(Step{Kind: Decided, Height: 5, Block: []byte("a")}); err == nil {
		t.Fatal("a committed height is decided again")
	}
	must(t, j.Persist(5, []byte("late")))
	j, r = reopen(t, j, d, tiny)
	if len(r.Heights) != 0 || r.Heads != (Heads{0 /* abandoned */ + 5, 6, 6}) {
		t.Fatalf("%+v", r)
	}
	must(t, j.Close())
}

func TestWrongFiles(t *testing.T) {
	d := newDisk(1)
	o := tiny
	o.Garbage = 1 << 20
	j, _ := open(t, d, o)
	for i := range 30 {
		must(t, j.Admit(transaction(i)))
	}
	must(t, j.Close())
	for _, c := range []struct {
		what    string
		change  func(d *disk)
		options Options
		want    string
	}{
		{"another chain", func(*disk) {}, Options{Chain: "OTHER"}, `is of chain "TEST", not of "OTHER"`},
		{"a later version", func(d *disk) { d.names[segmentName(2)].data[8] = 2 }, o, "0000000000000002.journal: offset 0: it has version 2"},
		{"a hole", func(d *disk) { delete(d.names, segmentName(2)) }, o, "0000000000000002.journal is missing"},
		{"a hole of two", func(d *disk) { delete(d.names, segmentName(2)); delete(d.names, segmentName(3)) }, o, "0000000000000002.journal to 0000000000000003.journal are missing"},
		{"no beginning", func(d *disk) { delete(d.names, segmentName(1)) }, o, "0000000000000001.journal is missing"},
		{"swapped", func(d *disk) {
			d.names[segmentName(1)], d.names[segmentName(2)] = d.names[segmentName(2)], d.names[segmentName(1)]
		}, o, "under another name"},
		{"empty", func(d *disk) { d.names[segmentName(2)].data = nil }, o, "0000000000000002.journal: offset 0: its header is cut short: 0 of"},
		{"a bit in the middle", func(d *disk) { d.names[segmentName(1)].data[headerSize+30] ^= 1 }, o, fmt.Sprintf("0000000000000001.journal: offset %d: the checksum", headerSize)},
		{"cut at a frame", func(d *disk) { n := d.names[segmentName(2)]; n.data = n.data[:headerSize] }, o, "it is cut short: it had"},
		{"too long a name", func(*disk) {}, Options{Chain: strings.Repeat("x", 33)}, "at most 32 bytes"},
	} {
		hurt := d.after(synced, 0)
		before := len(hurt.log)
		c.change(hurt)
		if _, _, err := Open(hurt, c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
		if len(hurt.log) != before {
			t.Errorf("%s: a refused journal was changed: %v", c.what, hurt.log)
		}
	}
}

// TestForgottenFiles: files that were to be removed are not believed when they come back, however few of them do.
func TestForgottenFiles(t *testing.T) {
	d := newDisk(1)
	j, _ := open(t, d, tiny)
	for i := range 30 {
		must(t, j.Admit(transaction(i)))
	}
	old := d.after(cached, 0).names
	for i := range 30 { // the releases stand in segments that are forgotten too
		b, err := j.release([]Key{key(i)}, true)
		must(t, err)
		must(t, b.wait())
	}
	for i := 100; i < 130; i++ {
		must(t, j.Admit(transaction(i)))
		must(t, j.Release(key(i)))
	}
	must(t, j.Admit(transaction(200)))
	must(t, j.Close())
	for _, back := range [][]uint64{{1}, {1, 2, 3}, {1, 3}, {2}} {
		next := d.after(synced, 0)
		for _, index := range back {
			if next.names[segmentName(index)] != nil {
				t.Fatalf("segment %d was not removed", index)
			}
			next.names[segmentName(index)] = &inode{old[segmentName(index)].data, old[segmentName(index)].data}
		}
		j, r := open(t, next, tiny)
		if len(r.Transactions) != 1 || !bytes.Equal(r.Transactions[0].Tx.Hash, (func() []byte { k := key(200); return k[:] })()) {
			t.Fatalf("%v back: %d transactions", back, len(r.Transactions))
		}
		for _, index := range back {
			if next.names[segmentName(index)] != nil {
				t.Fatalf("segment %d is still there", index)
			}
		}
		must(t, j.Close())
	}
}

// TestPinned: a transaction and a height that wait for ever do not keep what came after them.
func TestPinned(t *testing.T) {
	d := newDisk(1)
	j, _ := open(t, d, tiny)
	must(t, j.Admit(transaction(3)))
	must(t, j.Persist(4, []byte("one.")))
	must(t, j.Mark(Step{Kind: Proposed, Height: 4, Block: []byte("b")}))
	for i := 100; i < 300; i++ {
		must(t, j.Admit(transaction(i)))
		must(t, j.Release(key(i)))
		if i == 150 || i == 250 {
			must(t, j.Persist(4, []byte("more.")))
		}
	}
	if s := j.Stats(); s.Segments > 8 || s.Transactions != 1 {
		t.Fatalf("%+v", s)
	}
	j, r := reopen(t, j, d, tiny)
	if len(r.Transactions) != 1 || len(r.Heights) != 1 || string(r.Heights[0].Log) != "one.more.more." || string(r.Heights[0].Proposed) != "b" {
		t.Fatalf("%+v", r)
	}
	must(t, j.Close())
}

// TestTogether: many callers, one power cut somewhere. What was told is there, once.
func TestTogether(t *testing.T) {
	for seed := range uint64(60) {
		d := newDisk(seed)
		d.cutAt = 20 + int(seed)*3
		j, _ := open(t, d, tiny)
		var mu sync.Mutex
		told, logs := map[int]bool{}, ""
		var all sync.WaitGroup
		for g := range 8 {
			all.Go(func() {
				for i := g * 100; i < g*100+40; i++ {
					if j.Admit(transaction(i)) != nil {
						return
					}
					mu.Lock()
					told[i] = true
					if i%10 != 0 {
						delete(told, i)
					}
					mu.Unlock()
					if i%10 != 0 && j.Release(key(i)) != nil {
						return
					}
				}
			})
		}
		all.Go(func() {
			for i := range 40 {
				if j.Persist(9, fmt.Appendf(nil, "%d.", i)) != nil {
					return
				}
				logs += fmt.Sprintf("%d.", i)
			}
		})
		all.Wait()
		_ = j.Close()
		for _, how := range []survivor{synced, cached, torn} {
			j, r := open(t, d.after(how, seed), tiny)
			seen := map[Key]bool{}
			for _, w := range r.Transactions {
				if seen[Key(w.Tx.Hash)] {
					t.Fatalf("seed %d: twice", seed)
				}
				seen[Key(w.Tx.Hash)] = true
			}
			for i := range told {
				if !seen[key(i)] {
					t.Fatalf("seed %d: transaction %d is lost", seed, i)
				}
			}
			if want := logs; len(r.Heights) == 0 && want != "" || len(r.Heights) > 0 && !strings.HasPrefix(string(r.Heights[0].Log), want) {
				t.Fatalf("seed %d: %+v, want %q", seed, r.Heights, want)
			} else if len(r.Heights) > 0 && len(r.Heights[0].Log) > len(want)+4 {
				t.Fatalf("seed %d: %q is longer than what was asked: %q", seed, r.Heights[0].Log, want)
			}
			_ = j.Close()
		}
	}
}

// TestShared: callers that come while a commit is on its way share the next one.
func TestShared(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond} {
		d := newDisk(1)
		hold := make(chan struct{})
		j, _ := open(t, d, Options{Chain: "TEST", MaxDelay: delay})
		d.mu.Lock() // the disk is busy
		var all sync.WaitGroup
		for i := range 65 {
			all.Go(func() { <-hold; must(t, j.Admit(transaction(i))) })
		}
		close(hold)
		for {
			if s := j.Stats(); s.Transactions == 65 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		d.mu.Unlock()
		all.Wait()
		if s := j.Stats(); s.Commits > 3 || s.Records != 65 {
			t.Fatalf("delay %v: %d records in %d commits", delay, s.Records, s.Commits)
		}
		must(t, j.Close())
	}
}

// TestFullDisk: every caller gets the error, nothing hangs, what was released meanwhile is written when there is room.
func TestFullDisk(t *testing.T) {
	d := newDisk(1)
	j, _ := open(t, d, tiny)
	must(t, j.Admit(transaction(1)))
	full := true
	d.fault = func(_ int, what string) error {
		if full && (strings.HasPrefix(what, "write") || strings.HasPrefix(what, "create")) {
			return syscall.ENOSPC
		}
		return nil
	}
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			if err := j.Admit(transaction(2 + i)); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrPoisoned) {
				t.Errorf("on a full disk: %v", err)
			}
		})
	}
	all.Wait()
	must(t, j.Release(key(1)))
	if err := j.Mark(Step{Kind: Decided, Height: 3, Block: []byte("b")}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	d.mu.Lock()
	full = false
	d.mu.Unlock()
	must(t, j.Admit(transaction(50)))
	must(t, j.Close())
	j, r := open(t, d.after(synced, 0), tiny)
	if len(r.Transactions) != 1 || !bytes.Equal(r.Transactions[0].Tx.Nonce, []byte{50}) || len(r.Heights) != 1 {
		t.Fatalf("%+v", r)
	}
	must(t, j.Close())
}

// TestUnsynced: without fsync a crash of the machine may cost the end, but never the beginning of a segment, and the
// journal opens.
func TestUnsynced(t *testing.T) {
	o := tiny
	o.Unsynced = true
	for seed := range uint64(100) {
		d := newDisk(seed)
		d.cutAt = 10 + int(seed)*2
		p := newPromised()
		j, _ := open(t, d, o)
		life(j, p, crashed)
		_ = j.Close()
		j, r := open(t, d.after(cached, seed), o)
		must(t, p.check(r))
		_ = j.Close()
		j, _ = open(t, d.after(torn, seed), tiny)
		must(t, j.Admit(transaction(700)))
		must(t, j.Close())
	}
}

// TestCopyWaits: a copy of a height has all that was asked for, so it must not be written before records still in the queue.
func TestCopyWaits(t *testing.T) {
	o := tiny
	o.Garbage = 1 << 20
	j, _ := open(t, newDisk(1), o)
	must(t, j.Persist(4, []byte("one.")))
	for i := range 30 {
		must(t, j.Admit(transaction(i)))
		b, err := j.release([]Key{key(i)}, true)
		must(t, err)
		must(t, b.wait())
	}
	j.mu.Lock()
	j.options.Garbage = 1
	late, now := &batch{}, &batch{}
	j.queue = []*batch{{records: []record{{bytes: encodePersist(4, []byte("two."))}}}}
	j.carry(late)
	j.queue = nil
	j.carry(now)
	j.mu.Unlock()
	if len(late.records) != 0 || len(now.records) != 1 || !now.records[0].copied {
		t.Fatalf("%d and %d copies, want 0 and 1", len(late.records), len(now.records))
	}
	must(t, j.Close())
}
