package driver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// stages bounds the numbers of the stages.
const stages = int(ordov1.Stage_STAGE_CONSENSUS) + 1

// Instance is one life of a plugin, as its restart found it.
type Instance struct {
	Capabilities []string // as Describe told
	Generation   uint64
}

// instance is what the node does with one life of a stage: all that waits for it, and what it was asked.
type instance struct {
	stage      ordov1.Stage
	generation uint64
	ctx        context.Context // ends with it
	cancel     context.CancelFunc
	driver     *Driver
	gone       chan struct{} // closed when the machine is about to hear that it is lost
	why        error
	suspected  atomic.Bool
	pending    replyWatchdog
	doing      atomic.Int32 // calls for blocks, of execution

	mu    sync.Mutex
	ended bool
	work  sync.WaitGroup

	tells   queue[*ordov1.ConsensusEvent]
	applies queue[*ordov1.ApplyRequest]
	commits queue[decision]
	builds  map[uint64]*build // of the loop
	build   *build            // the last one opened, of the loop
}

func (d *Driver) newInstance(stage ordov1.Stage, generation uint64) *instance {
	l := &instance{stage: stage, generation: generation, driver: d, gone: make(chan struct{}), builds: map[uint64]*build{}}
	l.ctx, l.cancel = context.WithCancel(d.ctx)
	switch stage {
	case ordov1.Stage_STAGE_EXECUTION:
		l.pending.limit, l.pending.what = d.options.BuildStall, "no result of what it was given to run"
	case ordov1.Stage_STAGE_CONSENSUS:
		l.pending.limit, l.pending.what = d.options.CallLimit, "no answer to an event"
	case ordov1.Stage_STAGE_STORAGE:
		l.pending.limit, l.pending.what = d.options.RootStall, "no root of a block that it has"
	}
	return l
}

// run does something that belongs to this life, unless that is over.
func (i *instance) run(work func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return
	}
	i.work.Add(1)
	i.driver.spawn(func() {
		defer i.work.Done()
		work()
	})
}

// current is the newest life of a stage; its context says whether it is over.
func (d *Driver) current(stage ordov1.Stage) *instance {
	d.instancesMu.Lock()
	defer d.instancesMu.Unlock()
	return d.instances[stage]
}

// Ending is what was in hand when a process ended.
type Ending struct {
	Block bool // something of a block
	Asked bool // questions of clients
}

// StageDown says that a stage's process is gone, or is about to be killed; forced: it did not fail by itself. It returns at once.
// Everything of the old life is cancelled and awaited before the machine hears of it: no answer of a dead process is ever
// used. Once per life.
func (d *Driver) StageDown(stage ordov1.Stage, why error, forced bool) (e Ending) {
	if !knownStage(stage) {
		return e
	}
	l := d.current(stage)
	l.mu.Lock()
	before := l.ended
	if !before {
		l.ended, l.why = true, why
	}
	l.mu.Unlock()
	if before || d.ctx.Err() != nil {
		return e
	}
	if e.Block = l.pending.waiting() || l.doing.Load() > 0; stage == ordov1.Stage_STAGE_EXECUTION && d.options.Questions != nil {
		e.Asked = d.options.Questions.Ended(crash.End{Why: errorText(why), Block: e.Block, Forced: forced})
	}
	d.log.Error("a stage is lost: the node waits for its next life", "stage", stageName(stage), "generation", l.generation, "why", why)
	l.cancel()
	d.spawn(func() {
		l.work.Wait()
		if stage == ordov1.Stage_STAGE_EXECUTION {
			d.chain.Unexecuted()
		}
		d.input(pipeline.StageDown{Stage: stage, Why: errorText(why), Shared: e.Asked, Forced: forced})
		close(l.gone)
	})
	if stage == ordov1.Stage_STAGE_ORDERING {
		d.wakeScorer()
	}
	return e
}

// StageUp says that a new life of a stage answers, configured. It returns when the node has taken it up: storage has told its
// head, consensus has its stream; what else there is to do goes on beside. An error means that this life is of no use:
// end it, and come back with another. A stage must be lost before it is back.
func (d *Driver) StageUp(stage ordov1.Stage, life Instance) error {
	if !knownStage(stage) {
		return fmt.Errorf("node: back: there is no stage %d", stage)
	}
	old := d.current(stage)
	if old.ctx.Err() == nil {
		return fmt.Errorf("node: back: %s was not lost", stageName(stage))
	}
	select {
	case <-old.gone:
	case <-d.ctx.Done():
		return ErrStopped
	}
	l := d.newInstance(stage, life.Generation)
	in := pipeline.StageUp{Stage: stage, Arrival: has(life.Capabilities, sdk.CapArrival), Proposals: has(life.Capabilities, sdk.CapNetwork)}
	begin := func() {}
	switch stage {
	case ordov1.Stage_STAGE_EXECUTION:
		begin = func() { d.runApplies(l) }
	case ordov1.Stage_STAGE_STORAGE:
		ctx, cancel := context.WithTimeout(d.ctx, d.options.CallLimit)
		head, err := d.storage.Head(ctx, &ordov1.HeadRequest{})
		cancel()
		if err == nil && head.Empty {
			err = errors.New("it is empty: its data is lost: restore a backup")
		}
		if err != nil {
			l.cancel()
			return fmt.Errorf("node: back: storage: head: %w", err)
		}
		in.Head, in.Block = head.Height, head.PartialHash
		begin = func() { d.runCommits(l) }
	case ordov1.Stage_STAGE_CONSENSUS:
		run, err := d.openConsensus(l)
		if err != nil {
			l.cancel()
			return fmt.Errorf("node: back: consensus: %w", err)
		}
		begin = run
	}
	d.instancesMu.Lock()
	d.instances[stage] = l
	d.instancesMu.Unlock()
	d.inbox.push(inboxMsg{first: func() {
		d.at[stage] = l
		begin()
	}, input: in})
	if stage == ordov1.Stage_STAGE_ORDERING {
		d.mu.Lock()
		d.pool.Rescore() // another process may think otherwise
		d.mu.Unlock()
		d.wakeScorer()
	}
	d.log.Info("a stage is back", "stage", stageName(stage), "generation", life.Generation)
	return nil
}

// wakeScorer tells who scores that there is something to do.
func (d *Driver) wakeScorer() {
	select {
	case d.toScore <- struct{}{}:
	default:
	}
}

// suspect says that a life is of no use any more. Whoever restarts plugins decides; when nobody does, the node ends.
func (d *Driver) suspect(l *instance, err error) {
	switch {
	case l.ctx.Err() != nil:
	case d.options.Suspect == nil:
		d.halt(stageName(l.stage), err)
	case l.suspected.CompareAndSwap(false, true):
		d.options.Suspect(l.stage, fmt.Errorf("%s: %w", stageName(l.stage), err))
	}
}

// handleCallError judges the error of a call: what the stage refuses by contract ends the node, what a process can die of does not.
func (d *Driver) handleCallError(l *instance, err error) {
	switch status.Code(err) {
	case codes.FailedPrecondition, codes.InvalidArgument, codes.DataLoss, codes.Unimplemented, codes.OutOfRange, codes.NotFound, codes.AlreadyExists:
		if l.ctx.Err() == nil {
			d.halt(stageName(l.stage), err)
		}
	default:
		d.suspect(l, err)
	}
}

// Health is what a node says of one stage.
type Health struct {
	Stage      ordov1.Stage
	Generation uint64 // of the life at work, or of the last one
	Down       bool
	Why        string // why it is away, or what keeps it from its work ("no room on the device")
	Late       bool   // it does not answer in time
}

// Health tells how the four stages are.
func (d *Driver) Health() []Health {
	d.instancesMu.Lock()
	defer d.instancesMu.Unlock()
	var all []Health
	for _, l := range d.instances[ordov1.Stage_STAGE_ORDERING:] {
		l.mu.Lock()
		h := Health{Stage: l.stage, Generation: l.generation, Down: l.ended, Why: errorText(l.why)}
		l.mu.Unlock()
		if l.stage == ordov1.Stage_STAGE_STORAGE && !h.Down {
			h.Why = d.noRoom
		}
		if l.stage == ordov1.Stage_STAGE_ORDERING && !h.Down {
			h.Why, h.Late = d.noRanks, d.late
		}
		all = append(all, h)
	}
	return all
}

func knownStage(stage ordov1.Stage) bool {
	return stage >= ordov1.Stage_STAGE_ORDERING && int(stage) < stages
}

func stageName(stage ordov1.Stage) string {
	return strings.ToLower(strings.TrimPrefix(stage.String(), "STAGE_"))
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
