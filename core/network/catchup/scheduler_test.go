package catchup

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/identity"
)

func testRules() Rules {
	return Rules{Range: 8, Ahead: 32, Bytes: 4000, EachPeer: 2, Timeout: 2 * time.Second, Pause: 100 * time.Millisecond, PauseMax: 5 * time.Second, Failures: 5}
}

// behaviour is what a simulated peer does with a request.
type behaviour struct {
	head    uint64        // that it says to have
	has     uint64        // blocks that it has
	delay   time.Duration // of each block
	silent  bool          // never answers
	wrong   bool          // serves blocks that are not accepted
	shuffle bool          // serves them in another order
	drip    bool          // sends pieces for ever, and never a whole block
}

// simulation runs a scheduler against peers in virtual time.
type simulation struct {
	t      *testing.T
	s      *Scheduler
	peers  map[identity.ID]*behaviour
	blamed map[identity.ID]bool
	asked  map[identity.ID]int
	held   int // the most bytes that were held
}

const blockBytes = 100

// run goes on until the scheduler is finished; it returns the heights in the order in which they were applied.
func (m *simulation) run() (applied []uint64) {
	type event struct {
		at   time.Time
		do   func()
		turn int
	}
	var events []event
	turns := 0
	at := func(d time.Duration, do func()) {
		turns++
		events = append(events, event{time.Now().Add(d), do, turns})
	}
	cancelled := make(map[uint64]bool)
	for range 100_000 {
		send, cancel := m.s.Poll(time.Now())
		for _, r := range cancel {
			cancelled[r.ID] = true
		}
		for _, r := range send {
			p := m.peers[r.Peer]
			m.asked[r.Peer]++
			if r.Count < 1 || r.Count > m.s.rules.Range || r.From > p.head {
				m.t.Fatalf("request %+v of a peer with head %d", r, p.head)
			}
			heights := make([]uint64, 0, r.Count)
			for h := r.From; h < r.From+uint64(r.Count) && h < p.has; h++ {
				heights = append(heights, h)
			}
			if p.shuffle {
				slices.Reverse(heights)
			}
			switch {
			case p.silent:
			case p.drip:
				for i := range 10 {
					at(time.Duration(i)*time.Second, func() { m.s.Alive(r.ID, time.Now()) })
				}
			default:
				delay := p.delay
				for _, h := range heights {
					at(delay, func() {
						_, err := m.s.Received(r.ID, Item{Height: h, Bytes: blockBytes, Block: p.wrong}, time.Now())
						if (err != nil) && !p.shuffle {
							m.t.Errorf("%v", err)
						}
						if err != nil {
							m.blame(r.Peer)
						}
					})
					delay += p.delay
				}
				at(delay, func() { m.s.Done(r.ID, time.Now()) })
			}
		}
		m.held = max(m.held, m.s.Bytes())
		if i, ok := m.s.Next(); ok {
			if i.Block == true {
				m.s.Wrong(time.Now())
				m.blame(i.From)
			} else {
				applied = append(applied, i.Height)
				m.s.Applied()
			}
			continue
		}
		if m.s.Finished() {
			return applied
		}
		slices.SortFunc(events, func(a, b event) int {
			if c := a.at.Compare(b.at); c != 0 {
				return c
			}
			return a.turn - b.turn
		})
		wake := m.s.Wake(time.Now())
		if len(events) > 0 && (wake.IsZero() || !events[0].at.After(wake)) {
			wake = events[0].at
		}
		if wake.IsZero() {
			m.t.Fatalf("it waits for nothing, at height %d", m.s.Height())
		}
		time.Sleep(time.Until(wake))
		for len(events) > 0 && !events[0].at.After(time.Now()) {
			do := events[0].do
			events = events[1:]
			do()
		}
	}
	m.t.Fatalf("no end, at height %d", m.s.Height())
	return nil
}

// blame is the end of the link of a peer.
func (m *simulation) blame(id identity.ID) {
	m.blamed[id] = true
	m.s.Remove(id)
}

func simulate(t *testing.T, rules Rules, next uint64, list ...behaviour) *simulation {
	m := &simulation{t: t, s: New(rules, next, 0), peers: make(map[identity.ID]*behaviour), blamed: make(map[identity.ID]bool), asked: make(map[identity.ID]int)}
	for i := range list {
		id := identity.ID{byte(i + 1)}
		m.peers[id] = &list[i]
		m.s.SetHead(id, list[i].head)
	}
	return m
}

func (m *simulation) want(applied []uint64, from, to uint64) {
	m.t.Helper()
	if len(applied) != int(to-from) {
		m.t.Fatalf("%d blocks, want %d to %d", len(applied), from, to)
	}
	for i, h := range applied {
		if h != from+uint64(i) {
			m.t.Fatalf("block %d after %d", h, i)
		}
	}
}

// TestCatchUpSpreads: several honest peers share the work, blocks come in order, and no more is held than allowed.
func TestCatchUpSpreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		honest := behaviour{head: 499, has: 500, delay: 10 * time.Millisecond}
		m := simulate(t, testRules(), 3, honest, honest, honest)
		begun := time.Now()
		m.want(m.run(), 3, 500)
		for id, asked := range m.asked {
			if asked < 10 {
				t.Errorf("peer %d was asked %d times", id[0], asked)
			}
		}
		if took := time.Since(begun); took > 500*10*time.Millisecond/2 {
			t.Errorf("%s: no two at a time", took)
		}
		if most := testRules().Bytes + testRules().Ahead*blockBytes; m.held > most {
			t.Errorf("%d bytes were held", m.held)
		}
	})
}

// TestCatchUpAmongBadPeers: with one honest peer among others that are silent, slow for ever, with a head that they do not have, wrong or out of order, all
// blocks come, and the honest one is never blamed.
func TestCatchUpAmongBadPeers(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			list := []behaviour{{head: 199, has: 200, delay: time.Duration(1+r.IntN(50)) * time.Millisecond}}
			for range 1 + r.IntN(6) {
				b := behaviour{head: 199, has: uint64(r.IntN(200)), delay: time.Duration(r.IntN(300)) * time.Millisecond}
				switch r.IntN(6) {
				case 0:
					b.silent = true
				case 1:
					b.drip = true
				case 2:
					b.wrong, b.has = true, 200
				case 3:
					b.shuffle, b.has = true, 200
				case 4:
					b.head = 1 << 60
				}
				list = append(list, b)
			}
			honest := 0
			r.Shuffle(len(list), func(i, j int) {
				list[i], list[j] = list[j], list[i]
				switch honest {
				case i:
					honest = j
				case j:
					honest = i
				}
			})
			m := simulate(t, testRules(), 0, list...)
			m.want(m.run(), 0, 200)
			if m.blamed[identity.ID{byte(honest + 1)}] {
				t.Errorf("seed %d: the honest peer is blamed", seed)
			}
		})
	}
}

// TestCatchUpEnds: with no peer ahead, with false heads alone, and when the last peer leaves.
func TestCatchUpEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := simulate(t, testRules(), 10, behaviour{head: 9, has: 10})
		m.want(m.run(), 10, 10)
		m = simulate(t, testRules(), 10, behaviour{head: 500, silent: true}, behaviour{head: 1 << 63})
		m.want(m.run(), 10, 10)
		m = simulate(t, testRules(), 10)
		m.want(m.run(), 10, 10)
		m = simulate(t, testRules(), 0, behaviour{head: 50, has: 51})
		if send, _ := m.s.Poll(time.Now()); len(send) == 0 {
			t.Error("nothing is asked")
		}
		m.s.Remove(identity.ID{1})
		if !m.s.Finished() {
			t.Error("it waits for a peer that has left")
		}
	})
}

// TestCatchUpSkips: heights that were decided here meanwhile are not given, and late answers of them do no harm.
func TestCatchUpSkips(t *testing.T) {
	s := New(testRules(), 0, 7)
	now := time.Unix(0, 0)
	s.SetHead(identity.ID{1}, 100)
	send, _ := s.Poll(now)
	if len(send) != 2 || send[0].ID != 8 {
		t.Fatalf("%+v", send)
	}
	if known, err := s.Received(send[0].ID, Item{Height: 0, Bytes: 9}, now); !known || err != nil {
		t.Fatal(known, err)
	}
	s.Skip(5)
	if _, ok := s.Next(); ok || s.Bytes() != 0 {
		t.Error("a block that was skipped is there")
	}
	for h := uint64(1); h < 6; h++ {
		if _, err := s.Received(send[0].ID, Item{Height: h, Bytes: 9}, now); err != nil {
			t.Fatal(err)
		}
	}
	if i, ok := s.Next(); !ok || i.Height != 5 {
		t.Errorf("%+v, %v", i, ok)
	}
	if _, err := s.Received(send[0].ID, Item{Height: 5}, now); err == nil {
		t.Error("a block twice")
	}
	if known, err := s.Received(99, Item{Height: 5}, now); known || err != nil {
		t.Error("an answer to nothing is known")
	}
}

// TestLargeAnswersAreBounded: answers that are all asked for while nothing is held bring much more than is to be held. What is too much is thrown
// away, is asked for again, and every block is applied.
func TestLargeAnswersAreBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	rules := testRules()
	const size, head = 900, 60
	s := New(rules, 1, 0)
	for i := range byte(4) {
		s.SetHead(identity.ID{i + 1}, head)
	}
	next := uint64(1)
	for range 500 {
		send, _ := s.Poll(now)
		slices.Reverse(send) // the next block comes last
		for _, r := range send {
			for h := r.From; h < r.From+uint64(r.Count); h++ {
				if _, err := s.Received(r.ID, Item{Height: h, Bytes: size}, now); err != nil {
					t.Fatal(err)
				}
				if s.Bytes() > 2*rules.Bytes+size {
					t.Fatalf("%d bytes are held", s.Bytes())
				}
			}
			s.Done(r.ID, now)
		}
		for {
			i, ok := s.Next()
			if !ok {
				break
			}
			if i.Height != next {
				t.Fatalf("block %d, want %d", i.Height, next)
			}
			next++
			s.Applied()
		}
		now = now.Add(time.Millisecond)
	}
	if next != head+1 || !s.Finished() {
		t.Errorf("block %d comes next", next)
	}
}
