package gateway

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// stranger is an account that does not exist, or did not sign.
const stranger = `"0x5555"`

// guarded rejects strangers, as execution does.
func guarded(q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
	out := accept(q)
	for i, item := range q.Items {
		if item.Transaction.Sender[30] == 0x55 {
			out.Verdicts[i].Rejection, out.Verdicts[i].Reason = ordov1.RejectionCode_VALIDATION_FAILURE, "invalid signature"
		}
	}
	return out, nil
}

// TestStrangersCompileNothing: a declaration that its account would reject does not reach the compiler, however many are sent,
// and honest ones pass beside them.
func TestStrangersCompileNothing(t *testing.T) {
	var compiles atomic.Int32
	var without, with atomic.Int32
	e := &fakestage.Questions{
		OnValidate: func(_ context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
			if !q.At.GetOpenBlock() {
				t.Error("not checked on the open block")
			}
			for _, item := range q.Items {
				if item.Class == nil {
					without.Add(1)
				} else {
					with.Add(1)
				}
				if item.SkipValidate {
					t.Error("a signature is not checked")
				}
			}
			return guarded(q)
		},
		OnCompile: func(_ context.Context, q *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
			compiles.Add(1)
			return compiled(q)
		},
	}
	b := &basket{deploying: true} // even then
	g := startWithin(t, Limits{CompilesWaiting: 2, CompilesEach: 1}, e, b)
	var all sync.WaitGroup
	for n := range 60 {
		all.Go(func() {
			raw := transaction("DECLARE", "sender_address", stranger, "contract_class", strings.Replace(class, `"0x7"`, fmt.Sprintf(`"%#x"`, n+16), 1))
			_, err := g.Submit(t.Context(), raw)
			if refused := (*Rejection)(nil); !errors.As(err, &refused) || refused.Code != ordov1.RejectionCode_VALIDATION_FAILURE {
				t.Error(err)
			}
		})
	}
	for n := range 3 {
		if _, err := g.Submit(t.Context(), declaration(1000+n)); err != nil {
			t.Error("honest:", err)
		}
	}
	all.Wait()
	if compiles.Load() != 3 || without.Load() != 63 || with.Load() != 3 || len(b.taken) != 3 {
		t.Errorf("%d compiled; validated %d times without and %d times with a class; %d taken", compiles.Load(), without.Load(), with.Load(), len(b.taken))
	}
}

// TestCompilationsTakeTurns: while estimates from one address wait in numbers, a declaration is the next.
func TestCompilationsTakeTurns(t *testing.T) {
	begun, finish := make(chan string, 20), make(chan struct{})
	e := &fakestage.Questions{OnCompile: func(_ context.Context, q *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
		c, err := DecodeClass(q.Sierra)
		if err != nil {
			return nil, err
		}
		begun <- string(c.Hash)
		<-finish
		return compiled(q)
	}}
	g := startWithin(t, Limits{CompilesWaiting: 6, CompilesEach: 4}, e, &basket{})
	var all sync.WaitGroup
	from := FromClient(t.Context(), "10.0.0.1/32")
	var busy atomic.Int32
	refused := make(chan struct{}, 20)
	for n := range 9 { // one runs, four wait, four hear that the address has its share
		all.Go(func() {
			_, _, err := g.Read(from, declaration(n))
			if full := (*limiter.Busy)(nil); errors.As(err, &full) {
				busy.Add(1)
				if !strings.Contains(err.Error(), "limits.compiles_each") {
					t.Error(err)
				}
				refused <- struct{}{}
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	<-begun
	for range 4 {
		<-refused
	}
	all.Go(func() {
		if _, err := g.Submit(t.Context(), declaration(100)); err != nil {
			t.Error(err)
		}
	})
	waitFor(t, g.compile, 5)
	all.Go(func() {
		if _, _, err := g.Read(FromClient(t.Context(), "10.0.0.2/32"), declaration(200)); err != nil {
			t.Error(err)
		}
	})
	waitFor(t, g.compile, 6)
	order := []string{hashOf(t, 100), "one of the four", hashOf(t, 200)}
	for i, want := range order {
		finish <- struct{}{}
		got := <-begun
		if i == 1 {
			if got == order[2] {
				t.Error("the second address came before the first, which was there earlier")
			}
		} else if got != want {
			t.Errorf("turn %d: %x, want %x", i, got, want)
		}
	}
	close(finish)
	all.Wait()
	if busy.Load() != 4 {
		t.Errorf("%d were told that they have their share", busy.Load())
	}
}

func hashOf(t *testing.T, n int) string {
	b, err := Decode(declaration(n), sepolia)
	if err != nil {
		t.Fatal(err)
	}
	return string(b.Class.Hash)
}

// waitFor waits until so many flows wait for their turn.
func waitFor(t *testing.T, c *compiler, waiting int) {
	t.Helper()
	for {
		c.mu.Lock()
		n := c.turns.waiting
		c.mu.Unlock()
		if n == waiting {
			return
		}
		runtime.Gosched()
	}
}

// TestNoCompilationWithoutAClient: a compilation without a waiting client ends, one that waits for its turn never begins, and one
// that another client waits for goes on.
func TestNoCompilationWithoutAClient(t *testing.T) {
	begun, ended := make(chan struct{}, 9), make(chan struct{}, 9)
	finish := make(chan struct{})
	g := startWithin(t, Limits{}, &fakestage.Questions{OnCompile: func(ctx context.Context, q *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
		begun <- struct{}{}
		select {
		case <-ctx.Done():
			ended <- struct{}{}
			return nil, ctx.Err()
		case <-finish:
			return compiled(q)
		}
	}}, &basket{})
	read := func(n int) (leave func(), left <-chan error) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, _, err := g.Read(ctx, declaration(n))
			done <- err
		}()
		return cancel, done
	}
	first, firstLeft := read(1)
	<-begun
	second, secondLeft := read(2)
	waitFor(t, g.compile, 1)
	second()
	if err := <-secondLeft; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	waitFor(t, g.compile, 0)
	first()
	<-ended
	if err := <-firstLeft; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// Two wait for the third, and one leaves.
	third, thirdLeft := read(3)
	<-begun
	_, fourthLeft := read(3)
	for g.compile.clients(hashOf(t, 3)) != 2 {
		runtime.Gosched()
	}
	third()
	<-thirdLeft
	close(finish)
	if err := <-fourthLeft; err != nil {
		t.Error(err)
	}
	if len(begun) != 0 || len(ended) != 0 {
		t.Errorf("%d more begun, %d more ended", len(begun), len(ended))
	}
}

func (c *compiler) clients(hash string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flows[hash]; f != nil {
		return f.clients
	}
	return 0
}

// TestAWrongCompiledHashIsCompiledOnce, though so many other classes came since that the class itself is forgotten.
func TestAWrongCompiledHashIsCompiledOnce(t *testing.T) {
	var compiles atomic.Int32
	g := start(t, &fakestage.Questions{OnCompile: func(_ context.Context, q *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
		compiles.Add(1)
		return compiled(q)
	}}, &basket{})
	wrong := transaction("DECLARE", "compiled_class_hash", `"0xdd"`)
	for n := range 3 {
		_, err := g.Submit(t.Context(), wrong)
		if refused := (*Rejection)(nil); !errors.As(err, &refused) || refused.Code != ordov1.RejectionCode_COMPILED_CLASS_HASH_MISMATCH {
			t.Fatal(err)
		}
		for i := range keepClasses {
			if _, err := g.Submit(t.Context(), declaration(n*keepClasses+i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := compiles.Load(); n != 1+3*keepClasses {
		t.Errorf("compiled %d times", n)
	}
}

// TestTheSameSentAtOnce: the second copy may be looked at when the first has run already, and is still the same transaction.
func TestTheSameSentAtOnce(t *testing.T) {
	var g *Gateway
	e := &fakestage.Questions{OnValidate: func(_ context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
		g.chain.(*chainview.Chain).Received(q.Items[0].Transaction)
		out := accept(q)
		out.Verdicts[0].Rejection = ordov1.RejectionCode_INVALID_NONCE
		return out, nil
	}}
	g = start(t, e, &basket{})
	if _, err := g.Submit(t.Context(), transaction("INVOKE")); !errors.Is(err, mempool.ErrDuplicate) {
		t.Error(err)
	}
}
