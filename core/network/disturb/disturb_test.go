package disturb

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/network/identity"
)

const ms = time.Millisecond

func id(n byte) (one identity.ID) {
	one[0] = n
	return one
}

// play sends numbered messages a millisecond apart.
func play(p Plan, from, to identity.ID, n int) (text []string) {
	l := NewLink(p, from, to)
	for k := range n {
		for _, d := range l.Send(time.Duration(k)*ms, fmt.Appendf(nil, "message %d", k)) {
			text = append(text, fmt.Sprintf("%v %q", d.At, d.Message))
		}
	}
	return text
}

// TestSamePlanSameFaults: the k-th message of a link meets the same in every run, and another on another link or with another seed.
func TestSamePlanSameFaults(t *testing.T) {
	p := Plan{Rules: []Rule{{Seed: 7, Drop: 0.2, Duplicate: 0.2, Corrupt: 0.2, Delay: Span{ms, 50 * ms}, Reorder: true}}}
	one := play(p, id(1), id(2), 200)
	if !slices.Equal(one, play(p, id(1), id(2), 200)) {
		t.Error("two runs of one plan differ")
	}
	other := Plan{Rules: []Rule{p.Rules[0]}}
	other.Rules[0].Seed = 8
	if slices.Equal(one, play(p, id(2), id(1), 200)) || slices.Equal(one, play(other, id(1), id(2), 200)) {
		t.Error("another link, or another seed, meets the same")
	}
}

// TestRules: each rule does what it says, to the receivers that it names.
func TestRules(t *testing.T) {
	count := func(r Rule) (arrived, twice, changed, late, overtaken int) {
		l := NewLink(Plan{Rules: []Rule{r}}, id(1), id(2))
		newest := time.Duration(0)
		for k := range 2000 {
			sent := time.Duration(k) * ms
			all := l.Send(sent, []byte("message"))
			if len(all) > 0 {
				arrived++
			}
			twice += max(0, len(all)-1)
			for _, d := range all[:min(1, len(all))] {
				if !bytes.Equal(d.Message, []byte("message")) {
					changed++
				}
				if d.At > sent {
					late++
				}
				if d.At < newest {
					overtaken++
				}
				newest = max(newest, d.At)
			}
		}
		return
	}
	about := func(what string, got, want int) {
		t.Helper()
		if got < want*8/10 || got > want*12/10 {
			t.Errorf("%s: %d of 2000, want about %d", what, got, want)
		}
	}
	arrived, _, _, _, _ := count(Rule{Drop: 0.3})
	about("arrive with drop 0.3", arrived, 1400)
	_, twice, _, _, _ := count(Rule{Duplicate: 0.25})
	about("come twice with duplicate 0.25", twice, 500)
	_, _, changed, _, _ := count(Rule{Corrupt: 0.5})
	about("are changed with corrupt 0.5", changed, 1000)
	_, _, _, late, overtaken := count(Rule{Delay: Span{10 * ms, 40 * ms}})
	if late != 2000 || overtaken != 0 {
		t.Errorf("with a delay %d are late and %d are overtaken", late, overtaken)
	}
	if _, _, _, _, overtaken = count(Rule{Reorder: true}); overtaken < 500 {
		t.Errorf("with reorder %d are overtaken", overtaken)
	}
	if arrived, _, _, _, _ := count(Rule{Drop: 1, To: []identity.ID{id(3)}}); arrived != 2000 {
		t.Errorf("a rule for another receiver loses %d", 2000-arrived)
	}
}

// TestRead: what is wrong with a file is said.
func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faults")
	if p, _, err := Read(path); err != nil || len(p.Rules) > 0 {
		t.Errorf("no file: %v %v", p, err)
	}
	want := Plan{Rules: []Rule{{Seed: 3, To: []identity.ID{id(9)}, Drop: 0.5, Delay: Span{ms, 2 * ms}}}}
	if err := os.WriteFile(path, want.Write(), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, _, err := Read(path); err != nil || string(p.Write()) != string(want.Write()) {
		t.Errorf("%s, %v", p.Write(), err)
	}
	for text, what := range map[string]string{"{": "EOF", `{"rule":[]}`: "unknown field", `{"rules":[{"drop":2}]}`: "rule 1: drop 2", `{"rules":[{"delay":{"low_ns":5}}]}`: "the shorter one first"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(path); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v, want %q", text, err, what)
		}
	}
}

// TestSender: messages go out when the plan says, and another plan in the same file is gone by.
func TestSender(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faults")
	slow := Plan{Rules: []Rule{{Delay: Span{200 * ms, 200 * ms}}}}
	if err := os.WriteFile(path, slow.Write(), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		sent := make(chan string, 100)
		s, err := New(Options{Path: path, Self: id(1), Peers: []identity.ID{id(2), id(3)}, Log: hclog.NewNullLogger(),
			Send: func(to identity.ID, height uint64, message []byte) error {
				sent <- fmt.Sprintf("%v %d %s to %d", time.Since(began), height, message, to[0])
				return nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		s.Send(nil, 5, []byte("a"))
		key := id(3)
		s.Send(key[:], 6, []byte("b"))
		for _, want := range []string{"200ms 5 a to 2", "200ms 5 a to 3", "200ms 6 b to 3"} {
			if got := <-sent; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		if err := os.WriteFile(path, Plan{}.Write(), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * look)
		at := time.Since(began)
		s.Send(key[:], 7, []byte("c"))
		if got, want := <-sent, fmt.Sprintf("%v 7 c to 3", at); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		cancel()
		<-done
	})
}
