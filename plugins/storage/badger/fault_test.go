package badger

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ordo-sequencer/ordo/plugins/storage/badger/files"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Environment of TestFaultChild: the folder, and at which step of how many it ends.
const (
	faultDir  = "ORDO_TEST_FAULT_DIR"
	faultStep = "ORDO_TEST_FAULT_STEP"
)

// steps are all that a commit, a root, a checkpoint and a revert pass through; TestFaults wants each of them seen.
var steps = []string{
	"ready", "body", "pending", "batch", "state", "written", "promised", "told",
	"root ready", "root", "pages", "pages unmarked", "pages in batches",
	"revert lowered", "revert rewound", "revert pending", "revert state",
}

// faultChain has a block that is written in parts.
func faultChain() *testChain {
	c := newTestChain(55)
	for range 4 {
		c.grow()
	}
	c.append(bigBlock(c))
	c.grow()
	return c
}

// faultScript is what the child does: commit, take back, commit again.
func faultScript(t testing.TB, s *Store, c *testChain) {
	now, _, _ := s.snapshot()
	commitAll(t, s, c.blocks[now.blocks:]...)
	waitRoots(t, s, c)
	for now, _, _ = s.snapshot(); now.blocks > 4; now, _, _ = s.snapshot() {
		if _, err := s.Revert(t.Context(), &ordov1.RevertRequest{Height: now.blocks - 1}); err != nil {
			t.Fatal(err)
		}
	}
	commitAll(t, s, c.blocks[4:]...)
	waitRoots(t, s, c)
}

func faultOptions() Options {
	o := testOptions()
	o.SyncWrites, o.CheckpointEvery = true, 2
	return o
}

// TestFaults kills the process at every step of Commit, of the roots behind it, and of Revert, once at each occurrence.
// After each end the store holds a chain that ended between two blocks, with nothing missing that was answered, and the
// same blocks again come to the same roots.
func TestFaults(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts processes")
	}
	c := faultChain()
	seen := map[string]int{}
	var order []string
	o := faultOptions()
	o.Fault = func(step string) { seen[step]++; order = append(order, step) }
	lock := make(chan struct{}, 1)
	count := o.Fault
	o.Fault = func(step string) { lock <- struct{}{}; count(step); <-lock }
	s := must(Open(t.TempDir(), o))
	faultScript(t, s, c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		if seen[step] == 0 && !strings.HasPrefix(step, "pages ") { // big checkpoints have a test of their own
			t.Errorf("step %q was not passed: the test does not test it", step)
		}
	}
	for step := range seen {
		if !strings.Contains(strings.Join(steps, "|"), step) {
			t.Errorf("step %q is not listed", step)
		}
	}
	kinds := map[string]bool{}
	for at, step := range order {
		first := !kinds[step]
		kinds[step] = true
		if at >= len(order)-2 { // the roots race with the rest: the last step may not come
			continue
		}
		if first || os.Getenv("ORDO_FAULTS") == "all" {
			t.Run(fmt.Sprintf("%d %s", at, step), func(t *testing.T) {
				t.Parallel()
				dieAt(t, c, at)
			})
		}
	}
}

func dieAt(t *testing.T, c *testChain, at int) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestFaultChild$")
	cmd.Env = append(os.Environ(), faultDir+"="+dir, faultStep+"="+strconv.Itoa(at))
	out, err := cmd.CombinedOutput()
	if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !st.Signaled() {
		t.Fatalf("the child did not end: %v\n%s", err, out)
	}
	answered, reverted := strings.Count(string(out), "answered"), strings.Count(string(out), "reverted")
	o := faultOptions()
	o.SyncWrites = false // the process has ended, the host has not
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	now, _, _ := s.snapshot()
	low, high := answered-reverted, answered-reverted+1
	if reverted > 0 || answered == len(c.blocks) {
		low-- // a revert that was not answered may be done
	}
	if int(now.blocks) < low || int(now.blocks) > high {
		t.Fatalf("%d blocks, %d answered, %d reverted", now.blocks, answered, reverted)
	}
	prefix := c.fork(int(now.blocks), 1)
	waitRoots(t, s, prefix)
	if now.blocks > 0 {
		checkBlocks(t, s, prefix)
		checkState(t, s, prefix, 0)
	}
	commitAll(t, s, c.blocks[now.blocks:]...)
	waitRoots(t, s, c)
	checkBlocks(t, s, c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFaultChild ends at the step that it is told.
func TestFaultChild(t *testing.T) {
	dir := os.Getenv(faultDir)
	if dir == "" {
		t.Skip("a part of TestFaults")
	}
	left := must(strconv.Atoi(os.Getenv(faultStep)))
	c := faultChain()
	lock := make(chan struct{}, 1)
	o := faultOptions()
	o.Fault = func(string) {
		lock <- struct{}{}
		if left == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		left--
		<-lock
	}
	s := must(Open(dir, o))
	for _, b := range c.blocks {
		commitAll(t, s, b)
		fmt.Println("answered")
	}
	waitRoots(t, s, c)
	for n := len(c.blocks); n > 4; n-- {
		if _, err := s.Revert(t.Context(), &ordov1.RevertRequest{Height: uint64(n - 1)}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("reverted")
	}
	for _, b := range c.blocks[4:] {
		commitAll(t, s, b)
		fmt.Println("answered")
	}
	waitRoots(t, s, c)
}

// TestPowerCut cuts the last log of a busy store where a power cut could: inside every transaction that is not followed by
// one that was synced, at random bytes and with holes, for every transaction. What comes up is the chain up to there.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), newTestChain(56)
	for range 3 {
		c.grow()
	}
	c.append(bigBlock(c))
	for range 3 {
		c.grow()
	}
	s := must(Open(dir, faultOptions()))
	type moment struct {
		end    int64 // of the log
		blocks int   // that were answered then
	}
	var moments []moment
	logs := func() *files.Log {
		names := must(filepath.Glob(filepath.Join(dir, "*.mem")))
		name := names[len(names)-1]
		return files.ReadLog(filepath.Base(name), must(os.ReadFile(name)), nil)
	}
	name := logs().Name
	for n, b := range c.blocks {
		commitAll(t, s, b)
		waitRoots(t, s, c.fork(n+1, 1))
		l := logs()
		if l.Name != name {
			t.Fatal("the log was changed: make the chain smaller")
		}
		moments = append(moments, moment{l.End, n + 1})
	}
	image := t.TempDir()
	copyDir(t, dir, image)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data := must(os.ReadFile(filepath.Join(image, name)))
	opened, n := 0, 0
	long := os.Getenv("ORDO_FAULTS") == "all"
	for m, now := range moments {
		from := int64(20)
		if m > 0 {
			from = moments[m-1].end
		}
		ends := transactionEnds(data[:now.end], from)
		for k, end := range ends {
			start := from
			if k > 0 {
				start = ends[k-1]
			}
			for _, cut := range []int64{start, start + 1, (start + end) / 2, end - 1, end} {
				if n++; !long && n%15 != 1 {
					continue
				}
				at := t.TempDir()
				copyDir(t, image, at)
				torn := append([]byte(nil), data[:cut]...)
				torn = append(torn, make([]byte, len(data)-len(torn))...)
				if cut > start+200 && k%2 == 1 { // pages reach the disk in any order: a hole, and what follows it
					clear(torn[start+50 : start+100])
				}
				if err := os.WriteFile(filepath.Join(at, name), torn, 0o600); err != nil {
					t.Fatal(err)
				}
				// The mark is written behind a commit: it says what was there before this one.
				if err := os.Remove(filepath.Join(at, markName)); err != nil {
					t.Fatal(err)
				}
				mk := must1(openMark(at, true, nil))
				if err := mk.write(marked{blocks: uint64(now.blocks - 1)}); err != nil {
					t.Fatal(err)
				}
				o := faultOptions()
				o.SyncWrites = false // the cut is behind us
				s, err := Open(at, o)
				if err != nil {
					t.Fatalf("cut at %d of block %d (%d to %d): %v", cut, now.blocks-1, start, end, err)
				}
				got, _, _ := s.snapshot()
				if int(got.blocks) != now.blocks && int(got.blocks) != now.blocks-1 {
					t.Fatalf("cut at %d of block %d: %d blocks", cut, now.blocks-1, got.blocks)
				}
				commitAll(t, s, c.blocks[got.blocks:]...)
				waitRoots(t, s, c)
				checkState(t, s, c, 0)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				opened++
				_ = os.RemoveAll(at)
			}
		}
	}
	t.Logf("%d power cuts in %d commits", opened, len(moments))
}

// transactionEnds lists where the transactions of a log behind `from` end.
func transactionEnds(data []byte, from int64) (ends []int64) {
	for at := files.NextEnd(data, from); at > 0; at = files.NextEnd(data, at) {
		ends = append(ends, at)
	}
	return ends
}
