package node

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

// Life is one life of a plugin, as its restart found it.
type Life struct {
	Capabilities []string // as Describe told
	Generation   uint64
}

// life is what the node does with one life of a stage: all that waits for it, and what it was asked.
type life struct {
	stage      ordov1.Stage
	generation uint64
	ctx        context.Context // ends with it
	cancel     context.CancelFunc
	node       *Node
	gone       chan struct{} // closed when the machine is about to hear that it is lost
	why        error
	suspected  atomic.Bool
	owes       patience
	doing      atomic.Int32 // calls for blocks, of execution

	mu   sync.Mutex
	over bool
	work sync.WaitGroup

	tells   queue[*ordov1.ConsensusEvent]
	applies queue[*ordov1.ApplyRequest]
	commits queue[decision]
	builds  map[uint64]*build // of the loop
	build   *build            // the last one opened, of the loop
}

func (n *Node) newLife(stage ordov1.Stage, generation uint64) *life {
	l := &life{stage: stage, generation: generation, node: n, gone: make(chan struct{}), builds: map[uint64]*build{}}
	l.ctx, l.cancel = context.WithCancel(n.ctx)
	switch stage {
	case ordov1.Stage_STAGE_EXECUTION:
		l.owes.limit, l.owes.what = n.options.BuildStall, "no result of what it was given to run"
	case ordov1.Stage_STAGE_CONSENSUS:
		l.owes.limit, l.owes.what = n.options.CallLimit, "no answer to an event"
	case ordov1.Stage_STAGE_STORAGE:
		l.owes.limit, l.owes.what = n.options.RootStall, "no root of a block that it has"
	}
	return l
}

// run does something that belongs to this life, unless that is over.
func (l *life) run(work func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.work.Add(1)
	l.node.beside(func() {
		defer l.work.Done()
		work()
	})
}

// newest is the newest life of a stage; its context says whether it is over.
func (n *Node) newest(stage ordov1.Stage) *life {
	n.livesMu.Lock()
	defer n.livesMu.Unlock()
	return n.lives[stage]
}

// Ending is what was in hand when a process ended.
type Ending struct {
	Block bool // something of a block
	Asked bool // questions of clients
}

// Lost says that a stage's process is gone, or is about to be killed; forced: it did not fail by itself. It returns at once.
// Everything of the old life is cancelled and awaited before the machine hears of it: no answer of a dead process is ever
// used. Once per life.
func (n *Node) Lost(stage ordov1.Stage, why error, forced bool) (e Ending) {
	if !known(stage) {
		return e
	}
	l := n.newest(stage)
	l.mu.Lock()
	before := l.over
	if !before {
		l.over, l.why = true, why
	}
	l.mu.Unlock()
	if before || n.ctx.Err() != nil {
		return e
	}
	if e.Block = l.owes.busy() || l.doing.Load() > 0; stage == ordov1.Stage_STAGE_EXECUTION && n.options.Questions != nil {
		e.Asked = n.options.Questions.Ended(crash.End{Why: text(why), Block: e.Block, Forced: forced})
	}
	n.log.Error("a stage is lost: the node waits for its next life", "stage", name(stage), "generation", l.generation, "why", why)
	l.cancel()
	n.beside(func() {
		l.work.Wait()
		if stage == ordov1.Stage_STAGE_EXECUTION {
			n.chain.Unexecuted()
		}
		n.input(pipeline.Lost{Stage: stage, Why: text(why), Shared: e.Asked, Forced: forced})
		close(l.gone)
	})
	if stage == ordov1.Stage_STAGE_ORDERING {
		n.ring()
	}
	return e
}

// Back says that a new life of a stage answers, configured. It returns when the node has taken it up: storage has told its
// head, consensus has its stream; what else there is to do goes on beside. An error means that this life is of no use:
// end it, and come back with another. A stage must be lost before it is back.
func (n *Node) Back(stage ordov1.Stage, life Life) error {
	if !known(stage) {
		return fmt.Errorf("node: back: there is no stage %d", stage)
	}
	old := n.newest(stage)
	if old.ctx.Err() == nil {
		return fmt.Errorf("node: back: %s was not lost", name(stage))
	}
	select {
	case <-old.gone:
	case <-n.ctx.Done():
		return ErrStopped
	}
	l := n.newLife(stage, life.Generation)
	in := pipeline.Back{Stage: stage, Arrival: has(life.Capabilities, sdk.CapArrival), Proposals: has(life.Capabilities, sdk.CapNetwork)}
	begin := func() {}
	switch stage {
	case ordov1.Stage_STAGE_EXECUTION:
		begin = func() { n.executes(l) }
	case ordov1.Stage_STAGE_STORAGE:
		ctx, cancel := context.WithTimeout(n.ctx, n.options.CallLimit)
		head, err := n.storage.Head(ctx, &ordov1.HeadRequest{})
		cancel()
		if err == nil && head.Empty {
			err = errors.New("it is empty: its data is lost: restore a backup")
		}
		if err != nil {
			l.cancel()
			return fmt.Errorf("node: back: storage: head: %w", err)
		}
		in.Head, in.Block = head.Height, head.PartialHash
		begin = func() { n.stores(l) }
	case ordov1.Stage_STAGE_CONSENSUS:
		run, err := n.converse(l)
		if err != nil {
			l.cancel()
			return fmt.Errorf("node: back: consensus: %w", err)
		}
		begin = run
	}
	n.livesMu.Lock()
	n.lives[stage] = l
	n.livesMu.Unlock()
	n.inbox.push(letter{first: func() {
		n.at[stage] = l
		begin()
	}, input: in})
	if stage == ordov1.Stage_STAGE_ORDERING {
		n.mu.Lock()
		n.pool.Rescore() // another process may think otherwise
		n.mu.Unlock()
		n.ring()
	}
	n.log.Info("a stage is back", "stage", name(stage), "generation", life.Generation)
	return nil
}

// ring tells who scores that there is something to do.
func (n *Node) ring() {
	select {
	case n.toScore <- struct{}{}:
	default:
	}
}

// broken says that a life is of no use any more. Whoever restarts plugins decides; when nobody does, the node ends.
func (n *Node) broken(l *life, err error) {
	switch {
	case l.ctx.Err() != nil:
	case n.options.Suspect == nil:
		n.fail(name(l.stage), err)
	case l.suspected.CompareAndSwap(false, true):
		n.options.Suspect(l.stage, fmt.Errorf("%s: %w", name(l.stage), err))
	}
}

// failed judges the error of a call: what the stage refuses by contract ends the node, what a process can die of does not.
func (n *Node) failed(l *life, err error) {
	switch status.Code(err) {
	case codes.FailedPrecondition, codes.InvalidArgument, codes.DataLoss, codes.Unimplemented, codes.OutOfRange, codes.NotFound, codes.AlreadyExists:
		if l.ctx.Err() == nil {
			n.fail(name(l.stage), err)
		}
	default:
		n.broken(l, err)
	}
}

// Health is what a node says of one stage.
type Health struct {
	Stage      ordov1.Stage
	Generation uint64 // of the life at work, or of the last one
	Away       bool
	Why        string // why it is away, or what keeps it from its work ("no room on the device")
	Late       bool   // it does not answer in time
}

// Health tells how the four stages are.
func (n *Node) Health() []Health {
	n.livesMu.Lock()
	defer n.livesMu.Unlock()
	var all []Health
	for _, l := range n.lives[ordov1.Stage_STAGE_ORDERING:] {
		l.mu.Lock()
		h := Health{Stage: l.stage, Generation: l.generation, Away: l.over, Why: text(l.why)}
		l.mu.Unlock()
		if l.stage == ordov1.Stage_STAGE_STORAGE && !h.Away {
			h.Why = n.noRoom
		}
		if l.stage == ordov1.Stage_STAGE_ORDERING && !h.Away {
			h.Why, h.Late = n.noRanks, n.late
		}
		all = append(all, h)
	}
	return all
}

func known(stage ordov1.Stage) bool {
	return stage >= ordov1.Stage_STAGE_ORDERING && int(stage) < stages
}

func name(stage ordov1.Stage) string {
	return strings.ToLower(strings.TrimPrefix(stage.String(), "STAGE_"))
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
