package ingress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/core/rpc/gate"
	"github.com/ordo-sequencer/ordo/core/rpc/stage"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// compiler keeps few compilations running at a time, and the last classes: clients estimate a declaration before they
// send it, and the second time costs nothing. What was refused costs nothing the second time either.
type compiler struct {
	execution ordov1.ExecutionClient
	asker     stage.Asker
	gate      *gate.Gate

	mu    sync.Mutex
	kept  []*flow // the oldest first
	bad   []*flow
	flows map[string]*flow
}

// flow is a compilation that several clients may wait for.
type flow struct {
	hash  string
	done  chan struct{}
	class *ordov1.Class
	err   error
}

const (
	keepClasses  = 8 // a class may have several megabytes
	keepRefusals = 256
)

func newCompiler(execution ordov1.ExecutionClient, l Limits) *compiler {
	return &compiler{
		execution: execution, flows: map[string]*flow{},
		asker: stage.Asker{Stage: "execution", Deadline: l.Compile, Grace: l.Grace},
		// Who waits for a compilation waits as long as those before it take.
		gate: gate.New("compilations", l.Compiles, l.CompilesWaiting, time.Duration(l.CompilesWaiting+1)*l.Compile),
	}
}

// compile returns the compiled class, or a Refused.
func (c *compiler) compile(ctx context.Context, class *SierraClass) (*ordov1.Class, error) {
	key := string(class.Hash)
	gate.GiveBack(ctx) // what was decoded is a class now
	c.mu.Lock()
	for _, k := range slices.Concat(c.kept, c.bad) {
		if k.hash == key {
			c.mu.Unlock()
			return k.class, k.err
		}
	}
	f, running := c.flows[key]
	if !running {
		f = &flow{hash: key, done: make(chan struct{})}
		c.flows[key] = f
		// It goes on when its first client leaves: others may wait for the same class, and it is kept.
		go c.run(f, class)
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.class, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("compilation: %w", ctx.Err())
	}
}

func (c *compiler) run(f *flow, class *SierraClass) {
	f.class, f.err = c.call(class)
	refused := (*Refused)(nil)
	c.mu.Lock()
	delete(c.flows, f.hash)
	switch {
	case f.err == nil:
		c.kept = last(append(c.kept, f), keepClasses)
	case errors.As(f.err, &refused):
		c.bad = last(append(c.bad, f), keepRefusals)
	}
	c.mu.Unlock()
	close(f.done)
}

// last copies what stays, so that nothing holds what goes.
func last(list []*flow, most int) []*flow {
	return slices.Clone(list[max(0, len(list)-most):])
}

func (c *compiler) call(class *SierraClass) (*ordov1.Class, error) {
	leave, err := c.gate.Enter(context.Background())
	if err != nil {
		return nil, fmt.Errorf("compilation: %w", err)
	}
	defer leave()
	var response *ordov1.CompileResponse
	err = c.asker.Ask(context.Background(), func(ctx context.Context) (err error) {
		response, err = c.execution.Compile(ctx, &ordov1.CompileRequest{Sierra: class.Definition})
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("compilation: %w", err)
	case response.Refusal != ordov1.Refusal_REFUSAL_UNSPECIFIED:
		return nil, &Refused{Code: response.Refusal, Reason: response.Reason}
	case response.Class == nil:
		return nil, fmt.Errorf("compilation: execution answered neither a class nor a refusal")
	case !bytes.Equal(response.Class.Hash, class.Hash):
		return nil, fmt.Errorf("compilation: execution computed class hash %x, the core %x", response.Class.Hash, class.Hash)
	}
	// What is stored and served is the core's own writing of the class.
	response.Class.Definition = class.Definition
	return response.Class, nil
}
