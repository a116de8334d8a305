package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	"github.com/ordo-sequencer/ordo/core/internal/retry"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// compiler keeps few compilations running at a time, and the last classes: clients estimate a declaration before they
// send it, and the second time costs nothing. What was rejected costs nothing the second time either.
type compiler struct {
	execution ordov1.ExecutionClient
	asker     retry.Asker
	most      int           // that run at a time
	patience  time.Duration // a client's

	mu      sync.Mutex
	running int
	turns   *turns
	kept    []*flow // the oldest first
	bad     []*flow
	known   []compiledHash
	flows   map[string]*flow
}

// flow is a compilation that several clients may wait for.
type flow struct {
	hash    string
	sierra  []byte
	lane    lane // where it waits, while it does
	waits   bool
	clients int
	cancel  context.CancelFunc // ends the call, while it runs
	done    chan struct{}
	class   *ordov1.Class
	err     error
}

// compiledHash is what a class was compiled to; the class itself may be forgotten.
type compiledHash struct{ class, compiled string }

const (
	keepClasses  = 8 // a class may have several megabytes
	keepRefusals = 256
	keepHashes   = 1024
)

func newCompiler(execution ordov1.ExecutionClient, l Limits, crashes *crash.Ledger) *compiler {
	return &compiler{
		execution: execution, flows: map[string]*flow{}, most: l.Compiles, turns: newTurns(l.CompilesWaiting, l.CompilesEach),
		asker: retry.Asker{Stage: "execution", Deadline: l.Compile, Grace: l.Grace, Crashes: crashes},
		// A client waits as long as the compilations before its own take.
		patience: time.Duration(l.CompilesWaiting+1) * l.Compile,
	}
}

// remembered is what is known of a class without compiling it: the compiled class, or a rejection.
func (c *compiler) remembered(hash []byte) (class *ordov1.Class, refused error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.look(string(hash))
}

func (c *compiler) look(hash string) (*ordov1.Class, error) {
	for _, list := range [][]*flow{c.kept, c.bad} {
		for _, f := range list {
			if f.hash == hash {
				return f.class, f.err
			}
		}
	}
	return nil, nil
}

// compiledTo is the compiled class hash of a class that was compiled before; empty: not known.
func (c *compiler) compiledTo(hash []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.known {
		if k.class == string(hash) {
			return []byte(k.compiled)
		}
	}
	return nil
}

// compile returns the compiled class, a Refused, or a Busy.
func (c *compiler) compile(ctx context.Context, class *SierraClass, l lane) (*ordov1.Class, error) {
	limiter.GiveBack(ctx) // what was decoded is a class now
	f, err := c.join(class, l)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(c.patience)
	defer timer.Stop()
	select {
	case <-f.done:
		return f.class, f.err
	case <-timer.C:
		err = c.busy(c.patience)
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.leave(f)
	return nil, fmt.Errorf("compilation: %w", err)
}

// join finds the flow of a class, or makes one.
func (c *compiler) join(class *SierraClass, l lane) (*flow, error) {
	key := string(class.Hash)
	c.mu.Lock()
	defer c.mu.Unlock()
	if compiled, refused := c.look(key); compiled != nil || refused != nil {
		f := &flow{done: make(chan struct{}), class: compiled, err: refused}
		close(f.done)
		return f, nil
	}
	f := c.flows[key]
	switch {
	case f == nil:
		f = &flow{hash: key, sierra: class.Definition, done: make(chan struct{})}
		if c.running < c.most {
			c.start(f)
			break
		}
		full := c.turns.length(l) >= c.turns.share
		out, ok := c.turns.add(l, f)
		switch {
		case !ok && full:
			return nil, fmt.Errorf("compilation: %w", &limiter.Busy{What: "compilations of one sender (limits.compiles_each)", Running: c.most, Waiting: c.turns.share})
		case !ok:
			return nil, fmt.Errorf("compilation: %w", c.busy(0))
		case out != nil:
			c.end(out, nil, fmt.Errorf("compilation: %w", c.busy(0)))
		}
	case f.waits && l.proven:
		c.turns.prove(l, f)
	}
	c.flows[key] = f
	f.clients++
	return f, nil
}

func (c *compiler) busy(waited time.Duration) *limiter.Busy {
	return &limiter.Busy{What: "compilations", Running: c.most, Waiting: c.turns.most, Waited: waited}
}

// leave notes that a client does not wait any more. A class without a waiting client is not compiled, or not to its end.
func (c *compiler) leave(f *flow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.clients--; f.clients > 0 || c.flows[f.hash] != f {
		return
	}
	delete(c.flows, f.hash) // the next request for this class begins anew
	if f.waits {
		c.turns.remove(f)
	} else {
		f.cancel()
	}
}

// start runs a flow; the lock is held.
func (c *compiler) start(f *flow) {
	c.running++
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go func() {
		class, err := c.call(ctx, f)
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running--
		c.end(f, class, err)
		for c.running < c.most {
			next := c.turns.next()
			if next == nil {
				return
			}
			c.start(next)
		}
	}()
}

// end tells the clients of a flow what came of it; the lock is held.
func (c *compiler) end(f *flow, class *ordov1.Class, err error) {
	f.class, f.err, f.sierra = class, err, nil
	if c.flows[f.hash] == f {
		delete(c.flows, f.hash)
	}
	refused := (*Rejection)(nil)
	switch {
	case err == nil:
		c.kept = last(append(c.kept, f), keepClasses)
		c.known = last(append(c.known, compiledHash{f.hash, string(class.CompiledClassHash)}), keepHashes)
	case errors.As(err, &refused):
		c.bad = last(append(c.bad, f), keepRefusals)
	}
	close(f.done)
}

// last copies what stays, so that nothing holds what goes.
func last[T any](list []T, most int) []T {
	return slices.Clone(list[max(0, len(list)-most):])
}

func (c *compiler) call(ctx context.Context, f *flow) (*ordov1.Class, error) {
	var response *ordov1.CompileResponse
	sierra := f.sierra
	q := crash.Question{Kind: crash.Compilation, Names: func() []crash.Name {
		return []crash.Name{{Key: crash.Key([]byte(f.hash)), What: "the compilation of this class"}}
	}}
	err := c.asker.Put(ctx, q, func(ctx context.Context) (err error) {
		response, err = c.execution.Compile(ctx, &ordov1.CompileRequest{Sierra: sierra})
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("compilation: %w", err)
	case response.Rejection != ordov1.RejectionCode_REJECTION_CODE_UNSPECIFIED:
		return nil, &Rejection{Code: response.Rejection, Reason: response.Reason}
	case response.Class == nil:
		return nil, fmt.Errorf("compilation: execution answered neither a class nor a rejection")
	case !bytes.Equal(response.Class.Hash, []byte(f.hash)):
		return nil, fmt.Errorf("compilation: execution computed class hash %x, the core %x", response.Class.Hash, f.hash)
	}
	// What is stored and served is the core's own writing of the class.
	response.Class.Definition = sierra
	return response.Class, nil
}
