package driver

import (
	"testing"
	"time"
)

// TestPendingRepliesBecomeOverdue: what is owed is owed until it is answered, and a root that is here before its block is said to be stored
// leaves nothing owed.
func TestPendingRepliesBecomeOverdue(t *testing.T) {
	p := replyWatchdog{limit: time.Minute, what: "no root"}
	later := func() error { return p.overdue(time.Now().Add(2 * time.Minute)) }
	stored, rooted := uint64(0), uint64(0)
	step := func(s, r uint64) error {
		stored, rooted = s, r
		p.set(int(stored) - int(rooted))
		return later()
	}
	for _, c := range []struct {
		stored, rooted uint64
		owed           bool
	}{{1, 0, true}, {1, 1, false}, {1, 2, false}, {2, 2, false}, {3, 2, true}, {4, 2, true}, {4, 3, true}, {4, 4, false}} {
		if err := step(c.stored, c.rooted); (err != nil) != c.owed {
			t.Errorf("stored to %d, rooted to %d: %v", c.stored, c.rooted, err)
		}
	}
}
