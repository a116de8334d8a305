package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// startOrder: storage first, execution reads from it, then the two that hold no state. Stopping goes the other way.
var startOrder = [...]ordov1.Stage{
	ordov1.Stage_STAGE_STORAGE, ordov1.Stage_STAGE_EXECUTION, ordov1.Stage_STAGE_CONSENSUS, ordov1.Stage_STAGE_ORDERING,
}

// Set is the four stages of one node. It wires the one side door, storage's reads, and starts and stops in order.
type Set struct {
	options Options
	runDir  string
	held    *os.File // lock in a run folder of our own; nil when the caller named one

	mu      sync.Mutex
	plugins map[ordov1.Stage]*Plugin
	specs   map[ordov1.Stage]Spec
	closed  bool
}

// StartSet starts the four plugins. When one fails, those already running are stopped.
func StartSet(ctx context.Context, options Options, specs ...Spec) (*Set, error) {
	s := &Set{options: options.withDefaults(), runDir: options.RunDir,
		plugins: map[ordov1.Stage]*Plugin{}, specs: map[ordov1.Stage]Spec{}}
	for _, spec := range specs {
		if _, twice := s.specs[spec.Stage]; twice {
			return nil, fmt.Errorf("two plugins for stage %s: name one", sdk.StageName(spec.Stage))
		}
		s.specs[spec.Stage] = spec
	}
	for _, stage := range startOrder {
		if _, ok := s.specs[stage]; !ok {
			return nil, fmt.Errorf("no plugin for stage %s", sdk.StageName(stage))
		}
	}
	if s.runDir == "" {
		dir, held, err := ownDir()
		if err != nil {
			return nil, err
		}
		s.runDir, s.held, s.options.RunDir = dir, held, dir
	} else if err := privateDir(s.runDir); err != nil {
		return nil, err
	}
	guard, err := newReaper()
	if err != nil {
		s.options.Logger.Warn("children of plugins may outlive a killed node", "error", err)
	}
	s.options.guard = guard
	for _, stage := range startOrder {
		spec := s.wired(stage, 1)
		if s.options.Starting != nil {
			s.options.Starting(spec)
		}
		p, err := Start(ctx, s.options, spec)
		if err != nil {
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return nil, errors.Join(err, s.Close(stopping))
		}
		s.plugins[stage] = p
	}
	return s, nil
}

// privateDir makes a folder that only this user may enter, and refuses one that others may.
func privateDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("run folder: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("run folder: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("run folder %s is open to other users (%s): chmod 700 it, or choose another", path, info.Mode().Perm())
	}
	return nil
}

// wired completes a stage's spec with the sockets and the generation.
func (s *Set) wired(stage ordov1.Stage, generation uint64) Spec {
	spec := s.specs[stage]
	spec.Generation = generation
	switch stage {
	case ordov1.Stage_STAGE_STORAGE:
		spec.Listen = with(spec.Listen, "read", s.readSocket())
	case ordov1.Stage_STAGE_EXECUTION:
		spec.Peers = with(spec.Peers, "storage.read", s.readSocket())
	}
	return spec
}

func (s *Set) readSocket() string { return filepath.Join(s.runDir, "read.sock") }

func with(m map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// ReadSocket is where storage answers reads; it stays the same over restarts.
func (s *Set) ReadSocket() string { return s.wired(ordov1.Stage_STAGE_STORAGE, 1).Listen["read"] }

// Plugin returns the newest instance of a stage's plugin.
func (s *Set) Plugin(stage ordov1.Stage) *Plugin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plugins[stage]
}

// Plugins returns the four plugins in the order in which a block passes them.
func (s *Set) Plugins() []*Plugin {
	var all []*Plugin
	for stage := ordov1.Stage_STAGE_ORDERING; stage <= ordov1.Stage_STAGE_CONSENSUS; stage++ {
		if p := s.Plugin(stage); p != nil {
			all = append(all, p)
		}
	}
	return all
}

// generation is the newest that a start of the stage was given.
func (s *Set) generation(stage ordov1.Stage) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(1, s.specs[stage].Generation)
}

// Restart replaces a stage's plugin by a new process of the next generation. The old one is killed if it still runs. How
// often to try, and how long to wait between, is the caller's business.
func (s *Set) Restart(ctx context.Context, stage ordov1.Stage) (*Plugin, error) {
	s.mu.Lock()
	old, closed := s.plugins[stage], s.closed
	s.mu.Unlock()
	if closed {
		return nil, errors.New("restart: the node is stopping")
	}
	if old == nil {
		return nil, fmt.Errorf("restart: no plugin for stage %s", sdk.StageName(stage))
	}
	old.Kill()
	// The generation moves on even when the start fails, so that no two instances share one.
	s.mu.Lock()
	spec := s.wired(stage, max(old.Generation(), s.specs[stage].Generation)+1)
	kept := s.specs[stage]
	kept.Generation = spec.Generation
	s.specs[stage] = kept
	s.mu.Unlock()

	p, err := Start(ctx, s.options, spec)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		p.Kill()
		return nil, errors.New("restart: the node is stopping")
	}
	s.plugins[stage] = p
	return p, nil
}

// Close drains and stops the plugins, the last started first. The deadline of ctx is for all of them together: each gets an
// equal share of what is left, so that one that hangs does not take the time of those after it; what has not drained by
// then is killed. The error names them.
func (s *Set) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	plugins := s.plugins
	s.mu.Unlock()
	var errs []error
	for i, stage := range slices.Backward(startOrder[:]) {
		p := plugins[stage]
		if p == nil {
			continue
		}
		select {
		case <-p.Exited(): // it ended before: nothing to drain
			continue
		default:
		}
		share, cancel := shareOf(ctx, i+1)
		if err := p.Stop(share); err != nil {
			errs = append(errs, err)
		}
		cancel()
	}
	s.leave()
	return errors.Join(errs...)
}

// shareOf is a part of the time until the deadline of a context.
func shareOf(ctx context.Context, parts int) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(parts))
	}
	return context.WithCancel(ctx)
}

// Kill ends the plugins and all that they started now, without Drain, and waits until they are gone or the context ends: a
// process that waits for a device cannot be ended. Nothing is started afterwards. It may be called while Close runs.
func (s *Set) Kill(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	plugins := s.plugins
	s.mu.Unlock()
	for _, p := range plugins {
		if p.process != nil {
			p.process.killGroup()
		}
	}
	for _, p := range plugins {
		if p.process == nil {
			continue
		}
		select {
		case <-p.Exited():
		case <-ctx.Done():
			return
		}
	}
	s.leave()
}

// leave gives back what the set holds beside its plugins.
func (s *Set) leave() {
	s.options.guard.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != nil {
		os.RemoveAll(s.runDir)
		s.held.Close()
		s.held = nil
	}
}
