package byzantine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// TestNoOrphans: kill -9 of the core ends all four plugins, running or stopped, and leaves no process of the run behind.
func TestNoOrphans(t *testing.T) {
	for _, how := range []string{"running", "stopped"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(filepath.Join(need.Binaries(t), "ordo"), "dev", "--port", "0", "--accounts", "1")
			temporary := t.TempDir() // what a killed node leaves; and the mark of its processes
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + temporary}
			n := nodetest.Run(t, cmd, stopLimit)
			n.Serve(t, startLimit)
			plugins := marked(temporary, n.PID())
			if len(plugins) != 4 {
				t.Fatalf("%d processes beside the core: %v", len(plugins), plugins)
			}
			if how == "stopped" {
				for pid := range plugins {
					_ = syscall.Kill(pid, syscall.SIGSTOP)
				}
			}
			if err := n.Kill(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				left := marked(temporary, 0)
				if len(left) == 0 {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("after the end of the core: %v", left)
				}
			}
		})
	}
}

// marked lists the living processes whose environment names the folder, but one.
func marked(folder string, but int) map[int]string {
	found := map[int]string{}
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range paths {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		raw, err := os.ReadFile(path)
		if err != nil || pid == but || pid == os.Getpid() || !strings.Contains(string(raw), folder) {
			continue
		}
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "stat"))
		if _, after, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(after, "Z") {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		found[pid] = strings.ReplaceAll(string(line), "\x00", " ")
	}
	return found
}
