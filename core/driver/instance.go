package driver

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Instance is one run of a plugin's process, as the supervisor found it.
type Instance struct {
	Capabilities []string // as Describe told
	Generation   uint64
}

// instance is the driver's work with one run of a plugin's process: the goroutines that wait for it, and the replies that it owes.
// Safe for concurrent use.
type instance struct {
	stage      ordov1.Stage
	generation uint64
	ctx        context.Context // done when the process is lost, or the node stops
	cancel     context.CancelFunc
	port       port
	gone       chan struct{} // closed when StageDown is posted
	suspected  atomic.Bool
	pending    replyWatchdog
	doing      atomic.Int32 // calls of execution for blocks

	mu    sync.Mutex
	ended bool
	why   error
	work  sync.WaitGroup
}

func newInstance(ctx context.Context, p port, stage ordov1.Stage, generation uint64, limit time.Duration, owed string) *instance {
	i := &instance{stage: stage, generation: generation, port: p, gone: make(chan struct{})}
	i.pending.limit, i.pending.what = limit, owed
	i.ctx, i.cancel = context.WithCancel(ctx)
	return i
}

// run starts work that belongs to this instance, unless it has ended.
func (i *instance) run(work func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return
	}
	i.work.Add(1)
	i.port.spawn(func() {
		defer i.work.Done()
		work()
	})
}

// end marks the instance as ended, so that it starts no more work; first is false when that was done before.
func (i *instance) end(why error) (first bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return false
	}
	i.ended, i.why = true, why
	return true
}

// health is what the instance itself tells.
func (i *instance) health() Health {
	i.mu.Lock()
	defer i.mu.Unlock()
	return Health{Stage: i.stage, Generation: i.generation, Down: i.ended, Why: errorText(i.why)}
}

// stageCount bounds the numbers of the stages.
const stageCount = int(ordov1.Stage_STAGE_CONSENSUS) + 1

func knownStage(stage ordov1.Stage) bool {
	return stage >= ordov1.Stage_STAGE_ORDERING && int(stage) < stageCount
}

// instances are the newest instances of the stages, at work or lost. Safe for concurrent use.
type instances struct {
	mu     sync.Mutex
	newest [stageCount]*instance
}

// of returns the newest instance of a stage; its context tells whether it is at work.
func (s *instances) of(stage ordov1.Stage) *instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest[stage]
}

func (s *instances) replace(i *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest[i.stage] = i
}

func (s *instances) all() []*instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*instance(nil), s.newest[ordov1.Stage_STAGE_ORDERING:]...)
}

// newInstance makes an instance of a stage, with the limit on its replies.
func (d *Driver) newInstance(stage ordov1.Stage, generation uint64) *instance {
	var limit time.Duration
	var owed string
	switch stage {
	case ordov1.Stage_STAGE_EXECUTION:
		limit, owed = d.options.BuildStall, "no result of what it was given to run"
	case ordov1.Stage_STAGE_CONSENSUS:
		limit, owed = d.options.CallLimit, "no answer to an event"
	case ordov1.Stage_STAGE_STORAGE:
		limit, owed = d.options.RootStall, "no root of a block that it has"
	}
	return newInstance(d.ctx, d, stage, generation, limit, owed)
}

// Ending tells what a process was doing when it ended.
type Ending struct {
	Block bool // work for a block
	Asked bool // questions of clients
}

// StageDown tells that a stage's process is gone, or is about to be killed; forced: it did not fail by itself. It returns at once.
// All work with the old instance is cancelled and awaited before the machine hears of it, so that no answer of an ended
// process is ever used. Once per instance.
func (d *Driver) StageDown(stage ordov1.Stage, why error, forced bool) (e Ending) {
	if !knownStage(stage) {
		return e
	}
	i := d.instances.of(stage)
	if first := i.end(why); !first || d.ctx.Err() != nil {
		return e
	}
	if e.Block = i.pending.waiting() || i.doing.Load() > 0; stage == ordov1.Stage_STAGE_EXECUTION && d.options.Questions != nil {
		e.Asked = d.options.Questions.Ended(crash.End{Why: errorText(why), Block: e.Block, Forced: forced})
	}
	d.log.Error("a stage is lost: the node waits for its next instance", "stage", sdk.StageName(stage), "generation", i.generation, "why", why)
	i.cancel()
	d.spawn(func() {
		i.work.Wait()
		d.stage(stage).down()
		d.post(pipeline.StageDown{Stage: stage, Why: errorText(why), Shared: e.Asked, Forced: forced})
		close(i.gone)
	})
	return e
}

// StageUp tells that a new instance of a stage answers, configured. It returns when the node has taken it up: storage has told its
// head, consensus has its stream; the rest goes on beside. An error means that this instance is of no use: end it, and come
// back with another. A stage must be lost before it is back.
func (d *Driver) StageUp(stage ordov1.Stage, new Instance) error {
	if !knownStage(stage) {
		return fmt.Errorf("node: back: there is no stage %d", stage)
	}
	old := d.instances.of(stage)
	if old.ctx.Err() == nil {
		return fmt.Errorf("node: back: %s was not lost", sdk.StageName(stage))
	}
	select {
	case <-old.gone:
	case <-d.ctx.Done():
		return ErrStopped
	}
	i := d.newInstance(stage, new.Generation)
	in := pipeline.StageUp{Stage: stage, Capabilities: new.Capabilities}
	takeUp, err := d.stage(stage).connect(i, &in)
	if err != nil {
		i.cancel()
		return fmt.Errorf("node: back: %s: %w", sdk.StageName(stage), err)
	}
	d.instances.replace(i)
	d.inbox.push(inboxMsg{first: takeUp, input: in})
	d.log.Info("a stage is back", "stage", sdk.StageName(stage), "generation", new.Generation)
	return nil
}

func (d *Driver) stage(s ordov1.Stage) stage {
	switch s {
	case ordov1.Stage_STAGE_ORDERING:
		return d.ordering
	case ordov1.Stage_STAGE_EXECUTION:
		return d.execution
	case ordov1.Stage_STAGE_STORAGE:
		return d.storage
	default:
		return d.consensus
	}
}

// Health is what a node tells of one stage.
type Health struct {
	Stage      ordov1.Stage
	Generation uint64 // of the instance at work, or of the last one
	Down       bool
	Why        string // why it is down, or what keeps it from its work ("no room on the device")
	Late       bool   // it does not answer in time
}

// Health tells how the four stages are.
func (d *Driver) Health() []Health {
	var all []Health
	for _, i := range d.instances.all() {
		h := i.health()
		switch {
		case h.Down:
		case h.Stage == ordov1.Stage_STAGE_STORAGE:
			h.Why = d.storage.space.why()
		case h.Stage == ordov1.Stage_STAGE_ORDERING:
			h.Why, h.Late = d.ordering.last.health()
		}
		all = append(all, h)
	}
	return all
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
