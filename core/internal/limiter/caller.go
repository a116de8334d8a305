package limiter

import (
	"context"
	"net/netip"
)

// Caller is the client that asks for a turn: turns and places are shared fairly between the addresses that clients come from.
type Caller struct {
	From  netip.Prefix // an IPv4 address or an IPv6 network; the zero value is the node itself
	Bytes int          // of the request, which it holds while it waits
}

type callerKey struct{}

// WithCaller makes the caller known to all gates behind.
func WithCaller(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns the caller of a request.
func CallerOf(ctx context.Context) Caller {
	if c, ok := ctx.Value(callerKey{}).(*Caller); ok {
		return *c
	}
	return Caller{}
}

type heldKey struct{}

// Holding lets the work for a caller give back, before the end, something that the caller holds for the work.
func Holding(ctx context.Context, giveBack func()) context.Context {
	return context.WithValue(ctx, heldKey{}, giveBack)
}

// GiveBack is for work that waits long from here on and needs what is held no more.
func GiveBack(ctx context.Context) {
	if giveBack, ok := ctx.Value(heldKey{}).(func()); ok {
		giveBack()
	}
}
