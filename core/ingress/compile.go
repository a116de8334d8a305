package ingress

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// compiler keeps few compilations running at a time, and the last classes: clients estimate a declaration before they
// send it, and the second time costs nothing.
type compiler struct {
	execution ordov1.ExecutionClient
	slots     chan struct{}

	mu    sync.Mutex
	kept  []*ordov1.Class // oldest first
	flows map[string]*flow
}

// flow is a compilation that several clients may wait for.
type flow struct {
	done  chan struct{}
	class *ordov1.Class
	err   error
}

const keepClasses = 8 // a class may have several megabytes

func newCompiler(execution ordov1.ExecutionClient, parallel int) *compiler {
	return &compiler{execution: execution, slots: make(chan struct{}, parallel), flows: map[string]*flow{}}
}

// compile returns the compiled class, or a Refused.
func (c *compiler) compile(ctx context.Context, class *SierraClass) (*ordov1.Class, error) {
	key := string(class.Hash)
	c.mu.Lock()
	for _, k := range c.kept {
		if string(k.Hash) == key {
			c.mu.Unlock()
			return k, nil
		}
	}
	f, running := c.flows[key]
	if !running {
		f = &flow{done: make(chan struct{})}
		c.flows[key] = f
		// It goes on when its first client leaves: others may wait for the same class, and it is kept.
		go c.run(key, f, class)
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.class, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("compilation: %w", ctx.Err())
	}
}

func (c *compiler) run(key string, f *flow, class *SierraClass) {
	f.class, f.err = c.call(class)
	c.mu.Lock()
	delete(c.flows, key)
	if f.err == nil {
		c.kept = append(c.kept, f.class)
		if len(c.kept) > keepClasses {
			c.kept = append([]*ordov1.Class(nil), c.kept[1:]...)
		}
	}
	c.mu.Unlock()
	close(f.done)
}

func (c *compiler) call(class *SierraClass) (*ordov1.Class, error) {
	c.slots <- struct{}{}
	defer func() { <-c.slots }()
	ctx, cancel := context.WithTimeout(context.Background(), compileTimeout)
	defer cancel()
	response, err := c.execution.Compile(ctx, &ordov1.CompileRequest{Sierra: class.Definition})
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
