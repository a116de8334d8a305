package badger

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// residentTables is how much of the mapped tables of a folder is in memory, in kilobytes.
func residentTables(t *testing.T, dir string) (kb int) {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	table := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if strings.Contains(line, "-") && strings.Contains(line, " r") {
			table = strings.HasSuffix(line, ".sst") && strings.Contains(line, dir)
		}
		var n int
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &n); err == nil && table {
			kb += n
		}
	}
	return kb
}

// What the process lets go of is not in its memory any more, and comes back as it was, whatever is compacted meanwhile.
func TestUnmap(t *testing.T) {
	o := DefaultOptions()
	o.SyncWrites, o.MemTableSize, o.Mapped = false, 8<<20, 0
	dir := t.TempDir()
	s := open(t, dir, o)
	x := small(newTransferBlocks())
	x.accounts = 1 << 17
	quit := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		for {
			select {
			case <-quit:
				return
			default:
				s.eng.unmap()
				time.Sleep(time.Millisecond)
			}
		}
	})
	for range 15 {
		commitAll(t, s, x.next())
	}
	close(quit)
	beside.Wait()
	for now, changed, err := s.snapshot(); now.rooted < now.blocks; now, changed, err = s.snapshot() {
		if err != nil {
			t.Fatal(err)
		}
		<-changed
	}
	if len(s.eng.tables()) < 2 {
		t.Fatalf("%d tables: nothing was compacted", len(s.eng.tables()))
	}
	v := s.eng.view()
	defer v.close()
	before := digest(t, v)
	if residentTables(t, dir) == 0 {
		t.Fatal("nothing of the tables is in memory after they were read")
	}
	s.eng.unmap()
	if kb := residentTables(t, dir); kb > 0 {
		t.Errorf("%d kB of the tables are in memory after all were let go", kb)
	}
	if digest(t, v) != before {
		t.Error("the tables came back changed")
	}
}

// digest reads everything.
func digest(t *testing.T, v view) (sum [32]byte) {
	t.Helper()
	h := sha256.New()
	if err := v.scan(nil, nil, false, func(k, value []byte) (bool, error) {
		h.Write(k)
		h.Write(value)
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	h.Sum(sum[:0])
	return sum
}

// The watch does it by itself, and ends.
func TestKeepMapped(t *testing.T) {
	o := DefaultOptions()
	o.SyncWrites, o.MemTableSize, o.Mapped = false, 8<<20, 0
	dir := t.TempDir()
	s := open(t, dir, o)
	x := small(newTransferBlocks())
	x.accounts = 1 << 17
	for range 10 {
		commitAll(t, s, x.next())
	}
	v := s.eng.view()
	defer v.close()
	before := digest(t, v)
	stop := s.eng.keepMapped(0, 1)
	for deadline := time.Now().Add(5 * mappedLook); residentTables(t, dir) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d kB of the tables stay in memory", residentTables(t, dir))
		}
	}
	stop()
	if digest(t, v) != before {
		t.Error("the tables came back changed")
	}
}
