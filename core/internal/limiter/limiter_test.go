package limiter

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestGate(t *testing.T) {
	g := New("views", 2, 3, time.Hour)
	var leaves []func()
	for range 2 {
		leave, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			leave, err := g.Enter(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			leave()
		})
	}
	for g.Inside() < 5 {
		time.Sleep(time.Millisecond)
	}
	_, err := g.Enter(t.Context())
	if busy := (*Busy)(nil); !errors.As(err, &busy) || err.Error() != "busy: 2 views run and 3 wait: try again later" {
		t.Errorf("the sixth: %v", err)
	}
	for _, leave := range leaves {
		leave()
	}
	waiting.Wait()
	if g.Inside() != 0 {
		t.Errorf("%d are left inside", g.Inside())
	}
}

// TestNoTurn: patience ends, and so does that of a caller that leaves; both give their place back.
func TestNoTurn(t *testing.T) {
	g := New("compilations", 1, 1, 10*time.Millisecond)
	leave, err := g.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Enter(t.Context()); err == nil || err.Error() != "busy: 1 compilations run, no turn within 10ms: try again later" {
		t.Errorf("waited too long: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Enter(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller left: %v", err)
	}
	leave()
	if g.Inside() != 0 {
		t.Errorf("%d are left inside", g.Inside())
	}
}
