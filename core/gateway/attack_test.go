package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	"github.com/ordo-sequencer/ordo/core/internal/retry"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// declaration is one of many classes, each another.
func declaration(n int) json.RawMessage {
	return transaction("DECLARE", "contract_class", strings.Replace(class, `"0x7"`, fmt.Sprintf(`"%#x"`, n+16), 1))
}

func compiled(q *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
	c, err := DecodeClass(q.Sierra)
	if err != nil {
		return nil, err
	}
	return &ordov1.CompileResponse{Class: &ordov1.Class{Hash: c.Hash, CompiledClassHash: felt.FromUint64(0xcc).Append(nil)}}, nil
}

// TestAFloodOfClasses: few compile, few more wait, the rest is told at once, by name, that the node is busy.
func TestAFloodOfClasses(t *testing.T) {
	var running, most atomic.Int32
	finish := make(chan struct{})
	e := &fakestage.Questions{OnCompile: func(_ context.Context, q *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-finish
		return compiled(q)
	}}
	g := startWithin(t, Limits{Compiles: 2, CompilesWaiting: 5, CompilesEach: 5}, e, &basket{})
	var busy, taken atomic.Int32
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() {
			_, err := g.Submit(t.Context(), declaration(n))
			full := (*limiter.Busy)(nil)
			switch {
			case errors.As(err, &full):
				if busy.Add(1) == 33 {
					for most.Load() < 2 { // both are on their way to execution
						time.Sleep(time.Millisecond)
					}
					close(finish)
				}
			case err != nil:
				t.Error(err)
			default:
				taken.Add(1)
			}
		})
	}
	all.Wait()
	if taken.Load() != 7 || busy.Load() != 33 || most.Load() != 2 {
		t.Errorf("%d taken, %d told busy, %d compiled at a time", taken.Load(), busy.Load(), most.Load())
	}
}

// TestABadClassIsCompiledOnce: sending it again and again costs the node nothing.
func TestABadClassIsCompiledOnce(t *testing.T) {
	var calls atomic.Int32
	g := start(t, &fakestage.Questions{OnCompile: func(context.Context, *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
		calls.Add(1)
		return &ordov1.CompileResponse{Rejection: ordov1.RejectionCode_COMPILATION_FAILED, Reason: "no"}, nil
	}}, &basket{})
	for range 20 {
		_, err := g.Submit(t.Context(), transaction("DECLARE"))
		if refused := (*Rejection)(nil); !errors.As(err, &refused) || refused.Code != ordov1.RejectionCode_COMPILATION_FAILED {
			t.Fatal(err)
		}
	}
	if calls.Load() != 1 {
		t.Errorf("compiled %d times", calls.Load())
	}
}

// TestACompilationHasADeadline, and a class that took too long may be sent again.
func TestACompilationHasADeadline(t *testing.T) {
	var calls atomic.Int32
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	g := startWithin(t, Limits{Compile: 50 * time.Millisecond}, &fakestage.Questions{OnCompile: func(_ context.Context, q *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
		if calls.Add(1) == 1 {
			<-hang
		}
		return compiled(q)
	}}, &basket{})
	_, err := g.Submit(t.Context(), transaction("DECLARE"))
	if late := (*retry.Late)(nil); !errors.As(err, &late) || late.Error() != "execution did not answer within 50ms, try again" {
		t.Fatal(err)
	}
	if _, err := g.Submit(t.Context(), transaction("DECLARE")); err != nil {
		t.Error(err)
	}
}

// TestExecutionComesBack: a transaction that is sent while execution restarts is taken; one that is away for longer is named.
func TestExecutionComesBack(t *testing.T) {
	var calls atomic.Int32
	returns := int32(4)
	e := &fakestage.Questions{OnValidate: func(_ context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
		if calls.Add(1) < returns {
			return nil, status.Error(codes.Unavailable, "execution/blockifier: away, restarting")
		}
		return accept(q), nil
	}}
	g := startWithin(t, Limits{Grace: 5 * time.Second}, e, &basket{})
	if _, err := g.Submit(t.Context(), transaction("INVOKE")); err != nil || calls.Load() != returns {
		t.Fatalf("%v after %d calls", err, calls.Load())
	}
	returns = 1 << 30
	g = startWithin(t, Limits{Grace: 50 * time.Millisecond}, e, &basket{})
	_, err := g.Submit(t.Context(), transaction("INVOKE"))
	if away := (*retry.Down)(nil); !errors.As(err, &away) || away.Error() != "execution is restarting, try again" {
		t.Error(err)
	}
}

// TestSilentExecution: clients of an execution that does not answer hear so in time, and so do those that found no place in
// the queue.
func TestSilentExecution(t *testing.T) {
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	e := &fakestage.Questions{OnValidate: func(context.Context, *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
		<-hang
		return nil, nil
	}}
	g := startWithin(t, Limits{Validate: time.Second, Turn: 50 * time.Millisecond}, e, &basket{})
	var late, busy atomic.Int32
	var all sync.WaitGroup
	for n := range 2000 { // 256 with the workers, 512 in the queue
		all.Go(func() {
			_, err := g.Submit(t.Context(), transaction("INVOKE", "nonce", fmt.Sprintf(`"%#x"`, n)))
			overdue, full := (*retry.Late)(nil), (*limiter.Busy)(nil)
			switch {
			case errors.As(err, &overdue):
				late.Add(1)
			case errors.As(err, &full):
				busy.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if late.Load() == 0 || busy.Load() == 0 {
		t.Errorf("%d late, %d busy", late.Load(), busy.Load())
	}
}

// TestCompressedClasses: a class travels as a list of felts. What older formats packed is refused before anything is unpacked.
func TestCompressedClasses(t *testing.T) {
	g := start(t, &fakestage.Questions{}, &basket{}) // a Compile would be an error
	for _, program := range []string{`"H4sIAAAAAAAAA+3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA"`, `{"gzip":"H4sI"}`, `["H4sI"]`} {
		_, err := g.Submit(t.Context(), transaction("DECLARE", "contract_class", strings.Replace(class, `["0x1","0x7","0x0"]`, program, 1)))
		shape := (*jsonin.Error)(nil)
		if !errors.As(err, &shape) || !strings.HasPrefix(shape.Path, "contract_class.sierra_program") {
			t.Errorf("%s: %v", program, err)
		}
	}
}

// TestEstimatesAreBounded as what is sent.
func TestEstimatesAreBounded(t *testing.T) {
	g := startWithin(t, Limits{Calldata: 2, Signature: 2}, &fakestage.Questions{}, &basket{})
	for _, field := range []string{"calldata", "signature"} {
		_, _, err := g.Read(t.Context(), transaction("INVOKE", field, `["0x1","0x2","0x3"]`))
		if refused := (*Rejection)(nil); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "at most 2") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
