// Package limiter bounds what clients compete for: turns at expensive work (Gate), and memory (Budget).
// A caller that finds none free waits, for a time and in a queue that are bounded, and is told then that the node is busy.
package limiter

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Busy is the error of a caller that found no place, or whose turn did not come in time. Trying again later may help.
type Busy struct {
	What    string // what the gate is for, in the plural: "views"
	Running int
	Waiting int           // how many waited when there was no place
	Waited  time.Duration // zero: the queue was full
	Setting string        // the key of the configuration that bounds it; may be empty
}

func (b *Busy) Error() string {
	text := fmt.Sprintf("busy: %d %s run and %d wait", b.Running, b.What, b.Waiting)
	if b.Waited > 0 {
		text = fmt.Sprintf("busy: %d %s run, no turn within %s", b.Running, b.What, b.Waited)
	}
	if b.Setting != "" {
		text += " (" + b.Setting + ")"
	}
	return text + ": try again later"
}

// Gate is open for a number of callers. Make one with New.
type Gate struct {
	what           string
	most, waiting  int
	bytes          int // of the requests that wait; 0: any
	bytesKey, turn string
	patient        time.Duration

	mu      sync.Mutex
	running int
	queue   queue
}

// New makes a gate for running callers at a time, with so many waiting for at most the time given.
func New(what string, running, waiting int, patient time.Duration) *Gate {
	return &Gate{what: what, most: running, waiting: waiting, patient: patient}
}

// Holding bounds the bytes of the requests that wait; the key of that setting is in the error.
func (g *Gate) Holding(bytes int, key string) *Gate {
	g.bytes, g.bytesKey = bytes, key
	return g
}

// Patience names the setting for the time that a caller waits.
func (g *Gate) Patience(key string) *Gate {
	g.turn = key
	return g
}

// Enter waits for a turn; the caller calls leave when its work is done. The error is a Busy or the context's.
func (g *Gate) Enter(ctx context.Context) (leave func(), err error) {
	w, err := g.join(CallerOf(ctx))
	if err != nil {
		return nil, err
	}
	if w == nil {
		return sync.OnceFunc(g.leave), nil
	}
	timer := time.NewTimer(g.patient)
	defer timer.Stop()
	select {
	case err = <-w.ready:
	case <-timer.C:
		err = g.quit(w, &Busy{What: g.what, Running: g.most, Waited: g.patient, Setting: g.turn})
	case <-ctx.Done():
		err = g.quit(w, ctx.Err())
	}
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(g.leave), nil
}

// join takes a turn that is free, without a waiter, or a place in the queue.
func (g *Gate) join(c Caller) (*waiter, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running < g.most { // then nothing waits
		g.running++
		return nil, nil
	}
	for {
		full := &Busy{What: g.what, Running: g.most, Waiting: g.queue.count}
		heavy := g.bytes > 0 && g.queue.count > 0 && g.queue.bytes+c.Bytes > g.bytes
		if g.queue.count < g.waiting && !heavy {
			break
		}
		if heavy {
			full.Setting = g.bytesKey
		}
		if !g.queue.displace(c.From, c.Bytes, full) {
			return nil, full
		}
	}
	w := &waiter{bytes: c.Bytes, ready: make(chan error, 1)}
	g.queue.push(c.From, w)
	return w, nil
}

// quit ends the wait with the error, unless the turn came at that moment: then it goes to the next.
func (g *Gate) quit(w *waiter, why error) error {
	g.mu.Lock()
	waits := g.queue.remove(w)
	g.mu.Unlock()
	if waits {
		return why
	}
	if err := <-w.ready; err != nil {
		return err
	}
	g.leave()
	return why
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.queue.count > 0 {
		g.queue.pop() // it runs in the place of the one that leaves
		return
	}
	g.running--
}

// Inside counts the callers that run and those that wait.
func (g *Gate) Inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running + g.queue.count
}
