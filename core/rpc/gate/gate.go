// Package gate lets few callers at a time do what is expensive, few more wait for their turn, and tells all others at once
// that the node is busy.
package gate

import (
	"context"
	"fmt"
	"time"
)

// Busy is what a caller gets who found no place, or whose turn did not come in time. Trying again later may help.
type Busy struct {
	What    string // what the gate is for, in the plural: "views"
	Running int
	Waiting int           // places in the queue
	Waited  time.Duration // zero: the queue was full
}

func (b *Busy) Error() string {
	if b.Waited == 0 {
		return fmt.Sprintf("busy: %d %s run and %d wait: try again later", b.Running, b.What, b.Waiting)
	}
	return fmt.Sprintf("busy: %d %s run, no turn within %s: try again later", b.Running, b.What, b.Waited)
}

// Gate is open for a number of callers. Make one with New.
type Gate struct {
	what    string
	places  chan struct{} // of those who run and those who wait
	turns   chan struct{}
	patient time.Duration
}

// New makes a gate for running callers at a time, with so many waiting for at most the time given.
func New(what string, running, waiting int, patient time.Duration) *Gate {
	return &Gate{what: what, places: make(chan struct{}, running+waiting), turns: make(chan struct{}, running), patient: patient}
}

// Enter waits for a turn; whoever gets one calls leave when done. The error is a Busy or the context's.
func (g *Gate) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.places <- struct{}{}:
	default:
		return nil, g.busy(0)
	}
	leave = func() { <-g.turns; <-g.places }
	select {
	case g.turns <- struct{}{}:
		return leave, nil
	default:
	}
	timer := time.NewTimer(g.patient)
	defer timer.Stop()
	select {
	case g.turns <- struct{}{}:
		return leave, nil
	case <-timer.C:
		err = g.busy(g.patient)
	case <-ctx.Done():
		err = ctx.Err()
	}
	<-g.places
	return nil, err
}

// Inside counts those who run and those who wait.
func (g *Gate) Inside() int { return len(g.places) }

func (g *Gate) busy(waited time.Duration) *Busy {
	return &Busy{What: g.what, Running: cap(g.turns), Waiting: cap(g.places) - cap(g.turns), Waited: waited}
}

type heldKey struct{}

// Holding lets whoever works for a caller give back, before the end, something that the caller holds for the work.
func Holding(ctx context.Context, giveBack func()) context.Context {
	return context.WithValue(ctx, heldKey{}, giveBack)
}

// GiveBack is for work that waits long from here on and needs what is held no more.
func GiveBack(ctx context.Context) {
	if giveBack, ok := ctx.Value(heldKey{}).(func()); ok {
		giveBack()
	}
}
