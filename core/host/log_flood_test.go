package host_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/host"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestLogFloodsAreBounded: whatever a plugin writes, and however fast, the host's log and memory stay small, and the plugin is served.
func TestLogFloodsAreBounded(t *testing.T) {
	for noise, logged := range map[string]string{
		"bomb":   "the plugin writes too much, lines were dropped",
		"prints": "the plugin writes too much, lines were dropped",
		"100 MB": "after 100 MB",
		"odd":    "odd end",
	} {
		t.Run(noise, func(t *testing.T) {
			book := &logBook{}
			s := spec(t, "good")
			s.Config = []byte(`{"noise":"` + noise + `"}`)
			p := start(t, host.Options{Logger: book.logger()}, s)
			begin := time.Now()
			book.eventually(t, logged)
			for range 5 {
				if _, err := score(p, ""); err != nil {
					t.Fatal(err)
				}
			}
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if m.HeapAlloc > 64<<20 {
				t.Errorf("%d MiB are held", m.HeapAlloc>>20)
			}
			if text := book.String(); len(text) > int(time.Since(begin).Seconds()+2)*1<<20 || strings.Contains(text, "\x1b") || strings.Contains(text, "\n2026-01-01 [ERROR] forged") {
				t.Errorf("a log of %d bytes: %s", len(text), cutText(text))
			}
			p.Kill()
		})
	}
}

// TestLeftBehind: a plugin that ends and leaves a child with its pipes ends all the same, and so does the child.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	s := spec(t, "good")
	p := start(t, host.Options{}, s)
	_, _ = score(p, "leave")
	select {
	case <-p.Exited():
	case <-time.After(5 * time.Second):
		t.Fatal("a child that holds the pipes keeps the end from being seen")
	}
	if p.ExitReason() != "exit status 4" {
		t.Fatal(p.ExitReason())
	}
	text, err := os.ReadFile(filepath.Join(s.DataDir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	child, _ := strconv.Atoi(string(text))
	for deadline := time.Now().Add(5 * time.Second); alive(child); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the child is still there")
		}
	}
}

// TestPluginThatIgnoresSignalsIsKilled: a plugin that ignores the signals that it can ends by SIGKILL.
func TestPluginThatIgnoresSignalsIsKilled(t *testing.T) {
	t.Parallel()
	s := spec(t, "good")
	if err := os.WriteFile(filepath.Join(s.DataDir, "stuck"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, host.Options{ExitTimeout: 200 * time.Millisecond}, s)
	if _, err := score(p, "deaf"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); err == nil || alive(p.Pid()) {
		t.Fatalf("%v, alive %v", err, alive(p.Pid()))
	}
}

// TestWedgedWhileConfigured: Configure may take minutes, but a process that is stopped in it is found by its silence.
func TestWedgedWhileConfigured(t *testing.T) {
	t.Parallel()
	for noise, want := range map[string]string{
		"stop": "configure: it ended with no answer to the health checks for 1s: killed by the node",
		"hang": "configure: rpc error: code = DeadlineExceeded",
	} {
		s := spec(t, "good")
		s.Config = []byte(`{"noise":"` + noise + `"}`)
		_, err := host.Start(context.Background(), host.Options{HealthTimeout: time.Second, ConfigureTimeout: 3 * time.Second}, s)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", noise, err)
		}
	}
}

// TestLenient: a single long question is not a wedged plugin, two in a row are.
func TestLenient(t *testing.T) {
	t.Parallel()
	s := spec(t, "execution")
	s.Stage = ordov1.Stage_STAGE_EXECUTION
	store := spec(t, "storage")
	store.Stage = ordov1.Stage_STAGE_STORAGE
	socket := filepath.Join(t.TempDir(), "r")
	store.Listen = map[string]string{"read": socket}
	start(t, host.Options{}, store)
	s.Peers = map[string]string{"storage.read": socket}
	p := start(t, host.Options{CallLimit: 300 * time.Millisecond}, s)
	client := ordov1.NewExecutionClient(p.Conn())
	view := func(timeout uint32) error {
		_, err := client.View(context.Background(), &ordov1.ViewRequest{TimeoutMs: timeout})
		return err
	}
	for range 3 {
		if err := view(10_000); err == nil || !strings.Contains(err.Error(), "View: no answer within 300ms") {
			t.Fatal(err)
		}
		if err := view(0); err != nil {
			t.Fatal(err)
		}
	}
	_ = view(10_000)
	_ = view(10_000)
	select {
	case <-p.Exited():
	case <-time.After(5 * time.Second):
		t.Fatal("it still runs")
	}
}
