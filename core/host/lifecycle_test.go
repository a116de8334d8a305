package host_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/host"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestUnresponsivePluginIsKilled: a stopped process is noticed, and so is its return.
func TestUnresponsivePluginIsKilled(t *testing.T) {
	book := &logBook{}
	p := start(t, host.Options{Logger: book.logger(), HealthInterval: 50 * time.Millisecond}, spec(t, "good"))
	if err := syscall.Kill(p.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	book.eventually(t, "does not answer its health check")
	if p.Unresponsive() == 0 {
		t.Fatal("not called silent")
	}
	if err := syscall.Kill(p.Pid(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	book.eventually(t, "answers again")
	if p.Unresponsive() != 0 {
		t.Fatal("still called silent")
	}
	// Stopped again: nothing is answered, and the kill works all the same.
	if err := syscall.Kill(p.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.Kill()
}

// TestNothingLeaks: a node that restarts plugins for weeks must not collect descriptors or goroutines.
func TestNothingLeaks(t *testing.T) {
	count := func() (descriptors, goroutines int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc")
		}
		return len(entries), runtime.NumGoroutine()
	}
	once := func() {
		p := start(t, host.Options{}, spec(t, "good"))
		if _, err := score(p, ""); err != nil {
			t.Fatal(err)
		}
		p.Kill()
		for _, role := range []string{"exits", "babbles", "foreign", "nobody listens"} {
			if p, err := host.Start(context.Background(), host.Options{}, spec(t, role)); err == nil {
				p.Kill()
				t.Fatal("started")
			}
		}
	}
	once()
	descriptors, goroutines := count()
	for range 8 {
		once()
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		d, g := count()
		if d <= descriptors+2 && g <= goroutines+4 {
			return
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("descriptors %d, then %d; goroutines %d, then %d\n%s", descriptors, d, goroutines, g,
				stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func TestDrainWaitsForCalls(t *testing.T) {
	s := spec(t, "good")
	p := start(t, host.Options{}, s)
	answered := make(chan error, 1)
	go func() {
		_, err := score(p, "slow")
		answered <- err
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(s.DataDir, "slow")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the call does not arrive")
		}
	}
	if err := p.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-answered:
		if err != nil {
			t.Fatalf("the call that ran was cut: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("drained before the call ended")
	}
	if _, err := score(p, ""); status.Code(err) != codes.FailedPrecondition {
		t.Fatalf("a call after Drain: %v", err)
	}
}

// TestChecksum: the same checksum holds for every start, which is where go-plugin's own check fails.
func TestChecksum(t *testing.T) {
	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(binary)
	s := spec(t, "good")
	s.Checksums = map[string]string{os.Args[0]: hex.EncodeToString(sum[:])}
	for range 2 {
		start(t, host.Options{}, s).Kill()
	}
}
