package network

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/network/peer"
	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// answerBytes is after how many bytes of blocks an answer ends before its end: the rest is asked for again.
const answerBytes = 16 << 20

// fetch is a request on its way. Its functions are called from the goroutine that reads bulk, and must not wait.
type fetch struct {
	id    uint64
	most  int // bytes of an item
	total int // bytes that all items may have before the answer is too large
	alive func()
	item  func(data []byte) error // an error is the fault of the peer
	done  func(found bool)

	buffer []byte
}

// ask sends a request; false: it was not sent, and f is not called.
func (l *link) ask(f *fetch, r *wire.Request) bool {
	l.mu.Lock()
	f.id = l.n.requestID.Add(1)
	l.pending[f.id] = f
	l.lastAsked = f.id
	l.mu.Unlock()
	r.Id = f.id
	frame := encode(&wire.BulkFrame{Frame: &wire.BulkFrame_Request{Request: r}})
	if l.ctx.Err() == nil && l.push(peer.Item{Class: peer.Fetches, Bytes: len(frame), Frame: frame}) == peer.Queued {
		return true
	}
	return !l.cancel(f.id)
}

// cancel gives up on a request; false: it has ended already.
func (l *link) cancel(id uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, ok := l.pending[id]
	if ok {
		l.release(f)
		delete(l.pending, id)
	}
	return ok
}

// release gives back what an answer holds. The lock is held.
func (l *link) release(f *fetch) {
	l.n.arriving.Add(-int64(len(f.buffer)))
	f.buffer = nil
}

func (l *link) takePending() (list []*fetch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, f := range l.pending {
		l.release(f)
		list = append(list, f)
		delete(l.pending, id)
	}
	return list
}

// fairBuffer is what an answer may hold though many others hold much.
const fairBuffer = 1 << 20

// take adds a piece to its answer, and gives the item when it is whole. Without a fetch the answer is one that was given up; full: it has to be,
// because too much of many answers is on its way, and this is a large one.
func (l *link) take(a *wire.Answer) (f *fetch, item []byte, full bool, fault error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f = l.pending[a.GetId()]
	switch {
	case f == nil && (a.Id == 0 || a.Id > l.lastAsked):
		return nil, nil, false, fmt.Errorf("an answer to request %d, which was never put", a.Id)
	case f == nil:
		return nil, nil, false, nil
	case len(a.Data) > l.n.o.Limits.Part:
		return f, nil, false, fmt.Errorf("a piece of an answer with %d bytes, at most %d are allowed (network.part_bytes)", len(a.Data), l.n.o.Limits.Part)
	case len(f.buffer)+len(a.Data) > f.most:
		return f, nil, false, fmt.Errorf("an answer with more than %d bytes (network.body_bytes)", f.most)
	}
	if f.total -= len(a.Data); f.total < 0 || len(a.Data) == 0 && !a.ItemEnd && a.Status == wire.Answer_MORE {
		return f, nil, false, errors.New("an answer that is longer than what was asked for, or without an end")
	}
	f.buffer = append(f.buffer, a.Data...)
	full = l.n.arriving.Add(int64(len(a.Data))) > int64(l.n.o.Limits.Bodies/2) && len(f.buffer) > fairBuffer
	if a.ItemEnd {
		item = f.buffer
		l.release(f)
	}
	return f, item, full, nil
}

// answerFrame takes a piece of an answer.
func (l *link) answerFrame(a *wire.Answer) {
	f, item, full, fault := l.take(a)
	switch {
	case fault != nil:
		l.fail("%v", fault)
		return
	case f == nil: // it was given up
		l.useless(unasked)
		l.charge(peer.Bytes, len(a.Data))
		return
	}
	f.alive()
	if a.ItemEnd {
		if err := f.item(item); err != nil {
			l.fail("a wrong answer: %v", err)
			return
		}
	}
	if (full || a.Status != wire.Answer_MORE) && l.cancel(f.id) {
		f.done(a.Status == wire.Answer_DONE)
	}
}

// requestFrame queues a request of the peer.
func (l *link) requestFrame(r *wire.Request) {
	switch what := r.GetWhat().(type) {
	case *wire.Request_Body:
		if len(what.Body) != len(Value{}) {
			l.fail("a request for a body with a value of %d bytes", len(what.Body))
			return
		}
	case *wire.Request_Blocks_:
		if c := what.Blocks.GetCount(); c == 0 || int(c) > l.n.o.Limits.Serve {
			l.fail("a request for %d blocks, 1 to %d are allowed (network.blocks_per_request)", c, l.n.o.Limits.Serve)
			return
		}
	default:
		l.fail("a request for nothing")
		return
	}
	l.charge(peer.Requests, 1)
	select {
	case l.requests <- r:
	default:
		l.fail("more than %d requests at a time", maxRequests)
	}
}

// serve answers the requests of the peer, one after the other.
func (l *link) serve() {
	for {
		select {
		case <-l.ctx.Done():
			return
		case r := <-l.requests:
			a := &answer{l: l, id: r.Id, group: l.n.groups.Add(1)}
			status := wire.Answer_NOT_FOUND
			switch what := r.What.(type) {
			case *wire.Request_Body:
				if data := l.n.bodies.served(Value(what.Body)); data != nil && a.item(data) {
					status = wire.Answer_DONE
				}
			case *wire.Request_Blocks_:
				status = l.blocks(a, what.Blocks)
			}
			a.send(&wire.Answer{Status: status})
		}
	}
}

// blocks answers with decided blocks, as many as there are, and not more bytes than an answer may have.
func (l *link) blocks(a *answer, r *wire.Request_Blocks) wire.Answer_Status {
	sent := 0
	for i := range uint64(r.Count) {
		height := r.From + i
		if height < r.From {
			return wire.Answer_NOT_FOUND
		}
		b, err := l.n.o.Source.Block(l.ctx, height)
		if err != nil && l.ctx.Err() == nil {
			l.n.o.Log.Warn("block for a peer cannot be read", "height", height, "error", err)
		}
		if err != nil || b == nil {
			return wire.Answer_NOT_FOUND
		}
		data, err := proto.Marshal(&wire.Block{Height: height, Value: b.Value[:], Body: b.Body, Certificate: b.Certificate})
		if err == nil && len(data) > l.n.o.Limits.Body {
			err = fmt.Errorf("it has %d bytes, peers take %d (network.body_bytes)", len(data), l.n.o.Limits.Body)
		}
		if err != nil {
			l.n.o.Log.Warn("block cannot be sent to a peer", "height", height, "peer", l.id.Short(), "error", err)
		}
		if err != nil || !a.item(data) {
			return wire.Answer_NOT_FOUND
		}
		if sent += len(data); sent >= answerBytes {
			break
		}
	}
	return wire.Answer_DONE
}

// answer is one that this node gives.
type answer struct {
	l     *link
	id    uint64
	group uint64
}

// item sends one item in pieces. It waits for room, so that a request costs no memory that the peer does not read.
func (a *answer) item(data []byte) bool {
	for {
		piece := data[:min(len(data), a.l.n.o.Limits.Part)]
		data = data[len(piece):]
		if !a.l.roomForAnswer() || !a.send(&wire.Answer{Data: piece, ItemEnd: len(data) == 0}) {
			return false
		}
		if len(data) == 0 {
			return true
		}
	}
}

func (a *answer) send(f *wire.Answer) bool {
	f.Id = a.id
	frame := encode(&wire.BulkFrame{Frame: &wire.BulkFrame_Answer{Answer: f}})
	i := peer.Item{Class: peer.Fetches, Group: a.group, Last: f.Status != wire.Answer_MORE, Bytes: len(frame), Frame: frame}
	return a.l.push(i) == peer.Queued
}

// roomForAnswer waits until few bytes of answers wait to be sent.
func (l *link) roomForAnswer() bool {
	for l.ctx.Err() == nil {
		l.mu.Lock()
		waiting := l.queue.ClassBytes(peer.Fetches)
		l.mu.Unlock()
		if waiting < 4*l.n.o.Limits.Part {
			return true
		}
		select {
		case <-l.room:
		case <-l.ctx.Done():
		}
	}
	return false
}

// KeepBody adds a proposal that this node has verified, or built without publishing it: it is served to peers until its height is decided.
func (n *Network) KeepBody(height uint64, v Value, data []byte) { n.bodies.keep(height, v, data) }

// slowest is how many times Limits.Fetch a whole body or block may take.
const slowest = 3

// fetchPause is how long FetchBody waits after it has asked all peers.
const fetchPause = 100 * time.Millisecond

// FetchBody is the proposal with a value: one that came already, or that is coming from the peer, or else from any validator that is asked for it, this peer
// first. It does not check that the body has the value: Validate does. It tries until ctx ends.
func (n *Network) FetchBody(ctx context.Context, height uint64, v Value, from ID) (*Body, error) {
	for {
		if b := n.bodies.find(v, from); b != nil {
			return b, nil
		}
		if n.awaitPublication(ctx, height, v, from) {
			continue
		}
		asked := 0
		links := n.allLinks(true)
		for first := range 2 {
			for _, l := range links {
				if (l.id == from) != (first == 0) {
					continue
				}
				asked++
				if data := n.fetchBody(ctx, l, v); data != nil {
					return &Body{Data: data, From: l.id}, nil
				}
				if b := n.bodies.find(v, from); b != nil {
					return b, nil
				}
			}
		}
		_, changed := n.bodies.arriving(from, height)
		select {
		case <-ctx.Done():
		case <-n.ctx.Done():
			return nil, errStopped
		case <-changed:
		case <-time.After(fetchPause):
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("body of height %d: %w, %d were asked: %w", height, ErrNotFound, asked, ctx.Err())
		}
	}
}

// awaitPublication waits while a proposal of the peer comes in; true: the body is there.
func (n *Network) awaitPublication(ctx context.Context, height uint64, v Value, from ID) bool {
	timer := time.NewTimer(n.o.Limits.Fetch)
	defer timer.Stop()
	for {
		on, changed := n.bodies.arriving(from, height)
		if n.bodies.find(v, from) != nil {
			return true
		}
		if !on {
			return false
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// fetchBody asks one peer for a body; nil: it has none, or did not answer in time.
func (n *Network) fetchBody(ctx context.Context, l *link, v Value) []byte {
	var data []byte
	alive, done := make(chan struct{}, 1), make(chan bool, 1)
	f := &fetch{most: n.o.Limits.Body, total: n.o.Limits.Body, alive: func() { signal(alive) }, done: func(found bool) { done <- found }}
	f.item = func(d []byte) error {
		if data != nil {
			return errors.New("two bodies for one request")
		}
		data = d
		return nil
	}
	if !l.ask(f, &wire.Request{What: &wire.Request_Body{Body: v[:]}}) {
		return nil
	}
	timer, latest := time.NewTimer(n.o.Limits.Fetch), time.Now().Add(slowest*n.o.Limits.Fetch)
	defer timer.Stop()
	for {
		select {
		case <-alive:
			timer.Reset(max(0, min(n.o.Limits.Fetch, time.Until(latest))))
		case found := <-done:
			if !found {
				return nil
			}
			return data
		case <-timer.C:
			if l.cancel(f.id) {
				n.fetchTimeouts.Add(1)
				return nil
			}
		case <-ctx.Done():
			if l.cancel(f.id) {
				return nil
			}
		}
	}
}
