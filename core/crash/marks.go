package crash

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// Key is a fingerprint.
type Key [32]byte

// Name is one thing that a question is known by.
type Name struct {
	Key  Key
	What string // for people: "this call", "a transaction of this account"
	// Causes is how many questions with this name have to end the process before all of them are refused; 0: one.
	Causes int
}

// Account names all transactions of an account.
func Account(address []byte) Name {
	return Name{Key: sha256.Sum256(append([]byte("account "), address...)), What: "a transaction of this account"}
}

// Level is what is remembered of a name.
type Level int

const (
	unknown Level = iota
	suspected
	refused
)

// Suspected: it runs in quarantine.
func (l Level) Suspected() bool { return l == suspected }

// Refused is the answer to a question that ended the process, or that shares a name with one.
type Refused struct {
	What  string // "this call"
	Did   string // what is held against it
	Until time.Time
}

func (r *Refused) Error() string {
	return fmt.Sprintf("%s %s: refused until %s (supervision.question_memory)", r.What, r.Did, r.Until.UTC().Format(time.TimeOnly+" MST"))
}

// What is held against a question.
const (
	crashedIt = "ended the execution plugin"
	costIt    = "needed more memory than a transaction may hold (limits.transaction_mib)"
)

// Paused is the answer to all questions of a kind that ended the process too often.
type Paused struct {
	Kind    Kind
	Crashes int
	Window  time.Duration
	Until   time.Time
}

func (p *Paused) Error() string {
	return fmt.Sprintf("busy: %s ended the execution plugin %d times within %s (supervision.question_crashes): none is taken until %s, try again then",
		p.Kind, p.Crashes, p.Window, p.Until.UTC().Format(time.TimeOnly+" MST"))
}

// ErrTurn: no turn came in time, because questions that may end the plugin are put one by one.
var ErrTurn = errors.New("requests that may have ended the plugin are put to it one by one, and no turn came in time")

// ErrSeveral: the plugin ended over a question that stands for several. Put them one by one, in quarantine.
var ErrSeveral = errors.New("the plugin ended over one of several questions")

// marks remember names, a bounded number of them, the newest.
type marks struct {
	keep  int
	of    map[Key]*mark
	order []Key // as they came
}

type mark struct {
	level  Level
	causes int
	what   string
	did    string
	until  time.Time
}

func newMarks(keep int) marks { return marks{keep: keep, of: map[Key]*mark{}} }

func (m *marks) empty() bool { return len(m.of) == 0 }

func (m *marks) find(now time.Time, names []Name) (Level, *Refused) {
	level := unknown
	for _, n := range names {
		switch k := m.of[n.Key]; {
		case k == nil:
		case !now.Before(k.until):
			m.drop(n.Key)
		case k.level == refused:
			return refused, &Refused{What: k.what, Did: k.did, Until: k.until}
		default:
			level = max(level, k.level)
		}
	}
	return level, nil
}

// refuse remembers all names of a question.
func (m *marks) refuse(until time.Time, did string, names []Name) {
	for _, n := range names {
		k := m.add(n)
		k.until, k.did = until, did
		if k.causes++; k.causes >= max(1, n.Causes) {
			k.level = refused
		}
	}
}

// suspect remembers a question by its first name.
func (m *marks) suspect(until time.Time, names []Name) {
	if k := m.add(names[0]); k.level == unknown {
		k.level, k.until = suspected, until
	}
}

// forget a suspicion.
func (m *marks) forget(names []Name) {
	if k := m.of[names[0].Key]; k != nil && k.level == suspected {
		m.drop(names[0].Key)
	}
}

func (m *marks) add(n Name) *mark {
	if k := m.of[n.Key]; k != nil {
		return k
	}
	if len(m.order) >= m.keep {
		delete(m.of, m.order[0])
		m.order = m.order[1:]
	}
	k := &mark{what: n.What}
	m.of[n.Key] = k
	m.order = append(m.order, n.Key)
	return k
}

func (m *marks) drop(key Key) {
	delete(m.of, key)
	for i, k := range m.order {
		if k == key {
			m.order = append(m.order[:i:i], m.order[i+1:]...)
			break
		}
	}
}
