package process

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	line := "42 (a (b) c) S 7 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 8 0 1000 123456 256 18446744073709551615 1 1 0"
	s, err := parse(line)
	if err != nil || s != (stat{name: "a (b) c", parent: 7, cpu: 2, pages: 256}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"", "42 a S 7", "42 (a) S 7 8", "42 (a) S x 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 8 0 1000 123456 256 1"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

// TestWatch: a child that works is seen with its time, under its parent.
func TestWatch(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc here")
	}
	cmd := exec.Command("sh", "-c", "i=0; while :; do i=$((i+1)); done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	w, err := Watch(os.Getpid(), 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	for _, u := range w.Stop() {
		if u.Name == "sh" && u.CPU > 0 && u.PeakRSS >= u.RSS && u.RSS > 0 && u.Files > 0 {
			return
		}
	}
	t.Error("the child is not seen working")
}

func TestNobody(t *testing.T) {
	if _, err := Watch(1<<30, time.Second); err == nil {
		t.Error("a process that does not run is watched")
	}
}
