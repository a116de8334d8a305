package load

import (
	"context"
	"time"
)

// schedule makes transactions due.
type schedule interface {
	// run makes them due until the context ends or all are; want is called for each with the account that is to send it.
	run(ctx context.Context, want func(account int, at time.Time))
	// freed is called when a transaction of an account was accepted.
	freed(account int, at time.Time, want func(account int, at time.Time))
}

// open is the open model: transaction k is due at k/rate seconds whatever the node does, and its time counts from then. A
// node that stalls is charged for everything that would have been sent meanwhile.
type open struct {
	rate     float64
	accounts int
	most     int
	another  func() bool
}

// at is the moment of transaction k.
func (o *open) at(begun time.Time, k int) time.Time {
	return begun.Add(time.Duration(float64(k) / o.rate * float64(time.Second)))
}

func (o *open) run(ctx context.Context, want func(int, time.Time)) {
	begun := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for k := 0; k < o.most; {
		for now := time.Now(); k < o.most && !o.at(begun, k).After(now); k++ {
			if ctx.Err() != nil || !o.another() {
				return
			}
			want(k%o.accounts, o.at(begun, k))
		}
		timer.Reset(time.Until(o.at(begun, k)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

func (o *open) freed(int, time.Time, func(int, time.Time)) {}

// closed is the closed model: every account keeps depth transactions on their way.
type closed struct {
	depth, accounts int
	another         func() bool // reserves one; false: no more
}

func (c *closed) run(ctx context.Context, want func(int, time.Time)) {
	for range c.depth {
		for account := range c.accounts {
			if ctx.Err() != nil || !c.another() {
				return
			}
			want(account, time.Now())
		}
	}
}

func (c *closed) freed(account int, at time.Time, want func(int, time.Time)) {
	if c.another() {
		want(account, at)
	}
}
