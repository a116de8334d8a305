package badger

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// tornTries is how many damaged copies TestTorn opens; ORDO_TORN_TRIES raises it.
const tornTries = 8

func tornChain() *testChain {
	c := newTestChain(91)
	for range 12 {
		c.grow()
	}
	c.append(bigBlock(c)) // fills a table or two
	for range 8 {
		c.grow()
	}
	c.append(bigBlock(c))
	for range 4 {
		c.grow()
	}
	return c
}

// tornStores are folders of a chain in the ways a process may end: killed, with and without syncs, and closed.
func tornStores(t *testing.T, c *testChain) []string {
	var out []string
	for _, sync := range []bool{true, false} {
		dir := t.TempDir()
		p := startProcess(t, shortDir(t), dir, 1, fmt.Sprintf(`{"memtable_mb": 8, "checkpoint_every": 3, "sync_writes": %v}`, sync))
		client := ordov1.NewStorageClient(p.conn)
		for _, b := range c.blocks {
			if err := send(t.Context(), client, b); err != nil {
				t.Fatal(err)
			}
		}
		p.kill()
		out = append(out, dir)
	}
	dir, o := t.TempDir(), testOptions()
	o.SyncWrites = true
	s := must(Open(dir, o))
	commitAll(t, s, c.blocks...)
	waitRoots(t, s, c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return append(out, dir)
}

// TestTorn damages the files of a store at random places, one in each try. Opening must refuse with an error that names
// what is damaged, or come up with a beginning of the chain in which everything is right and nothing is missing that was
// promised. A panic anywhere ends this process, and with it the test.
func TestTorn(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts processes")
	}
	tries := tornTries
	if v := os.Getenv("ORDO_TORN_TRIES"); v != "" {
		tries = must(strconv.Atoi(v))
	}
	c := tornChain()
	stores := tornStores(t, c)
	r := rand.New(rand.NewPCG(1, 9))
	outcomes, byFile := map[string]int{}, map[string]map[string]int{}
	for n := range tries {
		dir := t.TempDir()
		copyDir(t, stores[n%len(stores)], dir)
		name, what := damageFile(t, dir, r)
		before := listing(t, dir)
		outcome := openTorn(t, dir, c, what)
		if outcome == "refused" {
			if after := listing(t, dir); !maps.Equal(before, after) {
				t.Errorf("%s: refused, and the files changed:\n%v\n%v", what, before, after)
			}
			if n%4 == 0 {
				outcome = repairTorn(t, dir, c, what)
			}
		}
		outcomes[outcome]++
		kind := filepath.Ext(name)
		if kind == "" || name == markName {
			kind = name
		}
		if byFile[kind] == nil {
			byFile[kind] = map[string]int{}
		}
		byFile[kind][outcome]++
		_ = os.RemoveAll(dir)
		if t.Failed() {
			t.Fatalf("try %d: %s", n, what)
		}
	}
	t.Logf("%d tries: %v", tries, outcomes)
	for _, kind := range slices.Sorted(maps.Keys(byFile)) {
		t.Logf("%s: %v", kind, byFile[kind])
	}
	if outcomes["whole"] == tries {
		t.Error("no damage had any effect: the test tests nothing")
	}
}

// openTorn opens a damaged store and checks what it serves.
func openTorn(t *testing.T, dir string, c *testChain, what string) string {
	o := testOptions()
	promised, _ := peekMark(dir)
	s, err := Open(dir, o)
	if err != nil {
		var loss *LossError
		if errors.As(err, &loss) && loss.Have >= loss.Promised {
			t.Errorf("%s: %v", what, err)
		}
		return "refused"
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("%s: close: %v", what, err)
		}
	}()
	now, _, _ := s.snapshot()
	if now.blocks > uint64(len(c.blocks)) || promised.synced && now.blocks < promised.blocks {
		t.Errorf("%s: %d blocks of %d, %d were promised", what, now.blocks, len(c.blocks), promised.blocks)
		return "wrong"
	}
	prefix := c.fork(int(now.blocks), 1)
	waitRoots(t, s, prefix)
	if now.blocks > 0 {
		checkState(t, s, prefix, 0)
		checkBlocks(t, s, prefix)
	}
	if int(now.blocks) == len(c.blocks) {
		return "whole"
	}
	return fmt.Sprintf("%d less", len(c.blocks)-int(now.blocks))
}

// repairTorn repairs a store that was refused and looks at what comes out.
func repairTorn(t *testing.T, dir string, c *testChain, what string) string {
	asked := false
	p, err := Repair(t.Context(), dir, RepairOptions{Agree: func(*Plan) bool { asked = true; return true }})
	if err != nil {
		if p == nil || p.Keeps > 0 || asked {
			t.Errorf("%s: %v", what, err)
		}
		return "beyond repair"
	}
	if !asked || p.Nothing || len(p.Loses) == 0 && p.Keeps != uint64(len(c.blocks)) {
		t.Errorf("%s: %+v", what, p)
	}
	if _, err := os.Stat(p.Copy); err != nil {
		t.Errorf("%s: no copy is kept: %v", what, err)
	}
	r, err := Check(t.Context(), dir, nil)
	if err != nil || r.Damaged || r.Blocks != p.Keeps {
		t.Errorf("%s: after the repair: %+v, %v", what, r, err)
	}
	_ = os.RemoveAll(p.Copy)
	return "repaired: " + openTorn(t, dir, c, what)
}

// copyDir copies a folder without the zeros at the ends of files.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	for _, e := range must(os.ReadDir(from)) {
		data := must(os.ReadFile(filepath.Join(from, e.Name())))
		path := filepath.Join(to, e.Name())
		if err := os.WriteFile(path, data[:usedBytes(data)], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, int64(len(data))); err != nil {
			t.Fatal(err)
		}
	}
}

func usedBytes(data []byte) int {
	n := len(data)
	for n > 0 && data[n-1] == 0 {
		n--
	}
	return n
}

// listing is what is in a folder: names, sizes and contents.
func listing(t *testing.T, dir string) map[string]string {
	out := map[string]string{}
	for _, e := range must(os.ReadDir(dir)) {
		data := must(os.ReadFile(filepath.Join(dir, e.Name())))
		out[e.Name()] = fmt.Sprintf("%d bytes, %x", len(data), crc(data[:usedBytes(data)]))
	}
	return out
}

// damageFile cuts, blanks, flips or removes a piece of one file.
func damageFile(t *testing.T, dir string, r *rand.Rand) (name, what string) {
	t.Helper()
	var names []string
	for _, e := range must(os.ReadDir(dir)) {
		names = append(names, e.Name())
		if ext := filepath.Ext(e.Name()); ext == ".mem" || ext == ".sst" || e.Name() == "MANIFEST" {
			names = append(names, e.Name(), e.Name(), e.Name()) // where the data is
		}
	}
	name = names[r.IntN(len(names))]
	path := filepath.Join(dir, name)
	data := must(os.ReadFile(path))
	used := max(1, usedBytes(data)) // a log is mapped at its full size
	if len(data) == 0 {
		return name, name + ": empty"
	}
	at := r.IntN(used)
	if r.IntN(3) == 0 {
		at = max(0, used-1-r.IntN(min(used, 300))) // ends are where structure is
	}
	size := int64(len(data))
	switch r.IntN(9) {
	case 0, 1:
		clear(data[at:])
		what = "blank from"
	case 2:
		clear(data[at:min(used, at+64)])
		what = "blank 64 at"
	case 3:
		size = int64(at)
		what = "cut at"
	case 4:
		for i := at; i < min(len(data), at+100); i++ {
			data[i] = byte(r.Uint32())
		}
		what = "noise at"
	default:
		data[at] ^= 1 << r.IntN(8)
		what = "flip at"
	}
	if err := os.WriteFile(path, data[:usedBytes(data)], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return name, fmt.Sprintf("%s: %s %d of %d", name, what, at, used)
}
