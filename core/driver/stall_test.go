package driver

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// TestStall: it is said after the time, once in each interval, and never while blocks are made or nothing waits.
func TestStall(t *testing.T) {
	begin := time.Unix(1000, 0)
	s := stall{after: 10 * time.Second}
	for _, c := range []struct {
		at      int // seconds
		height  uint64
		waiting int
		stalled time.Duration
		over    bool
	}{
		{0, 5, 0, 0, false}, {20, 5, 0, 0, false}, // nothing waited until 20
		{29, 5, 3, 0, false}, {31, 5, 3, 11 * time.Second, false}, {35, 5, 3, 0, false}, {41, 5, 4, 21 * time.Second, false},
		{42, 6, 4, 0, true}, {45, 7, 4, 0, false}, {54, 7, 4, 0, false}, {55, 7, 4, 10 * time.Second, false}, {56, 7, 0, 0, true}, {70, 7, 0, 0, false},
	} {
		stalled, over := s.look(begin.Add(time.Duration(c.at)*time.Second), c.height, c.waiting)
		if stalled != c.stalled || over != c.over {
			t.Errorf("at %d: %s, %v", c.at, stalled, over)
		}
	}
}

func TestActionName(t *testing.T) {
	for want, a := range map[string]*ordov1.Action{
		"Build": fakestage.Build(&ordov1.Action_Build{}), "Decide": fakestage.Decide(1, nil), "none": {},
		"SetTimer": {Action: &ordov1.Action_SetTimer_{SetTimer: &ordov1.Action_SetTimer{}}},
	} {
		if got := actionName(a); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestSilentConsensusIsTold: a consensus plugin that is told of transactions and never builds is named in the log.
func TestSilentConsensusIsTold(t *testing.T) {
	w := newWorld(t)
	w.consensus = func(*ordov1.ConsensusEvent) []*ordov1.Action { return nil }
	book := &stallLog{said: make(chan struct{})}
	w.options.Log = hclog.New(&hclog.LoggerOptions{Output: book})
	w.options.StallAfter = 20 * time.Millisecond
	n := w.start()
	if err := n.SubmitAt(ctx(t), w.tx(0xacc1, 0, plain, 1), nil, 0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-book.said:
	case <-ctx(t).Done():
		t.Fatal(book)
	}
	for _, want := range []string{"ready=1", "number=1", "its last action=none"} {
		if !strings.Contains(book.String(), want) {
			t.Errorf("%s is not in\n%s", want, book)
		}
	}
}

// stallLog is a log that tells when a stall is told.
type stallLog struct {
	mu   sync.Mutex
	text bytes.Buffer
	said chan struct{}
	once sync.Once
}

func (l *stallLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(string(p), "no block is made although transactions wait") {
		l.once.Do(func() { close(l.said) })
	}
	return l.text.Write(p)
}

func (l *stallLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestRoundIsThatOfTheHeight: what consensus builds, validates or signs for tells its round; a new height begins with none.
func TestRoundIsThatOfTheHeight(t *testing.T) {
	var k talk
	at := time.Unix(1, 0)
	sign := func(round uint32) *ordov1.Action {
		return &ordov1.Action{Action: &ordov1.Action_Sign_{Sign: &ordov1.Action_Sign{Round: round}}}
	}
	for _, c := range []struct {
		what string
		do   func()
		want uint32
	}{
		{"nothing yet", func() {}, 0},
		{"a build", func() { k.hear(at, []*ordov1.Action{fakestage.Build(&ordov1.Action_Build{Round: 1})}) }, 1},
		{"the last of several", func() { k.hear(at, []*ordov1.Action{sign(2), sign(3), {}}) }, 3},
		{"an event of the height", func() { k.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Built_{}}) }, 3},
		{"the next height", func() {
			k.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Decided_{Decided: &ordov1.ConsensusEvent_Decided{}}})
		}, 0},
		{"a validation", func() {
			k.hear(at, []*ordov1.Action{{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{Round: 4}}}})
		}, 4},
		{"another instance", func() {
			k.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Start_{Start: &ordov1.ConsensusEvent_Start{}}})
		}, 0},
	} {
		if c.do(); k.round.Load() != c.want {
			t.Errorf("after %s: round %d, want %d", c.what, k.round.Load(), c.want)
		}
	}
}
