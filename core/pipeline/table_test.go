package pipeline

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// table is one of those in doc.go: what each input does in each state.
type table struct {
	columns []string
	rows    []string
	cells   map[pair]string
	visits  map[pair]int
	reached map[pair]bool // the state of the cell was that of the attempt after a visit
}

type pair struct{ input, state string }

// readTables reads the tables of doc.go: of inputs by the open attempt, and of actions by the attempt that they name.
func readTables(t *testing.T) (inputs, actions *table) {
	file, err := os.Open("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var now *table
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line, indented := strings.CutPrefix(lines.Text(), "//\t")
		fields := strings.Fields(line)
		switch {
		case !indented || len(fields) == 0:
			now = nil
		case fields[0] == "input" || fields[0] == "action":
			now = &table{columns: fields[1:], cells: map[pair]string{}, visits: map[pair]int{}, reached: map[pair]bool{}}
			if fields[0] == "input" {
				inputs = now
			} else {
				actions = now
			}
		case now != nil:
			if len(fields) != len(now.columns)+1 {
				t.Fatalf("doc.go: row %q has %d cells for %d states", fields[0], len(fields)-1, len(now.columns))
			}
			now.rows = append(now.rows, fields[0])
			for i, cell := range fields[1:] {
				if cell != "-" && cell != "=" && cell != "none" && !slices.Contains(stateNames, cell) {
					t.Fatalf("doc.go: row %q: %q is not a state", fields[0], cell)
				}
				now.cells[pair{fields[0], now.columns[i]}] = cell
			}
		}
	}
	if inputs == nil || actions == nil || len(inputs.rows) == 0 || len(actions.rows) == 0 {
		t.Fatal("doc.go has no tables of states and inputs")
	}
	return inputs, actions
}

var stateNames = []string{"checking", "held", "interrupted", "paused", "running", "sealed", "expired", "full", "closing", "hashing", "built", "failed", "abandoned"}

// visit counts a pair, and fails when the table has none or says that it cannot occur.
func (tab *table) visit(c *chaos, p pair, after func() string) {
	cell, known := tab.cells[p]
	if !known || cell == "-" {
		c.fatal("%s came while the attempt was %s: doc.go says %q", p.input, p.state, cell)
	}
	tab.visits[p]++
	tab.reached[p] = tab.reached[p] || cell == "=" || after() == cell
}

// complete fails for pairs that were not visited, or whose state was never reached.
func (tab *table) complete(t *testing.T) {
	for _, row := range tab.rows {
		for _, column := range tab.columns {
			switch p := (pair{row, column}); {
			case tab.cells[p] == "-":
			case tab.visits[p] == 0:
				t.Errorf("no run has the input %q while the attempt is %q", row, column)
			case !tab.reached[p]:
				t.Errorf("%q while the attempt is %q never makes it %q, as doc.go says: %d visits", row, column, tab.cells[p], tab.visits[p])
			}
		}
	}
}

// nameOf is the column of an attempt.
func nameOf(a *attempt) string {
	switch {
	case a == nil:
		return "none"
	case a.state == running && a.intake.kind != unsealed:
		return string(a.intake.kind)
	}
	return map[state]string{checking: "checking", held: "held", interrupted: "interrupted", paused: "paused", running: "running", full: "full",
		closing: "closing", hashing: "hashing", built: "built", failed: "failed", abandoned: "abandoned"}[a.state]
}

// visitor notes what an input is in the tables before it is given; the function that it returns is called when it was taken.
func (c *chaos) visitor(in Input) (taken func()) {
	open := nameOf(c.m.open)
	row := c.rowOf(in)
	if answered, ok := in.(Answered); ok && len(answered.Actions.Actions) > 0 && !c.m.barrier() && c.m.consensus.answered >= c.m.consensus.learned && len(c.m.consensus.todo) == 0 {
		switch a := answered.Actions.Actions[0].Action.(type) {
		case *ordov1.Action_Validate_:
			row = "validate"
		case *ordov1.Action_Build_:
			if a.Build.ReuseAttempt != 0 {
				return c.named("reuse", a.Build.ReuseAttempt)
			}
			row = "build"
		case *ordov1.Action_Seal_:
			return c.named("seal", a.Seal.Attempt)
		case *ordov1.Action_Abandon_:
			return c.named("abandon", a.Abandon.Attempt)
		case *ordov1.Action_Decide_:
			return c.named("decide", a.Decide.Attempt)
		}
	}
	return func() { c.inputs.visit(c, pair{row, open}, func() string { return nameOf(c.m.open) }) }
}

func (c *chaos) named(action string, id uint64) func() {
	a := c.m.attempts[id]
	p := pair{action, nameOf(a)}
	return func() { c.acts.visit(c, p, func() string { return nameOf(a) }) }
}

// rowOf is the row of an input in the first table.
func (c *chaos) rowOf(in Input) string {
	own := func(build uint64, row string) string {
		if c.m.open == nil || c.m.open.build != build {
			return "late"
		}
		return row
	}
	switch in := in.(type) {
	case Executed:
		return own(in.Build, "executed")
	case Full:
		return own(in.Build, "full")
	case Closed:
		return own(in.Build, "closed")
	case BuildFailed:
		return own(in.Build, "failed")
	case Checked:
		return own(in.Build, "checked")
	case Fetched:
		return own(in.Build, "fetched")
	case Learned:
		return "learned"
	case HeaderHashed:
		return own(in.Build, "hashed")
	case OrderPersisted:
		if c.m.open == nil || c.m.open.lease != in.Build {
			return "late"
		}
		return "persisted-order"
	case TimerFired:
		return "timer-" + string(in.ID.Kind)
	case StageDown:
		return "down-" + stageName(in.Stage)
	case StageUp:
		return "up-" + stageName(in.Stage)
	}
	switch in.(type) {
	case Answered:
		return "answered"
	case PoolChanged:
		return "pool-changed"
	case BlockRequested:
		return "requested"
	case Delivered:
		return "delivered"
	case Persisted:
		return "persisted"
	case DecisionRecorded:
		return "recorded"
	case Applied:
		return "applied"
	case Adopted:
		return "adopted"
	case Committed:
		return "committed"
	case NoRoom:
		return "no-room"
	case RootComputed:
		return "root"
	case Drain:
		return "drain"
	}
	return fmt.Sprintf("%T", in)
}

func stageName(s ordov1.Stage) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "STAGE_"))
}
