package host_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/host"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func fourSpecs(t *testing.T) []host.Spec {
	var all []host.Spec
	for role, stage := range map[string]ordov1.Stage{
		"good": ordov1.Stage_STAGE_ORDERING, "execution": ordov1.Stage_STAGE_EXECUTION,
		"storage": ordov1.Stage_STAGE_STORAGE, "consensus": ordov1.Stage_STAGE_CONSENSUS,
	} {
		s := spec(t, role)
		s.Stage = stage
		all = append(all, s)
	}
	return all
}

func TestSet(t *testing.T) {
	specs := fourSpecs(t)
	set, err := host.StartSet(context.Background(), host.Options{}, specs...)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close(context.Background())
	var names []string
	pids := map[int]bool{}
	for _, p := range set.Plugins() {
		names = append(names, p.Name())
		pids[p.Pid()] = true
	}
	if got := strings.Join(names, " "); got != "ordering/good execution/machine storage/store consensus/mute" || len(pids) != 4 {
		t.Fatalf("plugins %s, pids %v", got, pids)
	}
	if info, err := os.Stat(filepath.Dir(set.ReadSocket())); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("run folder: %v %v", info.Mode(), err)
	}

	// Execution reads from storage over the read socket, and finds a new instance of it behind the same socket.
	execution := ordov1.NewExecutionClient(set.Plugin(ordov1.Stage_STAGE_EXECUTION).Conn())
	for generation := uint64(1); generation <= 3; generation++ {
		resp, err := execution.Apply(context.Background(), &ordov1.ApplyRequest{})
		if err != nil || resp.GetTip() != generation {
			t.Fatalf("read of generation %d: %v %v", generation, resp.GetTip(), err)
		}
		old := set.Plugin(ordov1.Stage_STAGE_STORAGE)
		p, err := set.Restart(context.Background(), ordov1.Stage_STAGE_STORAGE)
		if err != nil {
			t.Fatal(err)
		}
		if alive(old.Pid()) || p.Generation() != generation+1 || set.Plugin(ordov1.Stage_STAGE_STORAGE) != p {
			t.Fatalf("restart: old pid alive %v, generation %d", alive(old.Pid()), p.Generation())
		}
	}

	if err := set.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	var drained [5]time.Time
	for _, s := range specs {
		if s.Stage == ordov1.Stage_STAGE_EXECUTION || s.Stage == ordov1.Stage_STAGE_STORAGE {
			text, err := os.ReadFile(filepath.Join(s.DataDir, "drained"))
			if err != nil {
				t.Fatal(err)
			}
			drained[s.Stage], _ = time.Parse(time.RFC3339Nano, string(text))
		}
	}
	if !drained[ordov1.Stage_STAGE_EXECUTION].Before(drained[ordov1.Stage_STAGE_STORAGE]) {
		t.Fatal("storage was drained before execution, which reads from it")
	}
	for _, p := range set.Plugins() {
		if alive(p.Pid()) {
			t.Fatalf("%s is still there", p.Name())
		}
	}
	if _, err := os.Stat(filepath.Dir(set.ReadSocket())); !os.IsNotExist(err) {
		t.Fatal("the run folder is still there")
	}
	if _, err := set.Restart(context.Background(), ordov1.Stage_STAGE_STORAGE); err == nil {
		t.Fatal("restarted after Close")
	}
}

func TestSetRefusals(t *testing.T) {
	ctx := context.Background()
	specs := fourSpecs(t)
	if _, err := host.StartSet(ctx, host.Options{}, specs[:3]...); err == nil || !strings.Contains(err.Error(), "no plugin for stage") {
		t.Fatal(err)
	}
	if _, err := host.StartSet(ctx, host.Options{}, append(specs, specs[0])...); err == nil || !strings.Contains(err.Error(), "two plugins for stage") {
		t.Fatal(err)
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := host.StartSet(ctx, host.Options{RunDir: open}, specs...); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Fatal(err)
	}
	// The last to start fails: those before it are stopped.
	run := t.TempDir()
	if err := os.Chmod(run, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range specs {
		if specs[i].Stage == ordov1.Stage_STAGE_ORDERING {
			specs[i].Env = []string{roleEnv + "=exits"}
		}
	}
	if _, err := host.StartSet(ctx, host.Options{RunDir: run}, specs...); err == nil || !strings.Contains(err.Error(), "exit status 127") {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(run + "/*/s*"); len(left) > 0 {
		t.Fatalf("sockets left behind: %v", left)
	}
}
