package load

import (
	"context"
	"testing"
	"time"
)

// TestOpen: transactions are due at their own moments, in turn for each account, whatever happens to those before.
func TestOpen(t *testing.T) {
	begun := time.Unix(100, 0)
	o := &open{rate: 4, accounts: 3, most: 10, another: func() bool { return true }}
	for k, want := range map[int]time.Duration{0: 0, 1: 250 * time.Millisecond, 8: 2 * time.Second} {
		if got := o.at(begun, k).Sub(begun); got != want {
			t.Errorf("transaction %d is due after %v, want %v", k, got, want)
		}
	}
	fast := &open{rate: 1e6, accounts: 3, most: 10, another: func() bool { return true }}
	var who []int
	var last time.Time
	fast.run(t.Context(), func(account int, at time.Time) {
		if at.Before(last) {
			t.Error("due before its predecessor")
		}
		who, last = append(who, account), at
	})
	if len(who) != 10 || who[0] != 0 || who[4] != 1 || who[9] != 0 {
		t.Errorf("the turns are %v", who)
	}
}

// TestOpenStops in the middle when the time is over.
func TestOpenStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := &open{rate: 1000, accounts: 1, most: 1 << 30, another: func() bool { return true }}
	n := 0
	o.run(ctx, func(int, time.Time) {
		if n++; n == 5 {
			cancel()
		}
	})
	if n != 5 {
		t.Errorf("%d were due after the end", n-5)
	}
}

// TestClosed: depth for each account, then one for each that arrived, until there are no more.
func TestClosed(t *testing.T) {
	left := 7
	c := &closed{depth: 2, accounts: 3, another: func() bool { left--; return left >= 0 }}
	counts := make([]int, 3)
	want := func(account int, _ time.Time) { counts[account]++ }
	c.run(t.Context(), want)
	if counts[0] != 2 || counts[1] != 2 || counts[2] != 2 {
		t.Errorf("begun with %v", counts)
	}
	c.freed(1, time.Now(), want)
	c.freed(2, time.Now(), want) // the eighth
	if counts[1] != 3 || counts[2] != 2 {
		t.Errorf("went on with %v", counts)
	}
}
