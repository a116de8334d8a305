package peer

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ordo-sequencer/ordo/core/network/identity"
)

func testRules() Rules {
	return Rules{Self: identity.ID{5}, Redial: 100 * time.Millisecond, RedialMax: time.Second, Ban: time.Minute, Quiet: 3 * time.Second}
}

// TestMachine reads transcripts: what happens to a peer at which second, and its state after that.
func TestMachine(t *testing.T) {
	var m *Machine
	var rules Rules
	start := time.Unix(1_000_000, 0)
	now := start
	var id identity.ID
	seen := make(map[uint64]time.Time) // when something came in on a link
	datadriven.RunTest(t, "testdata/machine.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		if d.HasArg("at") {
			var at string
			d.ScanArgs(t, "at", &at)
			passed, err := time.ParseDuration(at)
			if err != nil {
				t.Fatal(err)
			}
			now = start.Add(passed)
		}
		var serial, instance uint64
		for key, to := range map[string]*uint64{"link": &serial, "process": &instance} {
			if d.HasArg(key) {
				d.ScanArgs(t, key, to)
			}
		}
		closes := func(list []Link) {
			for _, l := range list {
				fmt.Fprintf(&out, "close link %d\n", l.Serial)
			}
		}
		switch d.Cmd {
		case "new":
			now = start
			rules = testRules()
			rules.Twins = d.HasArg("twins")
			id = identity.ID{9}
			if d.HasArg("smaller") {
				id = identity.ID{1}
			}
			m = NewMachine(rules, id, !d.HasArg("no-address"), rand.New(rand.NewPCG(1, 1)), now)
		case "tick":
			if m.Tick(now) {
				out.WriteString("dial\n")
			}
		case "dial-failed":
			m.DialFailed("connection refused", now)
		case "handshake":
			dialer := Dialer{ID: id, Instance: [16]byte{byte(instance)}}
			if d.HasArg("dialed") {
				dialer = Dialer{ID: rules.Self, Instance: [16]byte{99}}
			}
			seen[serial] = now
			v, closed := m.Offer(Link{Serial: serial, Dialer: dialer, Instance: [16]byte{byte(instance)}, LastIn: func() time.Time { return seen[serial] }}, now)
			fmt.Fprintln(&out, [...]string{"accept", "duplicate", "refused"}[v])
			closes(closed)
		case "heard":
			seen[serial] = now
		case "lost":
			m.Lost(serial, "the connection broke", now)
		case "ban":
			closes(m.Ban("garbage", now))
		case "remove":
			closes(m.Remove(now))
		case "address":
			m.SetDial(!d.HasArg("none"), now)
		default:
			t.Fatalf("unknown command %s", d.Cmd)
		}
		state, since, reason := m.State()
		fmt.Fprintf(&out, "%s since %s", state, since.Sub(start))
		if until := m.Until(); !until.IsZero() {
			fmt.Fprintf(&out, ", until %s", until.Sub(start).Round(time.Millisecond))
		}
		if reason != "" {
			fmt.Fprintf(&out, ", because %s", reason)
		}
		if m.Failures() > 0 {
			fmt.Fprintf(&out, ", failures %d", m.Failures())
		}
		return out.String() + "\n"
	})
}

// TestMachineNeverSticks: after any sequence of events a peer with an address that is neither linked nor removed is dialed again, no later than
// the longest pause or ban.
func TestMachineNeverSticks(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		rules := testRules()
		rules.Twins = r.IntN(3) == 0
		now := time.Unix(0, 0)
		m := NewMachine(rules, identity.ID{byte(r.IntN(10))}, true, r, now)
		var links []uint64
		for serial := range uint64(200) {
			now = now.Add(time.Duration(r.IntN(3000)) * time.Millisecond)
			switch r.IntN(7) {
			case 0, 1:
				m.Tick(now)
			case 2:
				m.DialFailed("no", now)
			case 3, 4:
				l := Link{Serial: serial, Dialer: Dialer{ID: identity.ID{byte(r.IntN(10))}}, Instance: [16]byte{byte(r.IntN(3))}, LastIn: func() time.Time { return now.Add(-time.Duration(r.IntN(6)) * time.Second) }}
				if v, _ := m.Offer(l, now); v == Accept { // the end of one that is closed may come as Lost, late or never
					links = append(links, serial)
				}
			case 5:
				if len(links) > 0 {
					m.Lost(links[r.IntN(len(links))], "gone", now)
				}
			case 6:
				if r.IntN(4) == 0 {
					m.Ban("garbage", now)
					links = nil
				}
			}
			if state, _, _ := m.State(); (state == Linked) != (len(m.links) > 0) {
				t.Fatalf("seed %d: %s with %d links", seed, state, len(m.links))
			}
			if !rules.Twins && len(m.links) > 1 {
				t.Fatalf("seed %d: %d links", seed, len(m.links))
			}
		}
		state, _, _ := m.State()
		if state == Linked {
			continue
		}
		if state == Dialing {
			m.DialFailed("no", now)
		}
		until := m.Until()
		if longest := max(rules.RedialMax*3/2, rules.Ban<<maxDoublings); until.IsZero() || until.Sub(now) > longest {
			t.Fatalf("seed %d: %s until %v", seed, state, until.Sub(now))
		}
		if !m.Tick(until) {
			t.Fatalf("seed %d: %s is not dialed", seed, state)
		}
	}
}
