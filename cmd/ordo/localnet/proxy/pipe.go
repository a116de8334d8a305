package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/ordo-sequencer/ordo/cmd/ordo/localnet/faults"
)

// What is on its way in one direction of a connection: pieces, and bytes of a piece. A sender waits when they are spent, as in a real network.
const (
	maxPieces = 256
	pieceSize = 32 << 10
)

// pipe is one direction of a connection.
type pipe struct {
	from, to net.Conn
	fault    *atomic.Pointer[faults.Fault]
	rand     *rand.Rand
}

// piece is what was read at once, and when it arrives.
type piece struct {
	data []byte
	at   time.Time
	over bool // the sender has closed its side
}

// run passes bytes on until the sender closes its side, which it passes on too, or there is an error.
func (p *pipe) run(ctx context.Context) (closed bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pieces := make(chan piece, maxPieces)
	go p.read(ctx, pieces)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var next piece
		var ok bool
		select {
		case next, ok = <-pieces:
		case <-ctx.Done():
			return false
		}
		if !ok {
			return false
		}
		if wait := time.Until(next.at); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return false
			}
		}
		if next.over {
			if half, is := p.to.(interface{ CloseWrite() error }); is {
				return half.CloseWrite() == nil
			}
			return false
		}
		if _, err := p.to.Write(next.data); err != nil {
			return false
		}
	}
}

// read takes bytes as they come and says when they arrive. The channel is closed at an error.
func (p *pipe) read(ctx context.Context, pieces chan<- piece) {
	defer close(pieces)
	s := schedule{rand: p.rand}
	buffer := make([]byte, pieceSize)
	for {
		n, err := p.from.Read(buffer)
		if n > 0 && !put(ctx, pieces, piece{data: bytes.Clone(buffer[:n]), at: s.arrival(time.Now(), n, *p.fault.Load())}) {
			return
		}
		if errors.Is(err, io.EOF) {
			put(ctx, pieces, piece{over: true, at: s.last})
			return
		}
		if err != nil {
			return
		}
	}
}

func put(ctx context.Context, pieces chan<- piece, one piece) bool {
	select {
	case pieces <- one:
		return true
	case <-ctx.Done():
		return false
	}
}

// schedule says when bytes arrive. It has no clock of its own.
type schedule struct {
	rand *rand.Rand
	sent time.Time // when the last byte had left, at the rate of the line
	last time.Time // when it arrives: bytes keep their order
}

func (s *schedule) arrival(now time.Time, size int, f faults.Fault) time.Time {
	if s.sent.Before(now) {
		s.sent = now
	}
	if f.Rate > 0 {
		s.sent = s.sent.Add(time.Duration(float64(size) / float64(f.Rate) * float64(time.Second)))
	}
	at := s.sent.Add(f.Delay)
	if f.Jitter > 0 {
		at = at.Add(time.Duration(s.rand.Int64N(int64(f.Jitter) + 1)))
	}
	if at.Before(s.last) {
		at = s.last
	}
	s.last = at
	return at
}
