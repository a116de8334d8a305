package network

import (
	"errors"
	"io"
	"math"
	"strings"
	"time"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/internal/grpcerr"
	"github.com/ordo-sequencer/ordo/core/network/peer"
	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// receive reads the next frame of a stream. When there is none, or it is wrong, the link ends and ok is false. After the end of a
// link what still comes is read and thrown away, so that the last frame of this side can leave.
func (l *link) receive(s stream, in *inbox) (ok bool) {
	for {
		err := s.RecvMsg(in)
		switch {
		case l.ctx.Err() != nil && err == nil:
			continue
		case l.ctx.Err() != nil:
			return false
		case err != nil:
			l.end(brokenStream(err))
			return false
		case in.garbage != nil:
			l.fail("a frame of %d bytes that is no message of this protocol", in.bytes)
			continue
		}
		l.lastIn.Store(time.Now().UnixNano())
		return true
	}
}

// brokenStream is why nothing can be read from a stream any more.
func brokenStream(err error) *endError {
	if size, limit, ok := grpcerr.ReceivedTooLarge(err); ok {
		return misbehaved("a frame of %d bytes, at most %d are allowed", size, limit)
	}
	if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
		return &endError{text: "the connection was closed", theirs: true}
	}
	return &endError{text: "the connection broke: " + clean(status.Convert(err).Message())}
}

// charge takes a cost from the budget of the peer; beyond it the link ends.
func (l *link) charge(c peer.Cost, n int) {
	l.mu.Lock()
	err := l.budget.Charge(c, n, time.Now())
	l.mu.Unlock()
	if err != nil {
		l.fail("%v", err)
	}
}

// useless counts a frame that has no effect, for a reason.
func (l *link) useless(why uselessReason) {
	l.counts.useless[why].Add(1)
	l.charge(peer.Useless, 1)
}

// hand calls the core, which may take its time: the peer is not silent meanwhile.
func (l *link) hand(f func()) {
	l.reading.Add(1)
	f()
	l.lastIn.Store(time.Now().UnixNano())
	l.reading.Add(-1)
}

func (l *link) readControl(s stream) {
	for {
		frame := &wire.ControlFrame{}
		in := &inbox{frame: frame}
		if !l.receive(s, in) {
			return
		}
		l.counts.in[peer.Control].add(in.bytes)
		l.charge(peer.Messages, 1)
		l.charge(peer.Bytes, in.bytes)
		if l.ctx.Err() == nil {
			l.controlFrame(frame)
		}
	}
}

func (l *link) controlFrame(f *wire.ControlFrame) {
	switch f := f.Frame.(type) {
	case *wire.ControlFrame_Head:
		l.headFrame(f.Head)
	case *wire.ControlFrame_Consensus:
		l.consensusFrame(f.Consensus)
	case *wire.ControlFrame_Goodbye:
		g := f.Goodbye
		l.end(&endError{reason: g.GetReason(), text: clean(g.GetText()), theirs: true})
	case *wire.ControlFrame_Hello:
		l.fail("a second Hello")
	default:
		l.fail("an empty control frame")
	}
}

func (l *link) headFrame(f *wire.Head) {
	if f.GetHeight() == 0 && len(f.GetValue()) == 0 {
		return // it is there, and has no head yet
	}
	if len(f.GetValue()) != len(Value{}) {
		l.fail("a head with a value of %d bytes", len(f.GetValue()))
		return
	}
	h := Head{Height: f.Height, Value: Value(f.Value)}
	l.mu.Lock()
	old, known := l.head, l.hasHead
	l.head, l.hasHead = h, true
	l.mu.Unlock()
	switch {
	case known && h.Height < old.Height:
		l.useless(headBack)
	case !known || h != old:
		l.n.headChanged(l, h)
		l.hand(func() { l.n.o.Receiver.Head(l.id, h) })
	}
}

func (l *link) consensusFrame(m *wire.Consensus) {
	limits := l.n.o.Limits
	switch size := len(m.GetData()); {
	case l.follower:
		l.fail("a consensus message of a follower")
		return
	case size > limits.Message:
		l.fail("a consensus message of %d bytes, at most %d are allowed (network.message_bytes)", size, limits.Message)
		return
	}
	l.mu.Lock()
	head, hasHead := l.head, l.hasHead
	digest := l.repeats.Digest(m.Data) ^ m.Height
	repeated := !l.repeats.Add(digest)
	l.mu.Unlock()
	ahead := uint64(limits.Ahead)
	if hasHead && m.Height > head.Height+ahead {
		l.fail("a consensus message of height %d, the head of its sender is %d", m.Height, head.Height)
		return
	}
	own, announced := l.n.Head()
	switch {
	case announced && m.Height < own.Height: // one of the height just decided was perhaps on its way
		l.useless(late)
		return
	case announced && m.Height > own.Height+ahead:
		l.counts.early.Add(1) // this node is behind: not a fault of the peer
		return
	}
	if repeated { // a protocol that resends by a timer: allowed, within the budget
		l.useless(repeat)
	}
	l.hand(func() { l.n.o.Receiver.Message(l.id, m.Height, m.Data) })
}

func (l *link) readBulk(s stream) {
	defer l.n.bodies.leave(l.id)
	for {
		frame := &wire.BulkFrame{}
		in := &inbox{frame: frame}
		if !l.receive(s, in) {
			return
		}
		answer := frame.GetAnswer()
		if answer == nil { // answers were asked for, and have bounds of their own
			l.charge(peer.Bytes, in.bytes)
		}
		if l.ctx.Err() != nil {
			continue
		}
		switch f := frame.Frame.(type) {
		case *wire.BulkFrame_Transactions:
			l.counts.in[peer.Gossip].add(in.bytes)
			l.transactionsFrame(f.Transactions)
		case *wire.BulkFrame_BodyPart:
			l.counts.in[peer.Bodies].add(in.bytes)
			l.partFrame(f.BodyPart)
		case *wire.BulkFrame_Request:
			l.counts.in[peer.Fetches].add(in.bytes)
			l.requestFrame(f.Request)
		case *wire.BulkFrame_Answer:
			l.counts.in[peer.Fetches].add(in.bytes)
			l.answerFrame(f.Answer)
		default:
			l.fail("an empty bulk frame")
		}
	}
}

// transactionsFrame queues for admission what this node has not seen. What does not fit is dropped: the node that admitted it has it.
func (l *link) transactionsFrame(f *wire.Transactions) {
	limits := l.n.o.Limits
	if n := len(f.GetTransactions()); n == 0 || n > limits.BatchCount {
		l.fail("a batch of %d transactions, 1 to %d are allowed (network.batch_count)", n, limits.BatchCount)
		return
	}
	bytes, fresh := 0, make([][]byte, 0, len(f.Transactions))
	for _, tx := range f.Transactions {
		if bytes += len(tx); len(tx) == 0 || bytes > limits.BatchBytes {
			l.fail("a batch with %d bytes of transactions, or an empty one: at most %d are allowed (network.batch_bytes)", bytes, limits.BatchBytes)
			return
		}
	}
	for _, tx := range f.Transactions {
		digest := l.got.Digest(tx)
		l.mu.Lock()
		repeated := !l.got.Add(digest)
		l.mu.Unlock()
		if repeated {
			l.useless(repeat)
		}
		if l.n.firstSeen(digest) { // or dropped when it came before
			fresh = append(fresh, tx)
		}
	}
	if len(fresh) == 0 || l.inbound.put(fresh) {
		return
	}
	l.counts.inboundDropped.Add(uint64(len(fresh)))
	for _, tx := range fresh {
		l.n.forget(l.got.Digest(tx))
	}
}

// forgetInbound makes what was not admitted before the link ended new again, so that it is taken from another peer.
func (l *link) forgetInbound() {
	batch, done := l.inbound.take(math.MaxInt)
	defer done()
	for _, tx := range batch {
		l.n.forget(l.got.Digest(tx))
	}
}

// admit hands transactions to the core, one batch at a time.
func (l *link) admit() {
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.inbound.more:
			batch, done := l.inbound.take(l.n.o.Limits.BatchCount)
			if invalid := l.n.o.Receiver.Transactions(l.id, batch); invalid > 0 {
				l.counts.invalid.Add(uint64(invalid))
				l.charge(peer.Invalid, invalid)
			}
			done()
		}
	}
}

// clean makes text of a peer fit for a log: one line, printable, short.
func clean(text string) string {
	const most = 400
	cut := len(text) > 2*most // before all that follows looks at it
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) { // what moves a cursor, colours or turns text around, too
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), 2*most)], "?"))
	if cut || len(text) > most {
		text = strings.ToValidUTF8(text[:min(len(text), most)], "") + "..."
	}
	return text
}
