package network

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/peer"
	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// goodbyeTime is how long the last frame of a link may take.
const goodbyeTime = 500 * time.Millisecond

// maxRequests is how many requests of a peer wait to be answered.
const maxRequests = 8

// A node remembers more of what it has sent than of what it got, so that a peer that follows the rules never sends what counts as repeated.
const (
	sentTransactions = 1 << 13
	gotTransactions  = sentTransactions / 4
)

// link is one connection to a peer whose handshake is done. Six goroutines belong to it: two read, two write, one hands transactions to the core,
// one answers requests; a seventh watches them.
type link struct {
	n        *Network
	peer     *known
	id       ID
	serial   uint64
	dialed   bool // by this node
	follower bool // the peer takes no part in consensus
	hello    *wire.Hello
	remote   string // address
	hangup   func() // closes the connection
	since    time.Time

	ctx    context.Context
	close  context.CancelCauseFunc // the cause is an *endError
	ended  chan struct{}           // all goroutines have returned
	closed chan struct{}           // nothing more comes in on control
	bulk   chan stream             // the side that listens: its second stream

	mu        sync.Mutex
	queue     *peer.Queue
	sent      *peer.Known // transactions that the peer was sent
	got       *peer.Known // and those that came from it
	head      Head
	hasHead   bool
	pending   map[uint64]*fetch
	lastAsked uint64
	repeats   *peer.Known // control messages that it has sent
	budget    *peer.Budget
	control   chan struct{} // something waits for the control stream
	bulkWaits chan struct{} // the same for bulk
	room      chan struct{} // something was sent on bulk
	inbound   *inbound
	requests  chan *wire.Request

	lastIn  atomic.Int64 // Unix nanoseconds of the newest frame
	reading atomic.Int32 // frames that are in the hands of the core now
	sending [2]atomic.Int64
	counts  counters
}

// endError is why a link ends.
type endError struct {
	reason wire.Goodbye_Reason
	text   string
	theirs bool // the other side ended it
	ban    bool
}

func (e *endError) Error() string {
	text := e.text
	if text == "" {
		text = reasonText(e.reason)
	}
	if e.theirs {
		return "ended by the peer: " + text
	}
	return text
}

func reasonText(r wire.Goodbye_Reason) string {
	switch r {
	case wire.Goodbye_STOPPING:
		return "the node stops"
	case wire.Goodbye_DUPLICATE:
		return "there is another link already"
	case wire.Goodbye_UNKNOWN:
		return "the key is not among the peers"
	case wire.Goodbye_SLOW:
		return "frames are not read in time"
	case wire.Goodbye_SILENT:
		return "nothing came in for too long"
	}
	return r.String()
}

func misbehaved(format string, args ...any) *endError {
	return &endError{reason: wire.Goodbye_MISBEHAVED, text: fmt.Sprintf(format, args...), ban: true}
}

// newLink is a link whose handshake is done, as far as this side knows.
func (n *Network) newLink(p *known, hello *wire.Hello, dialed bool, hangup func()) *link {
	l := &link{n: n, peer: p, id: p.id, serial: n.serial.Add(1), dialed: dialed, hello: hello, hangup: hangup,
		follower: hello.Follower || p.follower,
		since:    time.Now(), ended: make(chan struct{}), closed: make(chan struct{}), bulk: make(chan stream, 1),
		queue: peer.NewQueue(n.o.Limits.Queue), sent: peer.NewKnown(n.seed, sentTransactions), got: peer.NewKnown(n.seed, gotTransactions), repeats: peer.NewKnown(n.seed, 1<<11),
		pending: make(map[uint64]*fetch),
		budget:  peer.NewBudget(n.rates(), n.o.Limits.Burst, time.Now()),
		control: make(chan struct{}, 1), bulkWaits: make(chan struct{}, 1), room: make(chan struct{}, 1),
		inbound: newInbound(n.o.Limits.Inbound), requests: make(chan *wire.Request, maxRequests)}
	l.ctx, l.close = context.WithCancelCause(n.ctx)
	l.lastIn.Store(time.Now().UnixNano())
	return l
}

// end closes the link for a reason.
func (l *link) end(e *endError) { l.close(e) }

// fail ends the link because of a peer that broke the protocol or went beyond its budget: it is banned.
func (l *link) fail(format string, args ...any) { l.end(misbehaved(format, args...)) }

// run does the work of the link until it ends, and says why.
func (l *link) run(control, bulk stream) *endError {
	// A frame that the peer does not read keeps the last one from being sent: the connection is closed all the same.
	late := context.AfterFunc(l.ctx, func() { time.AfterFunc(goodbyeTime, l.hangup) })
	defer late()
	var all sync.WaitGroup
	all.Go(func() { l.write(control, 0, l.control, l.popControl); l.farewell(control) })
	all.Go(func() { l.write(bulk, 1, l.bulkWaits, l.popBulk) })
	all.Go(func() { l.readControl(control); close(l.closed) })
	all.Go(func() { l.readBulk(bulk) })
	all.Go(l.admit)
	all.Go(l.serve)
	all.Go(l.watch)
	all.Wait()
	for _, f := range l.takePending() {
		f.done(false)
	}
	l.forgetInbound()
	close(l.ended)
	return l.cause()
}

// cause is why the link ended.
func (l *link) cause() *endError {
	if e, ok := context.Cause(l.ctx).(*endError); ok {
		return e
	}
	return &endError{reason: wire.Goodbye_STOPPING}
}

// write sends what waits for a stream, in order.
func (l *link) write(s stream, which int, waits <-chan struct{}, pop func() (peer.Item, bool)) {
	for l.ctx.Err() == nil {
		i, ok := pop()
		if !ok {
			select {
			case <-waits:
			case <-l.ctx.Done():
			}
			continue
		}
		l.sending[which].Store(time.Now().UnixNano())
		err := s.SendMsg(i.Frame)
		l.sending[which].Store(0)
		if err != nil {
			// The error of a stream that has ended is read where frames are received.
			select {
			case <-l.ctx.Done():
			case <-time.After(goodbyeTime):
				l.end(&endError{text: fmt.Sprintf("the connection broke: %v", err)})
			}
			return
		}
		l.counts.sent(i)
	}
}

// farewell tells the other side why the link ends, and closes the connection, at once if nothing can be sent.
func (l *link) farewell(control stream) {
	defer l.hangup()
	e := l.cause()
	if e.theirs {
		return
	}
	frame := &wire.ControlFrame{Frame: &wire.ControlFrame_Goodbye{Goodbye: &wire.Goodbye{Reason: e.reason, Text: e.text}}}
	if control.SendMsg(encode(frame)) != nil {
		return
	}
	select { // the other side closes the connection when it has read that
	case <-l.closed:
	case <-time.After(goodbyeTime):
	}
}

func (l *link) popControl() (peer.Item, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.PopControl()
}

func (l *link) popBulk() (peer.Item, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := l.queue.PopBulk()
	if ok {
		signal(l.room)
	}
	return i, ok
}

// push queues a frame. A peer that does not read what is being decided loses its link.
func (l *link) push(i peer.Item) peer.Pushed {
	l.mu.Lock()
	pushed := l.queue.Push(i)
	l.mu.Unlock()
	switch {
	case pushed == peer.Full:
		l.end(&endError{reason: wire.Goodbye_SLOW, text: fmt.Sprintf("more than %d bytes wait to be read (network.queue_bytes)", l.n.o.Limits.Queue)})
	case pushed == peer.Queued && i.Class == peer.Control:
		signal(l.control)
	case pushed == peer.Queued:
		signal(l.bulkWaits)
	}
	return pushed
}

// sendHead queues the newest head in the place of one that was not sent yet.
func (l *link) sendHead(h Head, frame rawFrame) {
	l.mu.Lock()
	l.queue.SetHeight(h.Height + 1)
	l.queue.SetHead(peer.Item{Class: peer.Control, Frame: frame, Bytes: len(frame)})
	l.mu.Unlock()
	signal(l.control)
}

// signal wakes a goroutine that waits, or will.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// watch sends heartbeats, and ends a link on which nothing moves.
func (l *link) watch() {
	t := time.NewTicker(l.n.o.Limits.Heartbeat)
	defer t.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case now := <-t.C:
			l.heartbeat(now)
		}
	}
}

func (l *link) heartbeat(now time.Time) {
	silence := l.n.o.Limits.Silence
	for i := range l.sending {
		if since := l.sending[i].Load(); since != 0 && now.Sub(time.Unix(0, since)) > silence {
			l.end(&endError{reason: wire.Goodbye_SLOW, text: fmt.Sprintf("a frame was not read within %s (network.silence_timeout)", silence)})
			return
		}
	}
	if l.reading.Load() == 0 && now.Sub(l.lastSeen()) > silence {
		l.end(&endError{reason: wire.Goodbye_SILENT, text: fmt.Sprintf("nothing came in for %s (network.silence_timeout)", silence)})
		return
	}
	l.n.sendHeadTo(l)
}

// lastSeen is when the newest frame came.
func (l *link) lastSeen() time.Time { return time.Unix(0, l.lastIn.Load()) }
