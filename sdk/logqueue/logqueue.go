// Package logqueue writes log lines on a goroutine of its own, so that a stalled reader of the log never holds a writer up.
// A terminal that is held, a pipe without a reader and a full disk cost lines, which are counted.
package logqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Options bound what may wait to be written. Zero values take the default.
type Options struct {
	Bytes int // 1 MiB
	Lines int // 8192
	// Dropped makes the line that tells of lines that had to be dropped; nil: a plain one.
	Dropped func(lines, bytes int) []byte
}

// share is the part of the bounds that lines below the level error may fill: the rest is kept for errors, so that they are
// still there when a reader comes back.
const shareNum, shareDen = 3, 4

// Queue is an io.Writer and a hclog.LevelWriter whose writes never wait and never fail. Each write is one record, of whole
// lines.
type Queue struct {
	to      io.Writer
	options Options

	mu       sync.Mutex
	waiting  []byte // not handed to the file yet
	lines    int    // in it
	inFlight int    // bytes that are being written
	dropped  loss   // since the last line that told of it
	accepted uint64 // records ever taken
	finished uint64 // of those, written or given up
	moved    chan struct{}
	closed   bool

	wake chan struct{}
	done chan struct{}
}

// loss counts what was dropped.
type loss struct{ lines, bytes int }

func (l *loss) add(p []byte) {
	l.lines += max(1, bytes.Count(p, []byte{'\n'}))
	l.bytes += len(p)
}

var _ hclog.LevelWriter = (*Queue)(nil)

// New makes a queue before a file and starts the goroutine that writes to it.
func New(to io.Writer, o Options) *Queue {
	if o.Bytes == 0 {
		o.Bytes = 1 << 20
	}
	if o.Lines == 0 {
		o.Lines = 8192
	}
	if o.Dropped == nil {
		o.Dropped = func(lines, bytes int) []byte {
			return fmt.Appendf(nil, "%d lines (%d bytes) were dropped here: they could not be written in time\n", lines, bytes)
		}
	}
	q := &Queue{to: to, options: o, moved: make(chan struct{}), wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// Write queues a record of the usual urgency.
func (q *Queue) Write(p []byte) (int, error) { return q.put(p, false) }

// LevelWrite is how hclog writes: errors may fill the whole queue, the rest only a part of it.
func (q *Queue) LevelWrite(level hclog.Level, p []byte) (int, error) {
	return q.put(p, level >= hclog.Error)
}

func (q *Queue) put(p []byte, urgent bool) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	size, lines := q.options.Bytes, q.options.Lines
	if !urgent {
		size, lines = size/shareDen*shareNum, lines/shareDen*shareNum
	}
	if q.closed || len(q.waiting)+q.inFlight+len(p) > size || q.lines >= lines {
		q.dropped.add(p)
		return len(p), nil
	}
	q.waiting = append(q.waiting, p...)
	q.lines++
	q.accepted++
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(p), nil
}

// run writes what waits, all of it at once.
func (q *Queue) run() {
	defer close(q.done)
	var buffer []byte
	var before loss // that no line has told of yet, because the file takes none
	for range q.wake {
		q.mu.Lock()
		batch, last, after := q.waiting, q.accepted, q.dropped
		q.waiting, q.lines, q.inFlight, q.dropped = buffer[:0], 0, len(batch), loss{}
		q.mu.Unlock()

		before = q.tell(before)
		if before.lines > 0 {
			before.add(batch)
		} else if rest := q.write(batch); len(rest) > 0 {
			before.add(rest)
		}
		before.lines, before.bytes = before.lines+after.lines, before.bytes+after.bytes
		if after.lines > 0 {
			before = q.tell(before)
		}
		buffer = batch

		q.mu.Lock()
		q.inFlight, q.finished = 0, last
		close(q.moved)
		q.moved = make(chan struct{})
		q.mu.Unlock()
	}
}

// tell writes the line about a loss and returns what it could not tell.
func (q *Queue) tell(l loss) loss {
	if l.lines == 0 || len(q.write(q.options.Dropped(l.lines, l.bytes))) > 0 {
		return l
	}
	return loss{}
}

// busy is how long the queue waits before it tries a file again that takes nothing and does not block.
const busy = 20 * time.Millisecond

// write returns what the file did not take.
func (q *Queue) write(p []byte) []byte {
	for len(p) > 0 {
		n, err := q.to.Write(p)
		p = p[max(0, min(n, len(p))):]
		switch {
		case err == nil && n <= 0:
			return p
		case err == nil:
		case errors.Is(err, syscall.EAGAIN): // a terminal that another process has made non-blocking
			time.Sleep(busy)
		case errors.Is(err, syscall.EINTR):
		default:
			return p
		}
	}
	return nil
}

// Flush waits until everything that was queued before is written, or cannot be, or the context ends.
func (q *Queue) Flush(ctx context.Context) error {
	q.mu.Lock()
	target := q.accepted
	q.mu.Unlock()
	for {
		q.mu.Lock()
		finished, moved := q.finished, q.moved
		q.mu.Unlock()
		if finished >= target {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close flushes and ends the queue; what is written to it afterwards is dropped. The file stays open.
func (q *Queue) Close(ctx context.Context) error {
	err := q.Flush(ctx)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.wake)
	}
	return err
}

// SurviveBrokenPipes keeps the process when the reader of its stdout or stderr is gone: Go ends it with SIGPIPE at the next
// write otherwise. The signal is taken and not ignored, because what is ignored is ignored by child processes too.
func SurviveBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
