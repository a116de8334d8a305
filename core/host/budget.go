package host

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Exit is the end of one instance, or a start that failed.
type Exit struct {
	At         time.Time
	Generation uint64
	Why        string
	Blame      Blame
}

// budget counts the exits of one stage and says how long to wait for the next start.
type budget struct {
	restarts     int
	window       time.Duration
	first, limit time.Duration // of the pause

	exits []Exit // within the window, oldest first; at most restarts+1
}

// forgive takes back what was spent on transactions of blocks.
func (b *budget) forgive() {
	b.exits = slices.DeleteFunc(b.exits, func(d Exit) bool { return d.Blame == Block })
}

// spend records an exit. The pause before the next start doubles with each exit in the window, with jitter, so that
// plugins that fail for one reason do not come back in step. Not ok: the budget is spent. One by questions of clients is not
// counted here; the ledger of questions counts it.
func (b *budget) spend(d Exit) (pause time.Duration, ok bool) {
	if d.Blame == Questions && b.restarts > 0 {
		return b.first/2 + rand.N(b.first/2+1), true
	}
	b.exits = append(b.exits, d)
	for d.At.Sub(b.exits[0].At) > b.window {
		b.exits = b.exits[1:]
	}
	if len(b.exits) > b.restarts {
		return 0, false
	}
	pause = b.first
	for range len(b.exits) - 1 {
		if pause *= 2; pause >= b.limit {
			pause = b.limit
			break
		}
	}
	return pause/2 + rand.N(pause/2+1), true
}

// account says what happened, for the operator.
func (b *budget) account() string {
	var lines strings.Builder
	for _, d := range b.exits[max(0, len(b.exits)-3):] {
		fmt.Fprintf(&lines, "\n  %s generation %d: %s", d.At.Format("15:04:05.000"), d.Generation, d.Why)
	}
	return lines.String()
}
