package disturb

import (
	"bytes"
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/network/identity"
)

// Bounds of the messages that a Sender holds back.
const (
	maxHeld      = 50_000
	maxHeldBytes = 64 << 20
)

// look is how often the file of the plan is read.
const look = 50 * time.Millisecond

// Options are what a Sender is made with.
type Options struct {
	Path  string // of the plan, which is read again when it changes
	Self  identity.ID
	Peers []identity.ID                                             // the other validators
	Send  func(to identity.ID, height uint64, message []byte) error // to one of them
	Log   hclog.Logger
}

// Sender stands between consensus and the network of a node. Make one with New; Run has to run. Its methods are safe for concurrent use.
type Sender struct {
	o     Options
	began time.Time

	mu      sync.Mutex
	raw     []byte
	quiet   bool
	links   map[identity.ID]*Link
	held    deliveries
	bytes   int
	number  uint64
	dropped uint64 // for want of room
	wake    chan struct{}
}

// New reads the plan. A node that cannot read it does not start.
func New(o Options) (*Sender, error) {
	s := &Sender{o: o, began: time.Now(), wake: make(chan struct{}, 1)}
	plan, raw, err := Read(o.Path)
	if err != nil {
		return nil, err
	}
	s.take(plan, raw)
	return s, nil
}

// take goes by another plan from now on; what is held back still goes out when it was to.
func (s *Sender) take(p Plan, raw []byte) {
	s.raw, s.quiet, s.links = raw, len(p.Rules) == 0, map[identity.ID]*Link{}
	for _, to := range s.o.Peers {
		s.links[to] = NewLink(p, s.o.Self, to)
	}
}

// Send takes a message for a validator, or for all others when to is empty. What the plan leaves of it goes out at its time.
func (s *Sender) Send(to []byte, height uint64, message []byte) {
	s.mu.Lock()
	var now []delivery
	for _, peer := range s.o.Peers {
		if len(to) > 0 && !bytes.Equal(to, peer[:]) {
			continue
		}
		at := time.Since(s.began)
		for _, d := range s.links[peer].Send(at, message) {
			one := delivery{d, peer, height, s.number}
			s.number++
			switch {
			case s.quiet && len(s.held) == 0:
				now = append(now, one)
			case len(s.held) >= maxHeld || s.bytes+len(d.Message) > maxHeldBytes:
				if s.dropped++; s.dropped%1000 == 1 {
					s.o.Log.Warn("messages that wait for their delay are dropped: too many wait", "dropped", s.dropped)
				}
			default:
				s.bytes += len(d.Message)
				heap.Push(&s.held, one)
			}
		}
	}
	s.mu.Unlock()
	for _, one := range now {
		s.send(one)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Sender) send(d delivery) {
	if err := s.o.Send(d.to, d.height, d.Message); err != nil {
		s.o.Log.Debug("a message of consensus is not sent", "error", err)
	}
}

// Run sends what is due, and looks at the file of the plan, until the context is done.
func (s *Sender) Run(ctx context.Context) {
	timer := time.NewTimer(look)
	defer timer.Stop()
	for reread := s.began; ctx.Err() == nil; {
		if time.Since(reread) >= look {
			s.reread()
			reread = time.Now()
		}
		due, wait := s.due()
		for _, one := range due {
			s.send(one)
		}
		timer.Reset(min(wait, look))
		select {
		case <-timer.C:
		case <-s.wake:
		case <-ctx.Done():
		}
	}
}

// due takes what is to go out now, and says how long nothing more is.
func (s *Sender) due() (all []delivery, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(s.began)
	for len(s.held) > 0 {
		if wait = s.held[0].At - now; wait > 0 {
			return all, wait
		}
		one := heap.Pop(&s.held).(delivery)
		s.bytes -= len(one.Message)
		all = append(all, one)
	}
	return all, look
}

// reread goes by the file if it is another one. A file that cannot be read changes nothing.
func (s *Sender) reread() {
	plan, raw, err := Read(s.o.Path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(raw, s.raw) {
		return
	}
	if err != nil {
		s.raw = raw
		s.o.Log.Error("the faults of messages stay as they were: their file cannot be read", "error", err)
		return
	}
	s.take(plan, raw)
	s.o.Log.Warn("messages of consensus meet other faults from now on", "rules", len(plan.Rules), "file", s.o.Path)
}

// delivery is a message that waits for its time.
type delivery struct {
	Delivery
	to     identity.ID
	height uint64
	number uint64 // in order of sending
}

// deliveries is a heap by time.
type deliveries []delivery

func (d deliveries) Len() int { return len(d) }
func (d deliveries) Less(i, j int) bool {
	return d[i].At < d[j].At || d[i].At == d[j].At && d[i].number < d[j].number
}
func (d deliveries) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *deliveries) Push(x any)   { *d = append(*d, x.(delivery)) }
func (d *deliveries) Pop() any {
	last := (*d)[len(*d)-1]
	(*d)[len(*d)-1] = delivery{}
	*d = (*d)[:len(*d)-1]
	return last
}
