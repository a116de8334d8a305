package recording

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/transcript"
)

var words = transcript.Words{Key: transcript.Text, Bytes: transcript.Text}

// counting answers the k-th event with a timer of k.
type counting struct {
	events uint64
	wrong  uint64 // this answer is another one
}

func (c *counting) Step(*ordov1.ConsensusEvent) ([]*ordov1.Action, error) {
	c.events++
	id := c.events
	if c.events == c.wrong {
		id = 99
	}
	return []*ordov1.Action{sdk.Action(&ordov1.Action_SetTimer{Id: id, AfterMs: 5})}, nil
}

func (*counting) Close() {}

// record writes a run of a protocol, and then another one.
func record(t *testing.T, dir string, most int64) (path string) {
	t.Helper()
	now := time.UnixMicro(1_000_000)
	w, err := Create(Options{Dir: dir, Bytes: most, Header: Header{Key: "aa", Plugin: "counting"}, Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		run, p := w.Begin(), &counting{}
		for seq := uint64(1); seq <= 20; seq++ {
			e := sdk.Event(&ordov1.ConsensusEvent_Timer{Id: seq})
			switch seq {
			case 1:
				e = sdk.Event(&ordov1.ConsensusEvent_Start{Height: 4})
			case 10:
				e = sdk.Event(&ordov1.ConsensusEvent_Decided{Height: 4})
			}
			e.Seq = seq
			run.Event(e)
			actions, _ := p.Step(e)
			run.Actions(&ordov1.Actions{Seq: seq, Actions: actions})
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := Files(dir)
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files[len(files)-1]
}

// TestReplay: the same protocol answers the same, and of another one the first difference is named.
func TestReplay(t *testing.T) {
	r, err := Read(record(t, t.TempDir(), 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	report, err := r.Replay(func() (Plugin, error) { return &counting{}, nil }, words, nil)
	if err != nil || report.Difference != nil || report.Runs != 2 || report.Compared != 40 || report.Heights != [2]uint64{4, 5} {
		t.Errorf("%+v, %v", report, err)
	}
	var lines []string
	report, err = r.Replay(func() (Plugin, error) { return &counting{wrong: 15}, nil }, words, func(line string) { lines = append(lines, line) })
	d := report.Difference
	if err != nil || d == nil || d.Run != 1 || d.Seq != 15 || d.Height != 5 {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, want := range []string{"height 5, event 15 of run 1: timer id=15", "-> set timer=15", "-> set timer=99"} {
		if !strings.Contains(d.Text(words), want) {
			t.Errorf("%s: no %q", d.Text(words), want)
		}
	}
	if len(lines) != 30 || !strings.Contains(lines[0], "start height=4") {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
}

// TestBounded: a recording ends when its folder has its bytes, and what is there is still read; each process has a file of its own.
func TestBounded(t *testing.T) {
	dir := t.TempDir()
	record(t, dir, 700)
	second := record(t, dir, 700)
	r, err := Read(filepath.Join(dir, "000001.rec"))
	if err != nil || !r.Full || len(r.Runs) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if info, err := os.Stat(r.Path); err != nil || info.Size() > 700 {
		t.Errorf("%v, %v", info, err)
	}
	if r, err = Read(second); err != nil || !r.Full || len(r.Runs) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestDamage: a file that was cut is read up to there, one that was changed is refused with the place, and so is what is no recording.
func TestDamage(t *testing.T) {
	whole, err := os.ReadFile(record(t, t.TempDir(), 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.rec")
	try := func(b []byte) (*Recording, error) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return Read(path)
	}
	body := bytes.IndexByte(whole, '}') + 2
	for cut := body; cut < len(whole); cut++ {
		if r, err := try(whole[:cut]); err != nil {
			t.Fatalf("cut at %d: %+v, %v", cut, r, err)
		}
	}
	for at := body; at < len(whole); at += 7 {
		changed := bytes.Clone(whole)
		changed[at] ^= 0x10
		if r, err := try(changed); err == nil && !r.Torn || err != nil && !strings.Contains(err.Error(), "damaged at byte") {
			t.Fatalf("changed at %d: %v", at, err)
		}
	}
	for text, want := range map[string]string{"": "no recording of ordo", "PK\x03\x04": "no recording of ordo", "ordo-recording 9\n{}\n": "version 9, this ordo reads version 1", "ordo-recording 1\nx\n": "second line"} {
		if _, err := try([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
