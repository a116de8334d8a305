package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
)

// Supervision says how patient a node is with its plugins. Zero values take the default, but for Restarts.
type Supervision struct {
	Restarts int           // of one stage within Window; one end more stops the node. 0: none is restarted
	Window   time.Duration // 60 s
	Backoff  time.Duration // the pause before the first restart; 100 ms
	MaxPause time.Duration // 5 s
	// LeaveLate: an ordering plugin that does not rank in time is never ended for it: a debugger may hold it.
	LeaveLate bool
}

func (s Supervision) withDefaults() Supervision {
	if s.Window == 0 {
		s.Window = time.Minute
	}
	if s.Backoff == 0 {
		s.Backoff = 100 * time.Millisecond
	}
	if s.MaxPause == 0 {
		s.MaxPause = 5 * time.Second
	}
	return s
}

// Events are told to the part that uses the stages. Those of one stage come one after the other; those of two stages may come at
// the same time.
type Events interface {
	// StageDown: an instance has ended. It returns the blame. Once for each instance that the node began with or that StageUp was told of.
	StageDown(stage ordov1.Stage, why *Ended) Blame
	// StageUp: a new instance is configured and the stage's link leads to it. An error means that it is of no use: it is killed,
	// StageDown is told, and another is tried within the budget.
	StageUp(stage ordov1.Stage, p *Plugin) error
}

// Supervisor keeps the plugins of a set running: it restarts those that end, with a pause that grows and a budget, and stops
// with an error when that is spent. That a plugin is wedged is found by the plugin's own watch (Options.HealthTimeout, Options.CallLimit)
// or by callers, which say so with Suspect: a wedged plugin is killed, and then it is like any other that ended.
type Supervisor struct {
	set     *Set
	options Supervision
	links   map[ordov1.Stage]*Link
	read    *Link

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	done   chan struct{}
	failed sync.Once
	err    error

	mu     sync.Mutex
	stages map[ordov1.Stage]*watched
	change chan struct{} // closed and replaced whenever a stage comes or goes
}

// watched is what the supervisor knows of one stage.
type watched struct {
	up         bool
	restarts   uint64
	spent      budget
	last       *Exit
	late       bool      // the ordering stage was suspected, and has not answered since
	answered   uint64    // its answers then
	lastKilled time.Time // when it was last killed for that
	read       *grpc.ClientConn
}

// Supervise makes the links of a running set. Nothing is watched before Watch.
func Supervise(set *Set, options Supervision) (*Supervisor, error) {
	s := &Supervisor{set: set, options: options.withDefaults(), links: map[ordov1.Stage]*Link{}, read: NewLink("storage reads"),
		done: make(chan struct{}), stages: map[ordov1.Stage]*watched{}, change: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, p := range set.Plugins() {
		stage := p.Spec().Stage
		o := s.options
		s.links[stage] = NewLink(p.Name())
		s.stages[stage] = &watched{spent: budget{restarts: o.Restarts, window: o.Window, first: o.Backoff, limit: o.MaxPause}}
		if err := s.attach(p); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Link is the stage's connection, over all instances of its plugin.
func (s *Supervisor) Link(stage ordov1.Stage) *Link { return s.links[stage] }

// ReadLink is the connection to the socket that storage serves for reads.
func (s *Supervisor) ReadLink() *Link { return s.read }

// Done is closed when the supervisor has given up; Err names the plugin and the cause.
func (s *Supervisor) Done() <-chan struct{} { return s.done }

// Err is why the supervisor gave up, nil before.
func (s *Supervisor) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Watch begins to restart plugins that end; one that has ended since the start counts too.
func (s *Supervisor) Watch(events Events) {
	for stage := range s.links {
		s.work.Go(func() { s.keep(stage, events) })
	}
}

// Close ends the supervision. The plugins go on; Set.Close stops them.
func (s *Supervisor) Close() {
	s.cancel()
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.stages {
		if w.read != nil {
			w.read.Close()
		}
	}
}

// keep runs one stage: one instance after the other.
func (s *Supervisor) keep(stage ordov1.Stage, events Events) {
	for {
		p := s.set.Plugin(stage)
		select {
		case <-s.ctx.Done():
			return
		case <-p.Exited():
		}
		if s.ctx.Err() != nil {
			return
		}
		death := Exit{At: time.Now(), Generation: p.Generation(), Why: p.ExitReason()}
		for given := true; ; {
			s.stageDown(stage, death)
			if given {
				death.Blame = events.StageDown(stage, p.end())
			}
			pause, left, ok := s.spend(stage, death)
			if !ok {
				s.giveUp(stage, p.Name())
				return
			}
			p.log.Error("the plugin has ended and is started again", "why", death.Why, "generation", death.Generation,
				"in", pause.Round(time.Millisecond), "restarts left", left)
			if !s.sleep(pause) || !s.needs(stage) {
				return
			}
			next, err := s.set.Restart(s.ctx, stage)
			if s.ctx.Err() != nil {
				return
			}
			if given = err == nil; given {
				if err = s.attach(next); err == nil {
					err = events.StageUp(stage, next)
				}
				if err != nil {
					next.KillFor(fmt.Sprintf("not taken back: %v", err))
				}
			}
			if err == nil {
				s.mu.Lock()
				s.stages[stage].restarts++
				s.mu.Unlock()
				break
			}
			death = Exit{At: time.Now(), Generation: s.set.generation(stage), Why: err.Error()}
			if given {
				p = next
				death.Why = next.ExitReason()
			}
		}
	}
}

// spend counts an end of a stage.
func (s *Supervisor) spend(stage ordov1.Stage, death Exit) (pause time.Duration, left int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.stages[stage].spent
	pause, ok = b.spend(death)
	return pause, b.restarts - len(b.exits), ok
}

// Forgive is told that the transaction was found that ended a stage: the restarts that the search took are given back.
func (s *Supervisor) Forgive(stage ordov1.Stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.stages[stage]; w != nil {
		w.spent.forgive()
	}
}

// needs waits for the stages that a start needs: execution reads from storage while it is configured.
func (s *Supervisor) needs(stage ordov1.Stage) bool {
	for stage == ordov1.Stage_STAGE_EXECUTION {
		s.mu.Lock()
		up, change := s.stages[ordov1.Stage_STAGE_STORAGE].up, s.change
		s.mu.Unlock()
		if up {
			break
		}
		select {
		case <-change:
		case <-s.ctx.Done():
			return false
		}
	}
	return true
}

func (s *Supervisor) sleep(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// attach leads the links to an instance.
func (s *Supervisor) attach(p *Plugin) error {
	stage := p.Spec().Stage
	var read *grpc.ClientConn
	if stage == ordov1.Stage_STAGE_STORAGE {
		var err error
		if read, err = p.dialSocket(s.set.ReadSocket(), nil); err != nil {
			return fmt.Errorf("%s: read socket: %w", p.Name(), err)
		}
		s.read.Attach(read)
	}
	s.links[stage].Attach(p.Conn())
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.stages[stage]
	w.up, w.read, w.late = true, read, false
	s.changed()
	return nil
}

// stageDown cuts the links off from an instance that has ended.
func (s *Supervisor) stageDown(stage ordov1.Stage, death Exit) {
	why := "the plugin has ended (" + cut(death.Why, 300) + ") and is being started again"
	s.links[stage].Detach(why)
	if stage == ordov1.Stage_STAGE_STORAGE {
		s.read.Detach(why)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.stages[stage]
	w.up, w.last = false, &death
	if w.read != nil {
		w.read.Close()
		w.read = nil
	}
	s.changed()
}

// changed tells the callers that wait for a stage. Under mu.
func (s *Supervisor) changed() {
	close(s.change)
	s.change = make(chan struct{})
}

func (s *Supervisor) giveUp(stage ordov1.Stage, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spent := &s.stages[stage].spent
	s.failed.Do(func() {
		if s.options.Restarts == 0 {
			s.err = fmt.Errorf("%s: the plugin has ended, and the node does not restart plugins:%s\n"+
				"the chain is as it was at the last committed block: look at the plugin's log, then start the node again", name, spent.account())
		} else {
			s.err = fmt.Errorf("%s: the plugin has ended %d times within %s, which is more than the restarts allowed; its last ends:%s\n"+
				"the chain is as it was at the last committed block: look at the plugin's log, mend it or choose another plugin, then start the node again",
				name, len(spent.exits), s.options.Window, spent.account())
		}
		close(s.done)
	})
}

// Suspect is for callers that a stage lets down: a deadline that passed, a stream broken off. The plugin is killed and
// started again. A late ordering plugin costs only the rank, and may be late because that is how it is: it is killed too, but
// never so often that the budget would be spent on that.
func (s *Supervisor) Suspect(stage ordov1.Stage, why error) {
	if why == nil {
		why = errors.New("a caller gives no reason")
	}
	s.mu.Lock()
	w := s.stages[stage]
	if w == nil || !w.up {
		s.mu.Unlock()
		return
	}
	p := s.set.Plugin(stage)
	if stage == ordov1.Stage_STAGE_ORDERING {
		w.late, w.answered = true, p.meter.received()
		gap := s.options.Window / time.Duration(max(1, s.options.Restarts-1))
		if s.options.LeaveLate || s.options.Restarts == 0 || time.Since(w.lastKilled) < gap {
			s.mu.Unlock()
			p.log.Warn("is late and left alone: the node goes by arrival", "why", why)
			return
		}
		w.lastKilled = time.Now()
	}
	s.mu.Unlock()
	go func() {
		// A broken connection is often the first sign of an end that has its own reason.
		select {
		case <-p.Exited():
		case <-time.After(exitGrace):
			p.KillFor(fmt.Sprintf("killed by the node: %v", why))
		}
	}()
}

// exitGrace is how long the end of a process may come after the end of its connections.
const exitGrace = 200 * time.Millisecond

// State of a stage.
type State string

const (
	Up       State = "up"
	Late     State = "late"     // there, and its answers come too late
	Failing  State = "failing"  // there, and its answers are errors
	Degraded State = "degraded" // there, and does not answer its health checks, or is kept from its work
	Away     State = "away"     // ended, being started again
)

// StageStatus is how a stage does.
type StageStatus struct {
	Stage    ordov1.Stage
	Plugin   *Plugin // the newest instance; it has ended when State is Away
	State    State
	Restarts uint64
	Last     *Exit  // nil: none
	Problem  string // what is wrong with its answers
}

// StageStatuses tells how the stages do, in the order in which a block passes them.
func (s *Supervisor) StageStatuses() []StageStatus {
	var all []StageStatus
	for _, p := range s.set.Plugins() {
		stage := p.Spec().Stage
		s.mu.Lock()
		w := s.stages[stage]
		standing := StageStatus{Stage: stage, Plugin: p, State: Up, Restarts: w.restarts, Last: w.last}
		switch {
		case !w.up || p.ExitReason() != "":
			standing.State = Away
		case p.Unresponsive() > 0:
			standing.State, standing.Problem = Degraded, "it does not answer its health checks"
		case w.late && p.meter.received() == w.answered:
			standing.State, standing.Problem = Late, "it does not rank in time"
		default:
			if why, late, failing := p.meter.failing(); failing {
				standing.State, standing.Problem = Failing, why
				if late {
					standing.State = Late
				}
			}
		}
		s.mu.Unlock()
		all = append(all, standing)
	}
	return all
}
