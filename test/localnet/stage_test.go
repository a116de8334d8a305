package localnet

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/test/need"
)

// stage is a network of four validators under load, on which scenarios are played.
type stage struct {
	*network
	t       *testing.T
	random  *rand.Rand
	begun   time.Time
	context context.Context // of ctx
	renewed time.Time
	say     func(line string) // the transcript
	members []client.Node     // the validators
	others  map[int]bool      // validators that are not to be compared now: they are down, cut off, or break the rules
	load    *load
	judge   *judge
	program string // of the plugin that breaks the rules
	twins   map[int]int
	late    uint64 // blocks that the late validator misses
	kinds   int    // false proposals of one scenario
	counts  map[string]int
	// longest is the longest time from a heal to the next block; proposed counts false proposals.
	longest  time.Duration
	proposed int
	followed []client.Node
}

// tell writes a line of the transcript.
func (s *stage) tell(format string, args ...any) {
	s.say(fmt.Sprintf("%6.1fs  %s", time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...)))
}

// ctx ends when something takes far too long.
func (s *stage) ctx() context.Context {
	if s.context == nil || time.Since(s.renewed) > patient {
		s.context, s.renewed = within(s.t, 5*patient), time.Now()
	}
	return s.context
}

// honest are the nodes that must have one chain now.
func (s *stage) honest() (list []client.Node) {
	for k, n := range s.members {
		if !s.others[k] {
			list = append(list, n)
		}
	}
	return list
}

// apart takes a validator out of what is compared, and the load away from it.
func (s *stage) apart(k int) {
	s.others[k] = true
	s.load.to(s.honest(), s.honest())
}

// back takes a validator in again when it has the blocks of the others, and compares all that it missed.
func (s *stage) back(k int, since uint64) {
	s.t.Helper()
	reaches(s.t, s.members[k], s.head())
	delete(s.others, k)
	if _, err := s.judge.safety(s.ctx(), min(since, s.judge.checked), s.honest()); err != nil {
		s.t.Fatal(err)
	}
	s.load.to(s.honest(), s.honest())
}

// head is the newest block of all honest nodes.
func (s *stage) head() (newest uint64) {
	s.t.Helper()
	for _, n := range s.honest() {
		b, err := n.Block(s.ctx(), "latest")
		if err != nil {
			s.t.Fatal(err)
		}
		newest = max(newest, b.Number)
	}
	return newest
}

// grows waits until all honest nodes have some more blocks.
func (s *stage) grows(blocks uint64) uint64 {
	s.t.Helper()
	want := s.head() + blocks
	for _, n := range s.honest() {
		reaches(s.t, n, want)
	}
	return want
}

// verify is what holds after each scenario: the honest nodes go on, have one chain, and know every acknowledged transaction.
func (s *stage) verify(what string) {
	s.t.Helper()
	s.grows(2)
	from := s.judge.checked
	to, err := s.judge.safety(s.ctx(), from, s.honest())
	if err != nil {
		s.t.Fatalf("after %s: %v", what, err)
	}
	acked := s.load.acknowledged()
	if lost := s.judge.lost(s.ctx(), acked, s.honest()); len(lost) > 0 {
		s.t.Fatalf("after %s: %d of %d acknowledged transactions are lost: %v", what, len(lost), len(acked), lost[:min(3, len(lost))])
	}
	s.tell("held: %d nodes have equal hashes and roots at blocks %d to %d; %d transactions are acknowledged, none is lost", len(s.honest()), from, to, len(acked))
	s.counts[what]++
}

// await waits until something holds.
func (s *stage) await(what string, holds func() (bool, error)) {
	s.t.Helper()
	limit := 2 * patient
	if *roundsFlag > 0 {
		limit *= 5 // of the long form no other test waits for the end
	}
	ctx := within(s.t, limit)
	for {
		ok, err := holds()
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("not so within %s: %s: %v", limit, what, err)
		case <-time.After(2 * pause):
		}
	}
}

// logged tells whether a node has written a line with all of these words since an offset of its log.
func (s *stage) logged(k int, from int64, words ...string) bool {
	text, err := os.ReadFile(s.logOf(k))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text[min(from, int64(len(text))):])) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}

func (s *stage) logOf(k int) string { return filepath.Join(s.dir, fmt.Sprintf("node-%d", k), "log") }

// logEnd is where a node's log ends now.
func (s *stage) logEnd(k int) int64 {
	info, err := os.Stat(s.logOf(k))
	if err != nil {
		s.t.Fatal(err)
	}
	return info.Size()
}

// fault is what the proxy before a plugin does wrong; see test/byzantine/plugin.
type fault struct {
	Real, Method string
	After        int
	Do           string
	Once         bool
	Marker       string
	Built        []string
}

// corrupt puts a proxy before a plugin of a validator, and starts the validator with it. What it returns makes the validator honest again.
func (s *stage) corrupt(k int, stageName, shipped string, f fault) (marker string, honest func()) {
	s.t.Helper()
	dir := s.t.TempDir()
	plugin := filepath.Join(dir, "plugin")
	if err := os.Link(s.program, plugin); err != nil {
		s.t.Fatal(err)
	}
	f.Real, f.Marker = filepath.Join(need.Binaries(s.t), "plugins", "ordo-"+stageName+"-"+shipped), filepath.Join(dir, "marker")
	raw, err := json.Marshal(f)
	if err == nil {
		err = os.WriteFile(plugin+".fault", raw, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.dir, fmt.Sprintf("node-%d", k), "ordo.toml")
	before, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	changed := string(before)
	if line := fmt.Sprintf("plugin = %q", shipped); strings.Contains(changed, line) {
		changed = strings.Replace(changed, line, fmt.Sprintf("plugin = %q", plugin), 1)
	} else {
		changed += fmt.Sprintf("\n[%s]\nplugin = %q\n", stageName, plugin)
	}
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.restart(k)
	return f.Marker, func() {
		if err := os.WriteFile(path, before, 0o600); err != nil {
			s.t.Fatal(err)
		}
		s.restart(k)
	}
}

// restart starts a validator again, whatever its state is. One that breaks the rules may end before it serves.
func (s *stage) restart(k int) {
	s.t.Helper()
	if out, err := s.try(s.t, "restart", fmt.Sprint(k)); err != nil && !s.others[k] {
		s.t.Fatalf("restart %d: %v: %s", k, err, out)
	}
}

// lines are those of a file that a plugin writes; none when it is not there yet.
func lines(path string) (list []string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// buildProxy builds the plugin that breaks rules.
func buildProxy(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "proxy")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../byzantine/plugin").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return path
}
