package socket

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/coder/websocket"

	"github.com/ordo-sequencer/ordo/core/subscriptions"
)

// entry is a notification that waits.
type entry struct {
	head  string // what stands before the text
	text  *subscriptions.Fragment
	paced bool // it was put there when there was room
}

// tail stands behind the text of every notification.
const tail = "}}"

// Head is what stands before the text of a notification of a subscription.
func Head(method, subscription string) string {
	return `{"jsonrpc":"2.0","method":"` + method + `","params":{"subscription_id":"` + subscription + `","result":`
}

func (e entry) size() int64 { return int64(len(e.head) + len(e.text.Text) + len(tail)) }

// queue is what waits for one connection. The lock of the connection protects it.
type queue struct {
	list    []entry
	bytes   int64 // of all in the list, and of what the writer has
	paced   int64 // of those that are paced
	sending []entry
	change  uint64
	held    int
	ready   chan struct{} // capacity 1
	drained chan struct{} // closed when something was sent; nil when nothing waits for that
}

func (q *queue) add(e entry) {
	q.list = append(q.list, e)
	q.count(e, 1)
	q.wake()
}

func (q *queue) count(e entry, sign int64) {
	q.bytes += sign * e.size()
	if e.paced {
		q.paced += sign * e.size()
	}
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *queue) clear() (list []entry) {
	list, q.list = q.list, nil
	for _, e := range list {
		q.count(e, -1)
	}
	return list
}

// portion is how much is written at a time.
const portion = 64 << 10

// take hands the writer the next portion.
func (q *queue) take() (list []entry) {
	if q.held > 0 {
		return nil
	}
	n, size := 0, int64(0)
	for n < len(q.list) && (n == 0 || size < portion) {
		size += q.list[n].size()
		n++
	}
	list = q.list[:n:n]
	if q.list = q.list[n:]; len(q.list) == 0 {
		q.list = nil
	}
	q.sending = list
	return list
}

func (q *queue) sent() {
	for _, e := range q.sending {
		q.count(e, -1)
	}
	q.sending = nil
	if q.drained != nil {
		close(q.drained)
		q.drained = nil
	}
}

// send is the writer: it sends what is queued, and pings a client that is silent.
func (c *Conn) send(ctx context.Context) {
	var text []byte
	silent := time.NewTicker(max(c.pool.limits.Idle/2, time.Millisecond))
	defer silent.Stop()
	for {
		c.mu.Lock()
		list := c.queue.take()
		c.mu.Unlock()
		if len(list) > 0 {
			text = c.sendAll(list, text)
			c.mu.Lock()
			for _, e := range list {
				c.pool.release(e.text)
			}
			c.queue.sent()
			c.mu.Unlock()
			continue
		}
		select {
		case <-c.queue.ready:
		case <-silent.C:
			c.ping(ctx)
		case <-c.base.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// sendAll writes notifications, as few times as possible.
func (c *Conn) sendAll(list []entry, text []byte) []byte {
	size := 0
	for _, e := range list {
		size += int(e.size())
	}
	_ = c.exclusively(size, func(ctx context.Context) (err error) {
		c.wire.Cork()
		for i := 0; i < len(list) && err == nil && c.base.Err() == nil; i++ {
			text = append(append(append(text[:0], list[i].head...), list[i].text.Text...), tail...)
			err = c.ws.Write(ctx, websocket.MessageText, text)
		}
		return errors.Join(err, c.wire.Uncork()) // also after an error: the close frame may be in it
	})
	if cap(text) > portion {
		return nil
	}
	return text
}

// exclusively runs what sends one or more whole messages. A client that does not take them in the time that Limits.Send gives is cut
// off; when sending fails in another way the connection is at its end, which the reader sees.
func (c *Conn) exclusively(size int, send func(context.Context) error) error {
	select {
	case c.writing <- struct{}{}:
	case <-c.base.Done():
		return ErrClosing
	}
	defer func() { <-c.writing }()
	late := time.AfterFunc(c.pool.limits.Send(size), func() { c.Kill(NoProgress) })
	defer late.Stop()
	err := send(c.serve)
	if err != nil && c.base.Err() == nil { // else the connection is being closed
		c.hangUp()
	}
	return err
}

// Write sends one message.
func (c *Conn) Write(text []byte) error {
	return c.exclusively(len(text), func(ctx context.Context) error {
		return c.ws.Write(ctx, websocket.MessageText, text)
	})
}

// Begin begins a message that is sent in pieces. Nothing else is sent before it is closed. The caller ends the connection when the client
// makes no progress, or when the message cannot be sent to its end.
func (c *Conn) Begin() (io.WriteCloser, error) {
	select {
	case c.writing <- struct{}{}:
	case <-c.base.Done():
		return nil, ErrClosing
	}
	w, err := c.ws.Writer(c.serve, websocket.MessageText)
	if err != nil {
		<-c.writing
		return nil, err
	}
	return &message{w, c}, nil
}

type message struct {
	io.WriteCloser
	conn *Conn
}

func (m *message) Close() error {
	defer func() { <-m.conn.writing }()
	return m.WriteCloser.Close()
}

// pingTaken is how long the library lets a ping wait to be written.
const pingTaken = 5 * time.Second

// ping asks a client for a sign that was silent for a while and has no message that runs.
func (c *Conn) ping(ctx context.Context) {
	idle := c.pool.limits.Idle / 2
	now := time.Now()
	if len(c.slots) > 0 || now.Sub(time.Unix(0, c.heard.Load())) < idle || !c.pinged.CompareAndSwap(0, now.UnixNano()) {
		return
	}
	go func() {
		done := make(chan struct{})
		defer close(done)
		go c.awaitPong(done, idle)
		if c.ws.Ping(ctx) == nil {
			c.heard.Store(time.Now().UnixNano())
			c.pinged.Store(0)
		}
	}()
}

// awaitPong cuts a client off whose pong does not come.
func (c *Conn) awaitPong(done <-chan struct{}, idle time.Duration) {
	for {
		select {
		case <-done:
			return
		case <-time.After(idle):
			if len(c.slots) == 0 { // else its pong may not have been looked at
				c.Cut(NoPong)
				return
			}
		}
	}
}
