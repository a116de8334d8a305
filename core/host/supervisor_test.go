package host_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// diary keeps what a supervisor tells, and refuses instances when asked to.
type diary struct {
	mu     sync.Mutex
	lines  []string
	refuse int
	blame  func(*host.Ended) host.Blame // nil: the process
}

func (d *diary) StageDown(stage ordov1.Stage, why *host.Ended) host.Blame {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf("lost %s: %v", sdk.StageName(stage), why))
	if d.blame != nil {
		return d.blame(why)
	}
	return host.Process
}

func (d *diary) StageUp(stage ordov1.Stage, p *host.Plugin) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf("back %s, generation %d", p.Name(), p.Generation()))
	if d.refuse > 0 {
		d.refuse--
		return errors.New("not now")
	}
	return nil
}

// await returns what was told once there are n lines.
func (d *diary) await(t *testing.T, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		d.mu.Lock()
		lines := d.lines
		d.mu.Unlock()
		if len(lines) >= n {
			return lines
		}
		if time.Now().After(deadline) {
			t.Fatalf("told only %q", lines)
		}
	}
}

func supervised(t *testing.T, o host.Options, s host.Supervision) (*host.Supervisor, *host.Set, *diary) {
	t.Helper()
	set, err := host.StartSet(context.Background(), o, fourSpecs(t)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = set.Close(context.Background()) })
	sup, err := host.Supervise(set, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sup.Close)
	d := &diary{}
	sup.Watch(d)
	return sup, set, d
}

var quick = host.Supervision{Restarts: 5, Backoff: 10 * time.Millisecond}

// patiently repeats an answer until the links lead to the new instance.
func patiently(t *testing.T, ask func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err = ask(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// TestRestart: a stage whose plugin is killed is up again behind the same links, and storage behind the same read socket.
func TestRestart(t *testing.T) {
	t.Parallel()
	sup, set, d := supervised(t, host.Options{}, quick)
	ordering := ordov1.NewOrderingClient(sup.Link(ordov1.Stage_STAGE_ORDERING))
	reads := ordov1.NewStorageReadClient(sup.ReadLink())
	execution := ordov1.NewExecutionClient(sup.Link(ordov1.Stage_STAGE_EXECUTION))
	for generation := uint64(2); generation <= 3; generation++ {
		_ = syscall.Kill(set.Plugin(ordov1.Stage_STAGE_STORAGE).Pid(), syscall.SIGKILL)
		d.await(t, int(generation-1)*2)
		if resp, err := reads.State(context.Background(), &ordov1.StateRequest{}); err != nil || resp.GetHeight() != generation {
			t.Fatalf("core's read: %v %v", resp.GetHeight(), err)
		}
		if resp, err := execution.Apply(context.Background(), &ordov1.ApplyRequest{}); err != nil || resp.GetTip() != generation {
			t.Fatalf("execution's read: %v %v", resp.GetTip(), err)
		}
	}
	_ = syscall.Kill(set.Plugin(ordov1.Stage_STAGE_ORDERING).Pid(), syscall.SIGKILL)
	lines := d.await(t, 6)
	want := []string{
		"lost storage: storage/store: the plugin has ended: signal: killed", "back storage/store, generation 2",
		"lost storage: storage/store: the plugin has ended: signal: killed", "back storage/store, generation 3",
		"lost ordering: ordering/good: the plugin has ended: signal: killed", "back ordering/good, generation 2",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Fatalf("told\n%s", strings.Join(lines, "\n"))
	}
	if _, err := ordering.Score(context.Background(), &ordov1.ScoreRequest{}); err != nil {
		t.Fatal(err)
	}
	patiently(t, func() error { // the count follows Back
		for _, s := range sup.StageStatuses() {
			restarts := map[ordov1.Stage]uint64{ordov1.Stage_STAGE_STORAGE: 2, ordov1.Stage_STAGE_ORDERING: 1}[s.Stage]
			if s.State != host.Up || s.Restarts != restarts || (s.Last != nil) != (restarts > 0) {
				return fmt.Errorf("%s: %+v", sdk.StageName(s.Stage), s)
			}
		}
		return nil
	})
}

// TestTwoAtOnce: execution, which reads from storage while it starts, waits for it.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	_, set, d := supervised(t, host.Options{}, quick)
	_ = syscall.Kill(set.Plugin(ordov1.Stage_STAGE_STORAGE).Pid(), syscall.SIGSTOP) // still there, and answers no call
	_ = syscall.Kill(set.Plugin(ordov1.Stage_STAGE_EXECUTION).Pid(), syscall.SIGKILL)
	d.await(t, 1) // execution is lost, and its next instance is started
	_ = syscall.Kill(set.Plugin(ordov1.Stage_STAGE_STORAGE).Pid(), syscall.SIGKILL)
	lines := strings.Join(d.await(t, 4), "\n")
	if !strings.Contains(lines, "back storage/store, generation 2") || !strings.Contains(lines, "back execution/machine") {
		t.Fatal(lines)
	}
}

// TestStopped: a process that is stopped is found, killed and replaced, whichever stage it serves.
func TestStopped(t *testing.T) {
	t.Parallel()
	_, set, d := supervised(t, host.Options{HealthInterval: 100 * time.Millisecond, HealthTimeout: time.Second}, quick)
	for _, p := range set.Plugins() {
		_ = syscall.Kill(p.Pid(), syscall.SIGSTOP)
	}
	lines := strings.Join(d.await(t, 8), "\n")
	if n := strings.Count(lines, "no answer to the health checks for 1s: killed by the node"); n != 4 {
		t.Fatalf("%d found:\n%s", n, lines)
	}
}

// TestBudget: a plugin that ends again and again stops the node with an error; instances that StageUp refuses count too.
func TestBudget(t *testing.T) {
	t.Parallel()
	sup, set, d := supervised(t, host.Options{}, host.Supervision{Restarts: 3, Backoff: 5 * time.Millisecond, MaxPause: 20 * time.Millisecond})
	d.mu.Lock()
	d.refuse = 2
	d.mu.Unlock()
	stage := ordov1.Stage_STAGE_CONSENSUS
	_ = syscall.Kill(set.Plugin(stage).Pid(), syscall.SIGKILL)
	d.await(t, 6) // lost, back and refused, lost, back and refused, lost, back
	_ = syscall.Kill(set.Plugin(stage).Pid(), syscall.SIGKILL)
	select {
	case <-sup.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("no end of it")
	}
	err := sup.Err().Error()
	for _, want := range []string{"consensus/mute: the plugin has ended 4 times within 1m0s", "generation 2: not taken back: not now",
		"generation 4: signal: killed", "look at the plugin's log"} {
		if !strings.Contains(err, want) {
			t.Errorf("%q is not in: %s", want, err)
		}
	}
	if lost, back := strings.Count(strings.Join(d.lines, "\n"), "lost consensus"), strings.Count(strings.Join(d.lines, "\n"), "back consensus"); lost != 4 || back != 3 {
		t.Errorf("%d lost, %d back: %q", lost, back, d.lines)
	}
	_, callErr := ordov1.NewConsensusClient(sup.Link(stage)).Run(context.Background())
	if status.Code(callErr) != codes.Unavailable || !strings.Contains(callErr.Error(), "consensus/mute: away: ") {
		t.Errorf("a call: %v", callErr)
	}
}

// TestSuspect: the callers' word kills a stage; ordering, which is only late, never so often that it would end the node.
func TestSuspect(t *testing.T) {
	t.Parallel()
	sup, set, d := supervised(t, host.Options{}, host.Supervision{Restarts: 3, Window: time.Minute, Backoff: 10 * time.Millisecond})
	sup.Suspect(ordov1.Stage_STAGE_EXECUTION, errors.New("says nothing about its work"))
	if lines := d.await(t, 2); !strings.Contains(lines[0], "killed by the node: says nothing about its work") {
		t.Fatal(lines)
	}
	ordering := ordov1.Stage_STAGE_ORDERING
	sup.Suspect(ordering, errors.New("late"))
	if lines := d.await(t, 4); !strings.Contains(lines[2], "lost ordering: ordering/good: the plugin has ended: killed by the node: late") {
		t.Fatal(lines)
	}
	for range 10 {
		sup.Suspect(ordering, errors.New("late"))
	}
	// What another stage does comes behind all that these have caused.
	sup.Suspect(ordov1.Stage_STAGE_CONSENSUS, errors.New("says nothing"))
	state := func() host.State { return sup.StageStatuses()[0].State }
	if lines := d.await(t, 6); len(lines) != 6 || !strings.Contains(lines[5], "back consensus") || sup.Err() != nil || state() != host.Late {
		t.Fatal(lines, sup.Err(), state())
	}
	if _, err := score(set.Plugin(ordering), ""); err != nil || state() != host.Up {
		t.Fatal(err, state())
	}
}

// TestHeldPlugin: with LeaveLate an ordering plugin that a debugger holds is suspected again and again, is degraded, and runs on.
func TestHeldPlugin(t *testing.T) {
	t.Parallel()
	book := &logBook{}
	sup, set, _ := supervised(t, host.Options{Logger: book.logger()}, host.Supervision{Restarts: 3, Backoff: 10 * time.Millisecond, LeaveLate: true})
	ordering := ordov1.Stage_STAGE_ORDERING
	pid := set.Plugin(ordering).Pid()
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	sup.Suspect(ordering, errors.New("3 batches were not ranked in time"))
	book.eventually(t, "is late and left alone")                                             // at the first time already: without LeaveLate that one ends it
	if state := sup.StageStatuses()[0].State; state != host.Late && state != host.Degraded { // held, its health check is silent too
		t.Fatal(state)
	}
	_ = syscall.Kill(pid, syscall.SIGCONT)
	if _, err := score(set.Plugin(ordering), ""); err != nil {
		t.Fatal(err)
	}
	if p := set.Plugin(ordering); p.Pid() != pid || p.Generation() != 1 || p.ExitReason() != "" {
		t.Fatalf("generation %d, %q", p.Generation(), p.ExitReason())
	}
}

// TestLinkFollowsInstances: a link answers at once that there is no instance, and serves again when there is one.
func TestLinkFollowsInstances(t *testing.T) {
	t.Parallel()
	sup, set, d := supervised(t, host.Options{}, host.Supervision{Restarts: 5, Backoff: time.Second, MaxPause: time.Second})
	_ = syscall.Kill(set.Plugin(ordov1.Stage_STAGE_STORAGE).Pid(), syscall.SIGKILL)
	d.await(t, 1) // it is lost, and the pause before its restart begins
	_, err := ordov1.NewStorageReadClient(sup.ReadLink()).State(context.Background(), &ordov1.StateRequest{})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "storage reads: away: the plugin has ended (signal: killed)") {
		t.Fatal(err)
	}
	patiently(t, func() error {
		_, err := ordov1.NewStorageReadClient(sup.ReadLink()).State(context.Background(), &ordov1.StateRequest{})
		return err
	})
}
