package peer

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/identity"
)

// State is where a peer stands.
type State uint8

// The states. A peer without an address is Idle until it dials.
const (
	Idle    State = iota // there is no link, and this node does not dial
	Waiting              // there is no link; the next attempt to dial comes later
	Dialing              // an attempt is on its way
	Linked               // there is a link
	Banned               // it misbehaved: no link for a while
	Removed              // it is not among the peers any more
	states
)

// String is the name of the state in `ordo peers`, the log and metrics.
func (s State) String() string {
	return [...]string{"idle", "waiting", "dialing", "linked", "banned", "removed", "?"}[min(s, states)]
}

// States are all states that a peer is shown in.
func States() []State { return []State{Idle, Waiting, Dialing, Linked, Banned} }

// steps are the transitions that there are.
var steps = [states][]State{
	Idle:    {Waiting, Linked, Banned, Removed},
	Waiting: {Dialing, Linked, Idle, Banned, Removed},
	Dialing: {Waiting, Linked, Idle, Banned, Removed},
	Linked:  {Waiting, Idle, Banned, Removed},
	Banned:  {Waiting, Idle, Removed},
}

// Rules are what the machines of all peers go by.
type Rules struct {
	Self      identity.ID
	Redial    time.Duration
	RedialMax time.Duration
	Ban       time.Duration
	Quiet     time.Duration // a link on which nothing came in for so long may be replaced by one of another process with its key
	Twins     bool
}

// maxDoublings bounds how long a ban gets: 32 times the first.
const maxDoublings = 5

// Link is one connection between two nodes whose handshake is done.
type Link struct {
	Serial   uint64   // tells links of a peer apart
	Dialer   Dialer   // which side opened it
	Instance [16]byte // of the peer's process
	LastIn   func() time.Time
}

// Dialer is the side that opened a link: a process with a key.
type Dialer struct {
	ID       identity.ID
	Instance [16]byte
}

// before orders two sides.
func (d Dialer) before(e Dialer) bool {
	if c := bytes.Compare(d.ID[:], e.ID[:]); c != 0 {
		return c < 0
	}
	return bytes.Compare(d.Instance[:], e.Instance[:]) < 0 // two processes that share a key
}

// Machine is the state of one peer: when it is dialed, which links are kept, how long it is refused. The time is an argument, and there is no I/O.
type Machine struct {
	rules Rules
	id    identity.ID
	dial  bool // there is an address
	rand  *rand.Rand

	state    State
	since    time.Time // of the state
	next     time.Time // Waiting: of the attempt; Banned: of the end
	failures int       // attempts since the last link
	bans     int
	reason   string // why there is no link
	links    []Link
}

// NewMachine is a peer that was just added.
func NewMachine(rules Rules, id identity.ID, dial bool, r *rand.Rand, now time.Time) *Machine {
	m := &Machine{rules: rules, id: id, dial: dial, rand: r, since: now}
	if dial {
		m.move(Waiting, now)
		m.next = now
		if m.second() { // it dials first: both at once would make a link too many
			m.next = now.Add(m.jitter(rules.Redial))
		}
	}
	return m
}

// State is where the peer stands, since when, and why there is no link.
func (m *Machine) State() (state State, since time.Time, reason string) {
	return m.state, m.since, m.reason
}

// Until is when a ban ends, and otherwise when the peer is dialed; zero: neither is to come.
func (m *Machine) Until() time.Time {
	if m.state == Waiting || m.state == Banned {
		return m.next
	}
	return time.Time{}
}

// Failures is how many attempts to dial failed since the last link, and Bans how often the peer was banned.
func (m *Machine) Failures() int { return m.failures }

// Bans is how often the peer was banned.
func (m *Machine) Bans() int { return m.bans }

func (m *Machine) move(to State, now time.Time) {
	if to == m.state {
		return
	}
	allowed := false
	for _, s := range steps[m.state] {
		allowed = allowed || s == to
	}
	if !allowed {
		panic(fmt.Sprintf("network: a peer cannot go from %s to %s", m.state, to))
	}
	m.state, m.since = to, now
}

// second tells whether the other side is the one that dials first.
func (m *Machine) second() bool { return bytes.Compare(m.id[:], m.rules.Self[:]) < 0 }

// jitter is between d and 1.5 d.
func (m *Machine) jitter(d time.Duration) time.Duration {
	return d + time.Duration(m.rand.Int64N(int64(d)/2+1))
}

// Tick lets time pass: a ban ends, or it is time to dial, which the caller then does.
func (m *Machine) Tick(now time.Time) (dial bool) {
	if m.state == Banned && !now.Before(m.next) {
		m.unlinked(now)
		m.next = now
	}
	if m.state != Waiting || now.Before(m.next) {
		return false
	}
	m.move(Dialing, now)
	return true
}

// DialFailed is the end of an attempt without a link.
func (m *Machine) DialFailed(reason string, now time.Time) {
	if m.state != Dialing {
		return // a link came from the other side meanwhile, or a ban
	}
	m.failures++
	m.reason = reason
	m.unlinked(now)
}

// unlinked is the state of a peer without a link that may be dialed.
func (m *Machine) unlinked(now time.Time) {
	if !m.dial {
		m.move(Idle, now)
		return
	}
	m.move(Waiting, now)
	pause := m.rules.RedialMax
	if m.failures < 16 {
		pause = min(pause, m.rules.Redial<<max(m.failures-1, 0))
	}
	m.next = now.Add(m.jitter(pause))
}

// Verdict is what is to be done with a handshake.
type Verdict uint8

const (
	Accept    Verdict = iota // it is a link from now on
	Duplicate                // there is one already
	Refused                  // the peer is banned or removed
)

// Offer is a handshake that is done: the new link is accepted or not, and links in its place are to be closed.
func (m *Machine) Offer(l Link, now time.Time) (v Verdict, closed []Link) {
	switch m.state {
	case Banned:
		if now.Before(m.next) {
			return Refused, nil
		}
		m.unlinked(now)
	case Removed:
		return Refused, nil
	}
	kept := m.links[:0:0]
	for _, old := range m.links {
		replaced := false
		switch {
		case old.Instance == l.Instance && old.Dialer == l.Dialer:
			replaced = true // the side that dialed knows that the old one is gone
		case old.Instance == l.Instance:
			// Both sides dialed at the same time. The smaller key is the one that dials, so both keep the same link.
			replaced = l.Dialer.before(old.Dialer)
		case m.rules.Twins:
			kept = append(kept, old) // another process with the key
			continue
		default:
			replaced = now.Sub(old.LastIn()) >= m.rules.Quiet // the process before a restart
		}
		if !replaced {
			return Duplicate, nil
		}
		closed = append(closed, old)
	}
	m.links = append(kept, l)
	m.failures, m.reason = 0, ""
	m.move(Linked, now)
	return Accept, closed
}

// Lost is the end of a link.
func (m *Machine) Lost(serial uint64, reason string, now time.Time) {
	for i, l := range m.links {
		if l.Serial == serial {
			m.links = append(m.links[:i:i], m.links[i+1:]...)
			if len(m.links) == 0 && m.state == Linked {
				m.reason = reason
				m.unlinked(now)
			}
			return
		}
	}
}

// Ban refuses the peer for a while, twice as long as the last time; its links are to be closed.
func (m *Machine) Ban(reason string, now time.Time) (closed []Link) {
	if m.state == Removed {
		return nil
	}
	closed, m.links = m.links, nil
	if m.state != Banned {
		m.next = now.Add(m.rules.Ban << min(m.bans, maxDoublings))
		m.bans++
		m.reason = reason
	}
	m.move(Banned, now)
	return closed
}

// Remove ends the machine; the links are to be closed.
func (m *Machine) Remove(now time.Time) (closed []Link) {
	closed, m.links = m.links, nil
	m.move(Removed, now)
	return closed
}

// SetDial says whether the peer has an address, which may be another one than before.
func (m *Machine) SetDial(dial bool, now time.Time) {
	m.dial = dial
	switch {
	case m.state == Idle && dial, m.state == Waiting:
		m.failures = 0
		m.unlinked(now)
		m.next = now
	}
}
