package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

var sepolia = felt.MustShortString("SN_SEPOLIA")

// accept says of each transaction that it is valid, on the nonce that transaction writes.
func accept(q *ordov1.ValidateRequest) *ordov1.ValidateResponse { return fakestage.Valid(q, 3) }

// basket is a pool that keeps everything.
type basket struct {
	mu        sync.Mutex
	taken     []*ordov1.Transaction
	classes   []*ordov1.Class
	nonces    []uint64
	deploying bool
}

func (b *basket) SubmitAt(_ context.Context, tx *ordov1.Transaction, class *ordov1.Class, nonce uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken, b.classes, b.nonces = append(b.taken, tx), append(b.classes, class), append(b.nonces, nonce)
	return nil
}

func (b *basket) Deploying([]byte) bool { return b.deploying }

func start(t testing.TB, e *fakestage.Questions, b *basket) *Gateway {
	t.Helper()
	return startWithin(t, Limits{}, e, b)
}

func startWithin(t testing.TB, l Limits, e *fakestage.Questions, b *basket) *Gateway {
	t.Helper()
	return startOn(t, &fakestage.Chain{}, l, e, b)
}

func startOn(t testing.TB, stored *fakestage.Chain, l Limits, e *fakestage.Questions, b *basket) *Gateway {
	t.Helper()
	if e.OnValidate == nil {
		e.OnValidate = func(_ context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
			return accept(q), nil
		}
	}
	conn := fakestage.Dial(t, func(s *grpc.Server) {
		ordov1.RegisterExecutionServer(s, e)
		ordov1.RegisterStorageReadServer(s, stored)
	})
	present := chainview.New(func() *ordov1.BlockContext { return &ordov1.BlockContext{} })
	g := New(Options{ChainID: sepolia, Execution: ordov1.NewExecutionClient(conn), Storage: ordov1.NewStorageReadClient(conn), Pool: b, Chain: present, Limits: l})
	t.Cleanup(g.Close)
	return g
}

const class = `{"sierra_program":["0x1","0x7","0x0"],"contract_class_version":"0.1.0","entry_points_by_type":{"CONSTRUCTOR":[],"EXTERNAL":[],"L1_HANDLER":[]},"abi":"[]"}`

// transaction writes a broadcast transaction; more are fields that replace or add.
func transaction(kind string, more ...string) json.RawMessage {
	bound := `{"max_amount":"0x1","max_price_per_unit":"0x1"}`
	fields := map[string]string{
		"type": `"` + kind + `"`, "version": `"0x3"`, "signature": `["0x1"]`, "nonce": `"0x3"`, "tip": `"0x0"`, "paymaster_data": `[]`,
		"nonce_data_availability_mode": `"L1"`, "fee_data_availability_mode": `"L1"`,
		"resource_bounds": `{"l1_gas":` + bound + `,"l2_gas":` + bound + `,"l1_data_gas":` + bound + `}`,
	}
	switch kind {
	case "INVOKE":
		fields["sender_address"], fields["calldata"], fields["account_deployment_data"] = `"0x77"`, `["0x1"]`, `[]`
	case "DECLARE":
		fields["sender_address"], fields["compiled_class_hash"], fields["account_deployment_data"] = `"0x77"`, `"0xcc"`, `[]`
		fields["contract_class"] = class
	case "DEPLOY_ACCOUNT":
		fields["class_hash"], fields["contract_address_salt"], fields["constructor_calldata"] = `"0xc1"`, `"0x5"`, `["0x9"]`
	}
	for i := 0; i+1 < len(more); i += 2 {
		fields[more[i]] = more[i+1]
	}
	var list []string
	for name, value := range fields {
		list = append(list, `"`+name+`":`+value)
	}
	return json.RawMessage("{" + strings.Join(list, ",") + "}")
}

// TestHashOfARealTransaction: an invoke with proof facts that is on Sepolia.
func TestHashOfARealTransaction(t *testing.T) {
	raw, err := os.ReadFile("testdata/invoke_sepolia.json")
	if err != nil {
		t.Fatal(err)
	}
	var vector struct {
		Hash        felt.Felt
		Transaction json.RawMessage
	}
	if err := json.Unmarshal(raw, &vector); err != nil {
		t.Fatal(err)
	}
	b, err := Decode(vector.Transaction, sepolia)
	if err != nil {
		t.Fatal(err)
	}
	if got := felt.Reduce(b.Transaction.Hash); got != vector.Hash {
		t.Errorf("hash %s, the chain has %s", got, vector.Hash)
	}
	if !b.Proof || len(b.Transaction.ProofFacts) == 0 {
		t.Error("the proof facts were not read")
	}
	if other, _ := Decode(vector.Transaction, felt.MustShortString("SN_MAIN")); string(other.Transaction.Hash) == string(b.Transaction.Hash) {
		t.Error("the hash does not depend on the chain")
	}
}

func TestTheNonceOfTheTipReachesThePool(t *testing.T) {
	b := &basket{}
	g := start(t, &fakestage.Questions{}, b)
	tx, err := g.Submit(t.Context(), transaction("INVOKE"))
	if err != nil {
		t.Fatal(err)
	}
	if len(b.taken) != 1 || string(b.taken[0].Hash) != string(tx.Hash) || b.nonces[0] != 3 || b.classes[0] != nil {
		t.Errorf("the pool got %v with nonces %v and classes %v", b.taken, b.nonces, b.classes)
	}
}

// TestANonceOfAWrongLengthIsNoVerdict: a felt has 32 bytes, or none for zero.
func TestANonceOfAWrongLengthIsNoVerdict(t *testing.T) {
	for length, want := range map[int]bool{0: true, 32: true, 31: false, 33: false, 8: false} {
		b := &basket{}
		g := start(t, &fakestage.Questions{OnValidate: func(context.Context, *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
			return &ordov1.ValidateResponse{Verdicts: []*ordov1.ValidateResponse_Verdict{{AccountNonce: make([]byte, length)}}}, nil
		}}, b)
		if _, err := g.Submit(t.Context(), transaction("INVOKE")); (err == nil) != want || len(b.taken) > 0 != want {
			t.Errorf("%d bytes: %v, %d in the pool", length, err, len(b.taken))
		}
	}
}

// TestAFloodIsValidatedInBatches: while calls run, what arrives gathers; each transaction gets its own verdict.
func TestAFloodIsValidatedInBatches(t *testing.T) {
	const flood = 200
	var mu sync.Mutex
	var sizes []int
	gate := make(chan struct{})
	e := &fakestage.Questions{OnValidate: func(_ context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
		mu.Lock()
		sizes = append(sizes, len(q.Items))
		mu.Unlock()
		<-gate
		out := accept(q)
		for i, item := range q.Items {
			if item.Transaction.Nonce[31]%2 == 1 {
				out.Verdicts[i] = &ordov1.ValidateResponse_Verdict{Rejection: ordov1.RejectionCode_INVALID_NONCE, Reason: fmt.Sprint(item.Transaction.Nonce[31])}
			}
		}
		return out, nil
	}}
	b := &basket{}
	g := start(t, e, b)
	var wait sync.WaitGroup
	failures := make(chan error, flood)
	for n := range flood {
		wait.Go(func() {
			_, err := g.Submit(t.Context(), transaction("INVOKE", "nonce", fmt.Sprintf(`"%#x"`, n)))
			var refused *Rejection
			switch odd := n%2 == 1; {
			case !odd && err != nil:
				failures <- fmt.Errorf("nonce %d: %w", n, err)
			case odd && (!errors.As(err, &refused) || refused.Reason != fmt.Sprint(n)):
				failures <- fmt.Errorf("nonce %d got the verdict of another: %v", n, err)
			}
		})
	}
	for len(g.validate.queue) < flood-2 { // the two workers hold one each
		time.Sleep(time.Millisecond)
		mu.Lock()
		held := 0
		for _, n := range sizes {
			held += n
		}
		mu.Unlock()
		if held+len(g.validate.queue) == flood {
			break
		}
	}
	close(gate)
	wait.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	if len(sizes) > flood/10 {
		t.Errorf("%d calls for %d transactions: %v", len(sizes), flood, sizes)
	}
	if len(b.taken) != flood/2 {
		t.Errorf("the pool got %d, want %d", len(b.taken), flood/2)
	}
}

// TestAClassIsCompiledOnce: an estimate and many declarations of one class share a compilation.
func TestAClassIsCompiledOnce(t *testing.T) {
	synctest.Test(t, aClassIsCompiledOnce)
}

func aClassIsCompiledOnce(t *testing.T) {
	var calls int
	var mu sync.Mutex
	e := &fakestage.Questions{OnCompile: func(_ context.Context, q *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
		mu.Lock()
		calls++
		mu.Unlock()
		time.Sleep(20 * time.Millisecond) // until all others wait for it
		c, err := DecodeClass(q.Sierra)
		if err != nil {
			return nil, err
		}
		return &ordov1.CompileResponse{Class: &ordov1.Class{Hash: c.Hash, CompiledClassHash: felt.FromUint64(0xcc).Append(nil)}}, nil
	}}
	b := &basket{}
	g := start(t, e, b)
	var wait sync.WaitGroup
	for n := range 8 {
		wait.Go(func() {
			if _, err := g.Submit(t.Context(), transaction("DECLARE", "nonce", fmt.Sprintf(`"%#x"`, n))); err != nil {
				t.Error(err)
			}
			if _, c, err := g.Read(t.Context(), transaction("DECLARE")); err != nil || c == nil {
				t.Error(c, err)
			}
		})
	}
	wait.Wait()
	if calls != 1 || len(b.classes) != 8 || string(b.classes[0].Definition) != class {
		t.Errorf("%d compilations, %d declarations", calls, len(b.classes))
	}
}

func TestADeclaredClassIsNotCompiled(t *testing.T) {
	known, err := DecodeClass([]byte(class))
	if err != nil {
		t.Fatal(err)
	}
	stored := &fakestage.Chain{Stored: []*ordov1.Block{{StateDiff: &ordov1.StateDiff{Declared: append(known.Hash, felt.One().Append(nil)...)}}}}
	g := startOn(t, stored, Limits{}, &fakestage.Questions{}, &basket{})
	_, err = g.Submit(t.Context(), transaction("DECLARE")) // a Compile would be an error
	var refused *Rejection
	if !errors.As(err, &refused) || refused.Code != ordov1.RejectionCode_CLASS_ALREADY_DECLARED {
		t.Error(err)
	}
}

// TestAnAccountOnItsWay: the first call of an account whose deployment waits is not validated; a nonce of 0 and the
// deployment itself are.
func TestAnAccountOnItsWay(t *testing.T) {
	var skipped []bool
	e := &fakestage.Questions{OnValidate: func(_ context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
		skipped = append(skipped, q.Items[0].SkipValidate)
		return accept(q), nil
	}}
	b := &basket{deploying: true}
	g := start(t, e, b)
	for _, raw := range []json.RawMessage{transaction("INVOKE", "nonce", `"0x1"`), transaction("INVOKE", "nonce", `"0x0"`), transaction("DEPLOY_ACCOUNT", "nonce", `"0x1"`)} {
		if _, err := g.Submit(t.Context(), raw); err != nil {
			t.Fatal(err)
		}
	}
	b.deploying = false
	if _, err := g.Submit(t.Context(), transaction("INVOKE", "nonce", `"0x2"`)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(skipped); got != "[true false false false]" {
		t.Error("skipped", got)
	}
}

// TestFaultsAreNotRejections: an execution that has ended or answers nonsense must not look as if the transaction were bad.
func TestFaultsAreNotRejections(t *testing.T) {
	for name, e := range map[string]*fakestage.Questions{
		"dead": {OnValidate: func(context.Context, *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
			return nil, status.Error(codes.Unavailable, "gone")
		}},
		"short answer": {OnValidate: func(context.Context, *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
			return &ordov1.ValidateResponse{}, nil
		}},
		"wrong class": {OnCompile: func(context.Context, *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
			return &ordov1.CompileResponse{Class: &ordov1.Class{Hash: []byte("another")}}, nil
		}},
	} {
		b := &basket{}
		g := startWithin(t, Limits{Grace: 50 * time.Millisecond}, e, b)
		kind := "INVOKE"
		if e.OnCompile != nil {
			kind = "DECLARE"
		}
		_, err := g.Submit(t.Context(), transaction(kind))
		var refused *Rejection
		var shape *jsonin.Error
		if err == nil || errors.As(err, &refused) || errors.As(err, &shape) || len(b.taken) > 0 {
			t.Errorf("%s: %v, the pool got %d", name, err, len(b.taken))
		}
	}
}

func TestAClosedGatewayAnswers(t *testing.T) {
	g := start(t, &fakestage.Questions{}, &basket{})
	g.validate.close()
	if _, err := g.Submit(t.Context(), transaction("INVOKE")); !errors.Is(err, errStopped) {
		t.Error(err)
	}
	g.validate = newValidator(nil, nil, nil, DefaultLimits(), nil, 0, 1) // for the clean-up to close
}

func TestLimits(t *testing.T) {
	long := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat(`"0x1",`, n), ",") + "]" }
	program := func(n int) string { return strings.Replace(class, `["0x1","0x7","0x0"]`, long(n), 1) }
	e := &fakestage.Questions{OnCompile: func(context.Context, *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
		return &ordov1.CompileResponse{Rejection: ordov1.RejectionCode_COMPILATION_FAILED, Reason: "no"}, nil
	}}
	g := start(t, e, &basket{})
	for _, c := range []struct {
		raw  json.RawMessage
		want ordov1.RejectionCode
	}{
		{transaction("INVOKE", "calldata", long(5000)), ordov1.RejectionCode_REJECTION_CODE_UNSPECIFIED},
		{transaction("INVOKE", "calldata", long(5001)), ordov1.RejectionCode_OTHER},
		{transaction("INVOKE", "signature", long(4000)), ordov1.RejectionCode_REJECTION_CODE_UNSPECIFIED},
		{transaction("INVOKE", "signature", long(4001)), ordov1.RejectionCode_OTHER},
		{transaction("DECLARE", "contract_class", program(81_920)), ordov1.RejectionCode_COMPILATION_FAILED},
		{transaction("DECLARE", "contract_class", program(81_921)), ordov1.RejectionCode_CLASS_TOO_LARGE},
		{transaction("DECLARE", "contract_class", strings.Replace(class, `"[]"`, `"`+strings.Repeat("a", 4_089_446)+`"`, 1)), ordov1.RejectionCode_CLASS_TOO_LARGE},
	} {
		_, err := g.Submit(t.Context(), c.raw)
		var refused *Rejection
		got := ordov1.RejectionCode_REJECTION_CODE_UNSPECIFIED
		if errors.As(err, &refused) {
			got = refused.Code
		} else if err != nil {
			t.Error(err)
		}
		if got != c.want {
			t.Errorf("%.60s...: %v, want %v", c.raw, err, c.want)
		}
	}
	if err := (Limits{Calldata: 10, Signature: 10, FreeOfCharge: true}).check(&Broadcast{Transaction: &ordov1.Transaction{Sender: felt.FromUint64(5).Append(nil)}}); err != nil {
		t.Errorf("a chain without fees takes zero bounds: %v", err)
	}
}

// TestARepeatedTransactionCostsNothing: it is rejected before it is validated.
func TestARepeatedTransactionCostsNothing(t *testing.T) {
	calls := 0
	g := start(t, &fakestage.Questions{OnValidate: func(_ context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
		calls++
		return accept(q), nil
	}}, &basket{})
	tx, err := g.Submit(t.Context(), transaction("INVOKE"))
	if err != nil {
		t.Fatal(err)
	}
	g.chain.(*chainview.Chain).Received(tx)
	if _, err := g.Submit(t.Context(), transaction("INVOKE")); !errors.Is(err, mempool.ErrDuplicate) || calls != 1 {
		t.Errorf("%v after %d validations", err, calls)
	}
}

// FuzzDecode: whatever is sent is read or rejected with a place, and what is read hashes the same again.
func FuzzDecode(f *testing.F) {
	for _, kind := range types {
		f.Add([]byte(transaction(kind)))
	}
	f.Add([]byte(`{"type":"INVOKE","version":"0x100000000000000000000000000000003"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := Decode(raw, sepolia)
		if err != nil {
			return
		}
		tx := b.Transaction
		if len(tx.Hash) != felt.Size || len(tx.Sender) != felt.Size || len(tx.Nonce) != felt.Size || len(tx.Calldata)%felt.Size != 0 {
			t.Fatalf("read into %v", tx)
		}
		// Another node finds nothing in it that a transaction of its type does not have.
		if parsed, err := wire.Transaction(tx); err != nil {
			t.Fatal(err)
		} else if own, err := wire.FromTransaction(parsed, sepolia, tx.QueryOnly); err != nil || !proto.Equal(own, tx) {
			t.Fatalf("read into %v, its own form is %v: %v", tx, own, err)
		}
		if again, err := Decode(raw, sepolia); err != nil || string(again.Transaction.Hash) != string(tx.Hash) {
			t.Fatalf("the second reading differs: %v", err)
		}
		if b.Class != nil {
			c, err := DecodeClass(b.Class.Definition)
			if err != nil || string(c.Hash) != string(b.Class.Hash) || string(c.Definition) != string(b.Class.Definition) {
				t.Fatalf("the class as written is another: %v", err)
			}
		}
	})
}
