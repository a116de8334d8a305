package limiter

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func from(ctx context.Context, address string, bytes int) context.Context {
	return WithCaller(ctx, &Caller{From: netip.MustParsePrefix(address + "/32"), Bytes: bytes})
}

// TestTurnsGoRound: 100 callers of one address do not stand in front of one from elsewhere.
func TestTurnsGoRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New("views", 1, 1000, time.Hour)
		leave, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		enter := func(address string) {
			go func() {
				leave, err := g.Enter(from(t.Context(), address, 1))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, address)
				mu.Unlock()
				leave()
			}()
			synctest.Wait()
		}
		for range 100 {
			enter("10.0.0.1")
		}
		enter("10.0.0.2")
		leave()
		synctest.Wait()
		if len(order) != 101 || order[1] != "10.0.0.2" {
			t.Errorf("%d turns, the second went to %s", len(order), order[1])
		}
		if g.Inside() != 0 {
			t.Errorf("%d are left inside", g.Inside())
		}
	})
}

// TestAFullQueue: places and bytes are bounded, and the address that has most of them makes room for others.
func TestAFullQueue(t *testing.T) {
	for _, c := range []struct {
		name    string
		waiting int
		bytes   int
		want    string
	}{
		{"places", 4, 0, "busy: 1 views run and 4 wait: try again later"},
		{"bytes", 100, 40, "busy: 1 views run and 4 wait (limits.waiting_mib): try again later"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := New("views", 1, c.waiting, time.Hour).Holding(c.bytes, "limits.waiting_mib")
				leave, _ := g.Enter(t.Context())
				results := make(chan error, 10)
				enter := func(address string) {
					go func() {
						leave, err := g.Enter(from(t.Context(), address, 10))
						if err == nil {
							defer leave()
						}
						results <- err
					}()
					synctest.Wait()
				}
				for range 4 {
					enter("10.0.0.1")
				}
				enter("10.0.0.1")
				full := (*Busy)(nil)
				if err := <-results; !errors.As(err, &full) || err.Error() != c.want {
					t.Errorf("the fifth of one address: %v", err)
				}
				enter("10.0.0.2") // takes the place of the latest of the other
				if err := <-results; !errors.As(err, &full) {
					t.Errorf("the latest of the address that has most: %v", err)
				}
				enter("10.0.0.2")
				if err := <-results; !errors.As(err, &full) {
					t.Errorf("the next of it: %v", err)
				}
				enter("10.0.0.2") // two each now
				if err := <-results; !errors.As(err, &full) || g.Inside() != 5 {
					t.Errorf("its own equal: %v, %d inside", err, g.Inside())
				}
				leave()
				for range 4 {
					if err := <-results; err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// TestATurnThatComesTooLate: a caller that gives up at the moment of its turn passes it on.
func TestATurnThatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New("views", 1, 10, time.Second)
		leave, _ := g.Enter(t.Context())
		gone, cancel := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { _, err := g.Enter(gone); first <- err }()
		synctest.Wait()
		go func() {
			leave, err := g.Enter(t.Context())
			if err == nil {
				leave()
			}
			second <- err
		}()
		synctest.Wait()
		cancel()
		leave()
		leave() // a second time is no second turn
		err := <-first
		if err == nil {
			g.leave() // it had its turn before it saw that its caller is gone
		} else if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := <-second; err != nil || g.Inside() != 0 {
			t.Errorf("%v, %d inside", err, g.Inside())
		}
	})
}

func holder(address string) (*Holder, *string) {
	cut := new(string)
	return &Holder{From: netip.MustParsePrefix(address + "/32"), Cut: func(why string) { *cut = why }}, cut
}

// TestStalledHoldersMakeRoom: a holder that makes no progress is cut off when others wait, and not before; of several, first one of
// the address that holds most.
func TestStalledHoldersMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget("answers", "limits.responses_mib", 100, time.Second, 10*time.Second)
		lone, loneCut := holder("10.0.0.2")
		loneShare := b.Share(lone)
		loneShare.Take(t.Context(), 20)
		lone.Begin() // for longest
		time.Sleep(time.Millisecond)
		many := make([]*Holder, 2)
		cuts := make([]*string, 2)
		shares := make([]Share, 2)
		for i := range many {
			many[i], cuts[i] = holder("10.0.0.1")
			shares[i] = b.Share(many[i])
			shares[i].Take(t.Context(), 40)
			many[i].Begin()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Hour)
		if *loneCut+*cuts[0]+*cuts[1] != "" {
			t.Fatal("cut off while no other waits")
		}
		many[0].Done() // it took the piece and gets another
		many[0].Begin()
		newcomer, _ := holder("10.0.0.3")
		share := b.Share(newcomer)
		if share.Try(30) {
			t.Error("there is no room")
		}
		got := make(chan error, 1)
		go func() { got <- share.Take(t.Context(), 30) }()
		synctest.Wait()
		if *cuts[1] == "" || *cuts[0] != "" || *loneCut != "" || !many[1].Gone() {
			t.Errorf("cut off: %q %q %q", *loneCut, *cuts[0], *cuts[1])
		}
		select {
		case err := <-got:
			t.Error("before the other has given back what it holds:", err)
		default:
		}
		shares[1].Close()
		if err := <-got; err != nil {
			t.Error(err)
		}
		if used, cut := b.Used(); used != 90 || cut != 1 {
			t.Errorf("%d bytes are held, %d were cut off", used, cut)
		}
		share.Close()
		share.Close()
		shares[0].Close()
		loneShare.Close()
		if used, _ := b.Used(); used != 0 {
			t.Errorf("%d bytes are left", used)
		}
	})
}

// TestNoRoomInTime: a holder that works, or reads what it is sent, keeps what it has; the others hear what is full, and by which setting.
func TestNoRoomInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget("answers that wait to be sent", "limits.responses_mib", 1<<20, time.Second, 10*time.Second)
		worker, cut := holder("10.0.0.1")
		busy := b.Share(worker)
		if err := busy.Take(t.Context(), 5<<20); err != nil { // more than all of it: alone
			t.Error(err)
		}
		other, _ := holder("10.0.0.2")
		share := b.Share(other)
		began := time.Now()
		err := share.Take(t.Context(), 1)
		if spent := (*Spent)(nil); !errors.As(err, &spent) || err.Error() != "busy: answers that wait to be sent hold the 1 MiB for them, no room within 10s (limits.responses_mib): try again later" {
			t.Error(err)
		}
		if time.Since(began) != 10*time.Second || *cut != "" {
			t.Errorf("after %v, cut off: %q", time.Since(began), *cut)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := share.Take(gone, 1); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		busy.Close()
		if err := share.Take(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
}

// TestASmallOneBehindALargeOne waits no longer than the large one does.
func TestASmallOneBehindALargeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget("answers", "", 100, time.Hour, 10*time.Second)
		h, _ := holder("10.0.0.1")
		first := b.Share(h)
		first.Take(t.Context(), 60)
		large, small := make(chan error, 1), make(chan error, 1)
		waits, short := b.Share(h), b.Share(h)
		go func() { large <- waits.Take(t.Context(), 90) }()
		synctest.Wait()
		time.Sleep(time.Second)
		go func() { small <- short.Take(t.Context(), 10) }()
		if err := <-large; err == nil {
			t.Error("there is no room for it")
		}
		if err := <-small; err != nil {
			t.Error(err)
		}
	})
}
