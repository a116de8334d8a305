package socket

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/ordo-sequencer/ordo/core/subscriptions"
)

// Wire is the connection of the system below, which can gather what is written to it.
type Wire interface {
	// Cork gathers what is written from now on.
	Cork()
	// Uncork writes what was gathered.
	Uncork() error
	// Close ends the connection at once: what reads from it and writes to it returns.
	Close() error
}

// Handler runs what a client sends.
type Handler interface {
	// Receive reads a message and returns the work on it, which runs beside that on others; nil when there is none. An error ends
	// the connection: a CloseError with its code.
	Receive(ctx context.Context, c *Conn, message io.Reader) (work func(), err error)
}

// Conn is one open connection.
type Conn struct {
	From netip.Prefix // the network of the client

	pool    *Pool
	ws      *websocket.Conn
	wire    Wire          // nil as long as Serve has not begun
	heard   atomic.Int64  // when the client was heard last
	pinged  atomic.Int64  // when the ping was sent that is not answered; 0: there is none
	writing chan struct{} // capacity 1: has a message on its way
	slots   chan struct{} // messages that run
	works   sync.WaitGroup
	ending  chan struct{}   // closed when no message is taken any more
	base    context.Context // ends when nothing is queued and no answer is made any more
	serve   context.Context // of Serve. The library closes a connection whose context ends, so what is on its way has this one
	end     context.CancelFunc

	mu    sync.Mutex
	queue queue
	gone  bool // cut off, or at its end
	quit  bool // ending is closed
}

// Place gives a new connection its place; Serve or Abandon has to follow. The error is ErrFull or ErrClosing.
func (p *Pool) Place(ctx context.Context, from netip.Prefix) (*Conn, error) {
	c := &Conn{From: from, pool: p, writing: make(chan struct{}, 1), slots: make(chan struct{}, p.limits.Messages), ending: make(chan struct{})}
	c.base, c.end = context.WithCancel(ctx)
	c.queue.ready = make(chan struct{}, 1)
	c.heard.Store(time.Now().UnixNano())
	if err := p.enter(c); err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

// Abandon gives the place back when there is nothing to serve.
func (c *Conn) Abandon() {
	c.finish()
	c.pool.exit(c)
}

// Serve runs the connection to its end, and returns when all its work has ended.
func (c *Conn) Serve(ctx context.Context, ws *websocket.Conn, wire Wire, h Handler) {
	ctx, cancel := context.WithCancel(ctx)
	ws.SetReadLimit(-1) // Receive has its own
	c.mu.Lock()
	c.ws, c.wire, c.serve = ws, wire, ctx
	gone := c.gone // cut off before it was here
	c.mu.Unlock()
	if gone {
		wire.Close()
	}
	sent := make(chan struct{})
	go func() { defer close(sent); c.send(ctx) }()
	c.read(ctx, h)
	c.stop()
	select {
	case <-c.base.Done(): // it was cut off, or is at its end: Close has the last word
	default:
		c.finish()
	}
	cancel()
	ws.CloseNow()
	<-sent
	c.works.Wait()
	c.pool.exit(c)
}

// read takes messages until the connection ends.
func (c *Conn) read(ctx context.Context, h Handler) {
	for {
		kind, message, err := c.ws.Reader(ctx)
		if err != nil {
			// The library ends a connection that takes no ping.
			if at := c.pinged.Load(); at > 0 && websocket.CloseStatus(err) < 0 && time.Since(time.Unix(0, at)) >= pingTaken {
				c.Kill(NoPong)
			}
			return
		}
		c.heard.Store(time.Now().UnixNano())
		if kind != websocket.MessageText {
			c.Close(websocket.StatusUnsupportedData, "send JSON-RPC as text messages")
			return
		}
		select { // before its body is read: a message that waits holds nothing
		case c.slots <- struct{}{}:
		case <-c.ending:
		}
		if !c.begin() {
			<-c.base.Done() // what ends the connection has the last word
			return
		}
		work, err := h.Receive(ctx, c, message)
		if work == nil {
			c.over()
		} else {
			go func() {
				defer c.over()
				work()
			}()
		}
		if err != nil {
			var why websocket.CloseError
			if errors.As(err, &why) {
				c.Close(why.Code, why.Reason)
			}
			return
		}
	}
}

// over ends a message that ran.
func (c *Conn) over() {
	<-c.slots
	c.works.Done()
}

// begin counts a message that runs; false when none is run any more.
func (c *Conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quit {
		return false
	}
	c.works.Add(1)
	return true
}

// stop takes no further messages.
func (c *Conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.quit {
		c.quit = true
		close(c.ending)
	}
}

// finish drops the queue; nothing is queued after it. False when that was done before.
func (c *Conn) finish() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return false
	}
	c.gone = true
	for _, e := range c.queue.clear() {
		c.pool.release(e.text)
	}
	c.end()
	return true
}

// Context is that of Place; it ends when nothing is sent any more.
func (c *Conn) Context() context.Context { return c.base }

// Close ends the connection with a code and a reason that the client reads.
func (c *Conn) Close(code websocket.StatusCode, reason string) {
	if c.finish() {
		c.stop()
		c.say(code, reason)
	}
}

// goodbye is how long a client has to take the close frame, and to answer with its own.
const goodbye = 10 * time.Second

// say sends the close frame, and waits a moment for the client's.
func (c *Conn) say(code websocket.StatusCode, reason string) {
	late := time.AfterFunc(goodbye, c.hangUp) // the library would read the rest of a message first
	defer late.Stop()
	if ws := c.socket(); ws != nil {
		_ = ws.Close(code, reason)
	}
}

// hangUp closes the connection as it is.
func (c *Conn) hangUp() {
	c.mu.Lock()
	wire := c.wire
	c.mu.Unlock()
	if wire != nil {
		_ = wire.Close()
	}
}

// socket is nil as long as Serve has not begun.
func (c *Conn) socket() *websocket.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ws
}

// closings are what a client reads that is cut off. All may come again, so it is 1013, but for those that broke a rule.
var closings = map[Why]struct {
	code   websocket.StatusCode
	reason string
}{
	SlowReader: {websocket.StatusPolicyViolation, "too slow: what waits to be read is over the limit (limits.socket_kib): read faster, or subscribe to less"},
	NoMemory:   {websocket.StatusTryAgainLater, "too slow: what waits for all clients is over the limit (limits.responses_mib)"},
	NoProgress: {websocket.StatusPolicyViolation, "too slow: what was sent was not read in time (limits.send_timeout, limits.send_rate)"},
	NoPong:     {websocket.StatusPolicyViolation, "no pong: a ping was not answered (limits.idle_timeout)"},
	Displaced:  {websocket.StatusTryAgainLater, "another address needs the place of this connection (limits.sockets)"},
	Behind:     {websocket.StatusTryAgainLater, "the node fell behind its own chain: subscribe again, from the last block that you know"},
}

// Cut ends the connection of a client that the node does not bear, and tells the client why. It does not block.
func (c *Conn) Cut(why Why) {
	if c.book(why) {
		closing := closings[why]
		go c.say(closing.code, closing.reason)
	}
}

// Kill is Cut when there is no time for words: what is on its way to the client holds memory that others wait for.
func (c *Conn) Kill(why Why) {
	if c.book(why) {
		go c.hangUp()
	}
}

// book notes that the client is cut off; false when the connection is at its end already.
func (c *Conn) book(why Why) bool {
	if !c.finish() {
		return false
	}
	c.stop()
	c.pool.mu.Lock()
	c.pool.cut[why]++
	c.pool.mu.Unlock()
	if c.pool.limits.Cut != nil {
		c.pool.limits.Cut(c, why)
	}
	return true
}

// drain ends the connection of a node that stops, see Pool.Shutdown.
func (c *Conn) drain(ctx context.Context) {
	c.stop()
	idle := make(chan struct{})
	go func() { c.works.Wait(); close(idle) }()
	select {
	case <-idle:
		_ = c.Drained(ctx, 0)
	case <-ctx.Done():
	}
	if ctx.Err() == nil {
		c.Close(websocket.StatusGoingAway, ErrClosing.Error())
	} else {
		c.abandon()
	}
}

// abandon ends the connection without a word.
func (c *Conn) abandon() {
	c.finish()
	c.hangUp()
}

// Queue puts a notification behind the others. All that has the same number is what one change brings: it is taken together, when there is
// room before the first of it. A client whose queue has no room is cut off.
func (c *Conn) Queue(change uint64, head string, text *subscriptions.Fragment) {
	c.mu.Lock()
	why := Why("")
	switch {
	case c.gone:
	case c.queue.change != change && c.queue.bytes-c.queue.paced >= c.pool.limits.Queue:
		why = SlowReader
	default:
		c.queue.change = change
		why = c.put(entry{head, text, false})
	}
	c.mu.Unlock()
	if why != "" {
		c.Cut(why)
	}
}

// Paced is Queue for a sender that waits with Drained until there is room: what it puts there takes no room from changes.
func (c *Conn) Paced(head string, text *subscriptions.Fragment) {
	c.mu.Lock()
	why := Why("")
	if !c.gone {
		why = c.put(entry{head, text, true})
	}
	c.mu.Unlock()
	if why != "" {
		c.Cut(why)
	}
}

// put adds to the queue. The lock is held.
func (c *Conn) put(e entry) Why {
	fits := c.pool.hold(e.text)
	c.queue.add(e)
	if !fits && c.queue.bytes > little {
		return NoMemory
	}
	return ""
}

// Hold keeps notifications in the queue until release is called, so that the answer about a subscription goes first.
func (c *Conn) Hold() (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue.held++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.queue.held--
		c.queue.wake()
	}
}

// Drained waits until no more than so many bytes are not taken by the system.
func (c *Conn) Drained(ctx context.Context, bytes int64) error {
	for {
		c.mu.Lock()
		if c.queue.bytes <= bytes {
			c.mu.Unlock()
			return nil
		}
		if c.queue.drained == nil {
			c.queue.drained = make(chan struct{})
		}
		drained := c.queue.drained
		c.mu.Unlock()
		select {
		case <-drained:
		case <-c.base.Done():
			return ErrClosing
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
