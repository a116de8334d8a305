package localnet

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// statuses are localnets at one moment.
func statuses() map[string]Status {
	one, zero := 1, 0
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return map[string]Status{
		"new": {Time: at, Nodes: []NodeStatus{{Node: 0, Kind: Validator, State: Starting, URL: "http://127.0.0.1:5050"}, {Node: 1, Kind: Validator, State: Up, Answers: true, URL: "http://127.0.0.1:5051"}}},
		"busy": {Time: at, Height: 120, Faults: "partition 0|1, delay 20ms", Nodes: []NodeStatus{
			{Node: 0, Kind: Validator, State: Up, Answers: true, Height: 120, Round: 2, Accepted: 118, Proposer: &one, Pool: 40, Peers: 2, Processor: 12.34, Load: 0.51, Memory: 300 << 20, URL: "http://127.0.0.1:5050"},
			{Node: 1, Kind: Validator, State: Paused, Height: 100, Accepted: 100, Proposer: &zero, Lag: 20, Processor: 125, Memory: 290 << 20, Restarts: 2, PluginRestarts: 3, URL: "http://127.0.0.1:5051"},
			{Node: 2, Kind: Twin, Of: &one, State: Up, Height: 119, Lag: 1, URL: "http://127.0.0.1:5052"},
			{Node: 3, Kind: Follower, State: Failed, Why: "exit status 1; its last lines:\nordo: no", Restarts: 1, URL: "http://127.0.0.1:5053"},
		}},
	}
}

// TestTable shows a status as a table, as lines and as JSON.
func TestTable(t *testing.T) {
	datadriven.RunTest(t, "testdata/table", func(t *testing.T, d *datadriven.TestData) string {
		s := statuses()[d.CmdArgs[0].Key]
		switch d.Cmd {
		case "table":
			return s.Table()
		case "lines":
			return s.Lines()
		}
		raw, err := json.Marshal(s)
		if err != nil {
			return err.Error()
		}
		return string(raw) + "\n"
	})
}

// TestScreen: on a terminal the table takes the place of the one before, and lines are cut at its width; elsewhere lines follow lines, with
// --json each is an object.
func TestScreen(t *testing.T) {
	busy := statuses()["busy"]
	var out bytes.Buffer
	s := &screen{out: &out, live: true, width: func() int { return 40 }}
	s.status(busy)
	s.status(busy)
	s.event(Event{Node: 1, State: Up})
	s.status(busy)
	rows := strings.Count(busy.Table(), "\n")
	up := "\x1b[" + string(rune('0'+rows)) + "A\x1b[J"
	if n := strings.Count(out.String(), up); n != 2 {
		t.Errorf("the cursor goes up %d times, want 2:\n%q", n, out.String())
	}
	for line := range strings.Lines(strings.ReplaceAll(out.String(), up, "")) {
		if len(line) > 41 {
			t.Errorf("a line of %d: %q", len(line), line)
		}
	}
	out.Reset()
	s = &screen{out: &out, json: true, width: func() int { return 0 }}
	s.event(Event{Node: 1, State: Killed})
	s.status(busy)
	s.ready("/D", example(Takes{}))
	var kinds []string
	for line := range strings.Lines(out.String()) {
		var object struct {
			Event string          `json:"event"`
			Node  int             `json:"node"`
			Nodes json.RawMessage `json:"nodes"`
		}
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		kinds = append(kinds, object.Event)
	}
	if got := strings.Join(kinds, " "); got != "node status ready" {
		t.Errorf("objects %s\n%s", got, out.String())
	}
}
