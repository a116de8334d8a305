package badger

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// tornDir tells TestTornChild which store to open; Badger panics in goroutines of its own when it reads damaged files, so
// every attempt has a process.
const tornDir = "ORDO_TEST_TORN_DIR"

// tornTries is small for the sake of the suite; raise it to look for trouble.
const tornTries = 8

func tornChain() *testChain {
	c := newTestChain(91)
	for range 40 {
		c.grow()
	}
	c.append(bigBlock(c)) // fills a table or two
	for range 20 {
		c.grow()
	}
	return c
}

// TestTorn damages the files of a store that was not closed, at random places. Opening must refuse, or come up with a
// beginning of the chain in which everything is right; never with a wrong root or state.
func TestTorn(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir, c := t.TempDir(), tornChain()
	p := startProcess(t, shortDir(t), dir, 1, testConfig)
	client := ordov1.NewStorageClient(p.conn)
	for _, b := range c.blocks {
		if err := send(t.Context(), client, b); err != nil {
			t.Fatal(err)
		}
	}
	p.kill()

	r := rand.New(rand.NewPCG(1, 9))
	outcomes := map[string]int{}
	for range tornTries {
		copied := t.TempDir()
		copyDir(t, dir, copied)
		what := damageFile(t, copied, r)
		cmd := exec.Command(os.Args[0], "-test.run", "^TestTornChild$", "-test.v")
		cmd.Env = append(os.Environ(), tornDir+"="+copied)
		out, err := cmd.CombinedOutput()
		_, outcome, found := strings.Cut(string(out), "outcome: ")
		switch {
		case found && err == nil:
			outcome, _, _ = strings.Cut(outcome, "\n")
		case strings.Contains(string(out), "github.com/dgraph-io/badger/v4") && !strings.Contains(string(out), "--- FAIL"):
			outcome = "badger panics"
		default:
			t.Fatalf("%s: %v\n%s", what, err, out)
		}
		outcomes[outcome]++
		_ = os.RemoveAll(copied)
	}
	t.Log(outcomes)
	if outcomes["whole"] == tornTries {
		t.Error("no damage had any effect: the test tests nothing")
	}
}

// TestTornChild opens a damaged store and checks what it serves.
func TestTornChild(t *testing.T) {
	dir := os.Getenv(tornDir)
	if dir == "" {
		t.Skip("a part of TestTorn")
	}
	c := tornChain()
	s, err := Open(dir, testOptions())
	if err != nil {
		fmt.Println("outcome: refused")
		return
	}
	now, _, _ := s.snapshot()
	if int(now.blocks) > len(c.blocks) {
		t.Fatalf("%d blocks", now.blocks)
	}
	prefix := c.fork(int(now.blocks), 1)
	waitRoots(t, s, prefix)
	if now.blocks > 0 {
		checkState(t, s, prefix, 0)
		checkBlocks(t, s, prefix)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if int(now.blocks) < len(c.blocks) {
		fmt.Println("outcome: prefix")
	} else {
		fmt.Println("outcome: whole")
	}
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	for _, e := range must(os.ReadDir(from)) {
		if e.Name() == "LOCK" || strings.HasSuffix(e.Name(), ".vlog") && must(e.Info()).Size() > 1<<20 {
			// an empty value log is 128 MB of hole
			continue
		}
		data := must(os.ReadFile(filepath.Join(from, e.Name())))
		if err := os.WriteFile(filepath.Join(to, e.Name()), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// damageFile cuts, blanks or flips a piece of one file.
func damageFile(t *testing.T, dir string, r *rand.Rand) string {
	t.Helper()
	var files []string
	for _, e := range must(os.ReadDir(dir)) {
		if ext := filepath.Ext(e.Name()); ext == ".mem" || ext == ".sst" || e.Name() == "MANIFEST" {
			files = append(files, e.Name())
		}
	}
	name := files[r.IntN(len(files))]
	path := filepath.Join(dir, name)
	data := must(os.ReadFile(path))
	used := len(data)
	for used > 1 && data[used-1] == 0 { // a log is mapped at its full size
		used--
	}
	at := r.IntN(used)
	what := ""
	switch r.IntN(3) {
	case 0:
		clear(data[at:])
		what = "blank from"
	case 1:
		clear(data[at:min(used, at+64)])
		what = "blank 64 at"
	case 2:
		data[at] ^= 1 << r.IntN(8)
		what = "flip at"
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s: %s %d of %d", name, what, at, used)
}
