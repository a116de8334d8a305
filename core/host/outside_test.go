package host_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/logqueue"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestCloseSharesItsTime: a plugin that does not drain takes its share of the time, and those after it drain all the same.
func TestCloseSharesItsTime(t *testing.T) {
	specs := fourSpecs(t)
	set, err := host.StartSet(context.Background(), host.Options{}, specs...)
	if err != nil {
		t.Fatal(err)
	}
	stopped := set.Plugin(ordov1.Stage_STAGE_ORDERING)
	suspend(t, stopped.Pid())
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	err = set.Close(ctx)
	if err == nil || !strings.Contains(err.Error(), stopped.Name()+": drain") || strings.Contains(err.Error(), "storage") {
		t.Errorf("want an error about %s alone, got %v", stopped.Name(), err)
	}
	if ctx.Err() != nil {
		t.Error("one plugin took all the time")
	}
	for _, s := range specs {
		if s.Stage != ordov1.Stage_STAGE_STORAGE && s.Stage != ordov1.Stage_STAGE_EXECUTION {
			continue
		}
		if _, err := os.Stat(filepath.Join(s.DataDir, "drained")); err != nil {
			t.Errorf("%s was not drained: %v", sdk.StageName(s.Stage), err)
		}
	}
	for _, p := range set.Plugins() {
		if alive(p.Pid()) {
			t.Errorf("%s is still there", p.Name())
		}
	}
}

// suspend stops a process and waits until all of it stands still.
func suspend(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	standing := func() bool {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, task := range tasks {
			stat, _ := os.ReadFile(task)
			if _, after, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(after, "T") {
				return false
			}
		}
		return len(tasks) > 0
	}
	for !standing() {
		runtime.Gosched()
	}
}

// TestKill: everything ends at once, a stopped plugin too, and nothing is started again.
func TestKill(t *testing.T) {
	set, err := host.StartSet(context.Background(), host.Options{}, fourSpecs(t)...)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close(context.Background())
	suspend(t, set.Plugin(ordov1.Stage_STAGE_STORAGE).Pid())
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	set.Kill(ctx)
	for _, p := range set.Plugins() {
		if alive(p.Pid()) {
			t.Errorf("%s is still there", p.Name())
		}
	}
	if _, err := set.Restart(context.Background(), ordov1.Stage_STAGE_STORAGE); err == nil {
		t.Error("restarted after Kill")
	}
	if _, err := os.Stat(filepath.Dir(set.ReadSocket())); !os.IsNotExist(err) {
		t.Error("the run folder is still there")
	}
}

// TestPathsAreUTF8: protobuf carries no other, and the operator has to read which path it is.
func TestPathsAreUTF8(t *testing.T) {
	odd := "odd\xff"
	s := spec(t, "good")
	s.DataDir = filepath.Join(t.TempDir(), odd)
	_, err := host.Start(context.Background(), host.Options{}, s)
	if err == nil || !strings.Contains(err.Error(), `odd\xff`) || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("data folder: %v", err)
	}
	s = spec(t, "good")
	s.Peers = map[string]string{"storage.read": "/" + odd}
	if _, err := host.Start(context.Background(), host.Options{}, s); err == nil || !strings.Contains(err.Error(), `"/odd\xff"`) {
		t.Errorf("socket: %v", err)
	}
	tmp := filepath.Join(t.TempDir(), odd)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Skip(err) // a file system that takes no such name
	}
	t.Setenv("TMPDIR", tmp)
	for what, err := range map[string]error{
		"alone": func() error { _, err := host.Start(context.Background(), host.Options{}, spec(t, "good")); return err }(),
		"set": func() error {
			_, err := host.StartSet(context.Background(), host.Options{}, fourSpecs(t)...)
			return err
		}(),
	} {
		if err == nil || !strings.Contains(err.Error(), `odd\xff`) || !strings.Contains(err.Error(), "TMPDIR") {
			t.Errorf("run folder, %s: %v", what, err)
		}
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// TestOffers: a setting that the core derives goes to a plugin whose schema has the key, and never over a written one.
func TestOffers(t *testing.T) {
	for _, c := range []struct {
		config string
		offers map[string]any
		warns  bool
		refuse string
	}{
		{"", map[string]any{"greeting": "hi", "memory_mib": 7}, true, ""},
		{`{"greeting":""}`, map[string]any{"greeting": "rude"}, false, ""},
		{`{"greeting":"rude"}`, map[string]any{"greeting": "hi"}, false, "too rude"},
	} {
		s := spec(t, "good")
		s.Config, s.Offers = []byte(c.config), c.offers
		p, err := host.Start(context.Background(), host.Options{}, s)
		if c.refuse != "" {
			if err == nil || !strings.Contains(err.Error(), c.refuse) {
				t.Errorf("%s: %v", c.config, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.config, err)
			continue
		}
		if warns := len(p.Warnings()) > 0; warns != c.warns {
			t.Errorf("%s: warnings %v", c.config, p.Warnings())
		}
		p.Kill()
	}
}

// TestDescriptors: what the parent of this process left open is not open in a plugin.
func TestDescriptors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "left open")
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR, 0o600) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	holds := func(pid int) (held []string) {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, link := range links {
			if to, _ := os.Readlink(link); to == path {
				held = append(held, link)
			}
		}
		return held
	}
	p := start(t, host.Options{}, spec(t, "good"))
	if len(holds(p.Pid())) == 0 {
		t.Fatal("without KeepDescriptors it is not inherited either: the test shows nothing")
	}
	host.KeepDescriptors()
	p = start(t, host.Options{}, spec(t, "good"))
	if held := holds(p.Pid()); len(held) > 0 {
		t.Errorf("inherited: %v", held)
	}
	out, err := exec.Command("/bin/sh", "-c", "ls -l /proc/self/fd").CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("left open")) {
		t.Errorf("inherited by a shell: %s %v", out, err)
	}
}

// TestVictims: execution is what the kernel ends first when memory runs out, then the other plugins, the core last.
func TestVictims(t *testing.T) {
	set, err := host.StartSet(context.Background(), host.Options{}, fourSpecs(t)...)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close(context.Background())
	adjust := func(pid int) int {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
		if err != nil {
			t.Skip(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	own := adjust(os.Getpid())
	for _, p := range set.Plugins() {
		want := own + 200
		if p.Spec().Stage == ordov1.Stage_STAGE_EXECUTION {
			want = own + 500
		}
		if got := adjust(p.Pid()); got != min(want, 1000) {
			t.Errorf("%s: oom_score_adj %d, want %d", p.Name(), got, min(want, 1000))
		}
	}
}

// TestStalledLog: a plugin that writes without end goes on, and is read, when the node's own log is not read.
func TestStalledLog(t *testing.T) {
	r, w, err := os.Pipe() // never read
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	queue := logqueue.New(w, logqueue.Options{})
	s := spec(t, "good")
	s.Config = []byte(`{"noise":"bomb"}`)
	p := start(t, host.Options{Logger: hclog.New(&hclog.LoggerOptions{Output: queue, Level: hclog.Trace})}, s)
	for range 2000 {
		if _, err := score(p, ""); err != nil {
			t.Fatal(err)
		}
	}
	// It is blocked in its write when the host does not read: 4 MB are far more than any pipe holds.
	written := func() int {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.Pid()))
		for line := range strings.Lines(string(raw)) {
			if n, ok := strings.CutPrefix(strings.TrimSpace(line), "wchar: "); ok {
				total, _ := strconv.Atoi(n)
				return total
			}
		}
		t.Skip("no /proc/PID/io")
		return 0
	}
	for before := written(); written() < before+4<<20; {
		if _, err := score(p, ""); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}
