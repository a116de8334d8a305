package host_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/core/internal/retry"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// asking is a supervised set whose execution is asked under a ledger.
type asking struct {
	t      *testing.T
	sup    *host.Supervisor
	set    *host.Set
	diary  *diary
	ledger *crash.Ledger
	asker  retry.Asker
	dir    string // of execution
}

func newAsking(t *testing.T, restarts int, o crash.Options) *asking {
	t.Helper()
	a := &asking{t: t, ledger: crash.New(o), diary: &diary{}}
	a.asker = retry.Asker{Stage: "execution", Deadline: 20 * time.Second, Grace: 20 * time.Second, Crashes: a.ledger}
	specs := fourSpecs(t)
	for _, s := range specs {
		if s.Stage == ordov1.Stage_STAGE_EXECUTION {
			a.dir = s.DataDir
		}
	}
	var err error
	if a.set, err = host.StartSet(context.Background(), host.Options{}, specs...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.set.Close(context.Background()) })
	if a.sup, err = host.Supervise(a.set, host.Supervision{Restarts: restarts, Backoff: 10 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.sup.Close)
	a.diary.blame = func(e *host.Ended) host.Blame {
		if a.ledger.Ended(crash.End{Why: e.Why, Forced: e.Forced}) {
			return host.Questions
		}
		return host.Process
	}
	a.sup.Watch(a.diary)
	return a
}

// view asks for an echo that takes so long.
func (a *asking) view(text string, takes time.Duration) error {
	client := ordov1.NewExecutionClient(a.sup.Link(ordov1.Stage_STAGE_EXECUTION))
	q := crash.Question{Names: func() []crash.Name { return []crash.Name{{Key: sha256.Sum256([]byte(text)), What: "this call"}} }}
	return a.asker.Put(a.t.Context(), q, func(ctx context.Context) error {
		r, err := client.View(ctx, &ordov1.ViewRequest{TimeoutMs: uint32(takes.Milliseconds()), View: &ordov1.ViewRequest_Call{Call: &ordov1.CallView{Calldata: []byte(text)}}})
		if err == nil && string(r.GetCall()) != text {
			err = fmt.Errorf("answered %q", r.GetCall())
		}
		return err
	})
}

// came counts how often a view reached a process.
func (a *asking) came(text string) int {
	raw, _ := os.ReadFile(filepath.Join(a.dir, "views"))
	n := 0
	for line := range strings.Lines(string(raw)) {
		if line == text+"\n" {
			n++
		}
	}
	return n
}

func (a *asking) alive() {
	a.t.Helper()
	if err := a.sup.Err(); err != nil {
		a.t.Fatal(err)
	}
	if err := a.view("still there", 0); err != nil {
		a.t.Fatal(err)
	}
}

// TestAQuestionThatCrashes: the view that ends the process runs once, is refused by name, and costs none of the restarts.
func TestAQuestionThatCrashes(t *testing.T) {
	t.Parallel()
	a := newAsking(t, 1, crash.Options{Crashes: 100})
	for i := range 4 {
		text := fmt.Sprintf("crash %d", i)
		for range 2 {
			if err := a.view(text, 0); err == nil || !strings.Contains(err.Error(), "execution: this call ended the execution plugin: refused until") {
				t.Fatalf("told %v", err)
			}
		}
		if n := a.came(text); n != 1 {
			t.Errorf("%s ran %d times", text, n)
		}
		a.alive()
	}
	if lines := a.diary.await(t, 8); !strings.Contains(lines[0], "exit status 2") {
		t.Error(lines)
	}
	// The restart that is left is there for the process itself.
	_ = syscall.Kill(a.set.Plugin(ordov1.Stage_STAGE_EXECUTION).Pid(), syscall.SIGKILL)
	a.diary.await(t, 10)
	a.alive()
}

// TestAQuestionThatCrashesAmongOthers: each of those beside it gets its answer.
func TestAQuestionThatCrashesAmongOthers(t *testing.T) {
	t.Parallel()
	a := newAsking(t, 1, crash.Options{})
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			if err := a.view(fmt.Sprintf("innocent %d", i), 500*time.Millisecond); err != nil {
				t.Errorf("innocent %d: %v", i, err)
			}
		})
	}
	all.Go(func() {
		if err := a.view("crash", 250*time.Millisecond); err == nil || !strings.Contains(err.Error(), "this call ended") {
			t.Errorf("told %v", err)
		}
	})
	all.Wait()
	if n := a.came("crash"); n != 2 { // once among them, once alone
		t.Errorf("it ran %d times", n)
	}
	a.alive()
}

// TestAQuestionOnTheWay: a process that is killed from outside says nothing against what it was asked.
func TestAQuestionOnTheWay(t *testing.T) {
	t.Parallel()
	a := newAsking(t, 1, crash.Options{})
	answered := make(chan error, 1)
	go func() { answered <- a.view("innocent", 500*time.Millisecond) }()
	for a.came("innocent") == 0 {
		time.Sleep(time.Millisecond)
	}
	_ = syscall.Kill(a.set.Plugin(ordov1.Stage_STAGE_EXECUTION).Pid(), syscall.SIGKILL)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if n := a.came("innocent"); n != 2 {
		t.Errorf("it ran %d times", n)
	}
}
