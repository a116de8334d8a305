package conformance

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Ordering is what docs/spec/ordering.md asks of a level-1 policy, whatever its rule.
var Ordering = map[string]func(*testing.T, Subject){
	"one score each":              scoreCount,
	"pure":                        scorePure,
	"batches carry no meaning":    scoreBatches,
	"order carries no meaning":    scoreOrder,
	"no transactions":             scoreNothing,
	"sparse views":                scoreSparse,
	"the same in another life":    scoreLives,
	"arrival means equal":         scoreArrival,
	"ten thousand at once":        scoreMany,
	"concurrent calls":            scoreConcurrent,
	"generation does not go back": scoreGeneration,
	"generation comes to rest":    scoreGenerationRests,
	"stage is ordering":           scoreStage,
	"refused before configure":    scoreUnconfigured,
}

// RunOrdering runs Ordering over a subject.
func RunOrdering(t *testing.T, s Subject) { run(t, "ordering", Ordering, s) }

// SeedVariable sets the seed from which the transactions of the tests are made.
const SeedVariable = "ORDO_CONFORMANCE_SEED"

func firstSeed() uint64 {
	if seed, err := strconv.ParseUint(os.Getenv(SeedVariable), 10, 64); err == nil {
		return seed
	}
	return 1
}

// views makes n transactions that differ in everything a policy can see, the same ones for the same seed.
func views(seed uint64, n int) []*ordov1.TransactionView {
	r := rand.New(rand.NewPCG(seed, firstSeed()))
	felt := func() []byte {
		b := make([]byte, 32)
		for i := 8; i < 32; i += 8 {
			binary.BigEndian.PutUint64(b[i:], r.Uint64())
		}
		return b
	}
	u128 := func() []byte {
		b := make([]byte, 16)
		binary.BigEndian.PutUint64(b[8:], r.Uint64())
		return b
	}
	types := []ordov1.TransactionType{ordov1.TransactionType_INVOKE, ordov1.TransactionType_DECLARE,
		ordov1.TransactionType_DEPLOY_ACCOUNT, ordov1.TransactionType_L1_HANDLER}
	all := make([]*ordov1.TransactionView, n)
	for i := range all {
		v := &ordov1.TransactionView{
			Hash: felt(), Type: types[r.IntN(len(types))], Sender: felt(), Nonce: felt(), NonceGap: uint64(r.IntN(3)),
			Tip: r.Uint64() >> r.IntN(64), ArrivalSeq: uint64(i) + 1, ArrivalMs: 1_700_000_000_000 + uint64(i)*7,
			Size: uint32(r.IntN(1 << 16)), CalldataLen: uint32(r.IntN(5000)), MaxFee: u128(),
			ResourceBounds: &ordov1.ResourceBounds{L2GasAmount: r.Uint64() >> 20, L2GasPrice: u128(), L1GasPrice: u128(), L1DataGasPrice: u128()},
		}
		for range r.IntN(4) {
			v.Calls = append(v.Calls, &ordov1.Call{To: felt(), Selector: felt()})
		}
		all[i] = v
	}
	return all
}

type rank struct{ hi, lo uint64 }

// ranks asks for scores and checks the form of the answer.
func ranks(t *testing.T, i *Instance, txs []*ordov1.TransactionView) []rank {
	t.Helper()
	resp, err := ordov1.NewOrderingClient(i.Conn).Score(within(t), scoreRequest(txs))
	if err != nil {
		t.Fatalf("score: %v", err)
	}
	if len(resp.GetHi()) != len(txs) {
		t.Fatalf("%d scores (hi) for %d transactions", len(resp.GetHi()), len(txs))
	}
	if len(resp.GetLo()) != 0 && len(resp.GetLo()) != len(txs) {
		t.Fatalf("%d second scores (lo) for %d transactions, want none or all", len(resp.GetLo()), len(txs))
	}
	all := make([]rank, len(txs))
	for k := range all {
		all[k].hi = resp.GetHi()[k]
		if len(resp.GetLo()) > 0 {
			all[k].lo = resp.GetLo()[k]
		}
	}
	return all
}

// mustBeEqual compares two rankings of the same views, and shows the first that differs.
func mustBeEqual(t *testing.T, what string, txs []*ordov1.TransactionView, first, second []rank) {
	t.Helper()
	for k := range txs {
		if first[k] != second[k] {
			t.Fatalf("%s: view %d (hash 0x%x): hi %d, lo %d, then hi %d, lo %d; %s=%d makes the same views", what, k, txs[k].GetHash(),
				first[k].hi, first[k].lo, second[k].hi, second[k].lo, SeedVariable, firstSeed())
		}
	}
}

func scoreRequest(txs []*ordov1.TransactionView) *ordov1.ScoreRequest {
	price := make([]byte, 16)
	price[15] = 1
	return &ordov1.ScoreRequest{NowMs: 1_700_000_100_000, Height: 42, L2GasPrice: price, Transactions: txs}
}

func scoreCount(t *testing.T, s Subject) {
	i := s.Configured(t)
	for _, n := range []int{1, 2, 128} {
		ranks(t, i, views(uint64(n), n))
	}
}

func scorePure(t *testing.T, s Subject) {
	i := s.Configured(t)
	txs := views(1, 100)
	first := ranks(t, i, txs)
	ranks(t, i, views(2, 50)) // what it saw between must not matter
	mustBeEqual(t, "the same views in the same context got other scores", txs, first, ranks(t, i, txs))
}

func scoreBatches(t *testing.T, s Subject) {
	i := s.Configured(t)
	txs := views(3, 60)
	whole := ranks(t, i, txs)
	var parts []rank
	for chunk := range slices.Chunk(txs, 7) {
		parts = append(parts, ranks(t, i, chunk)...)
	}
	mustBeEqual(t, "scores depend on how the transactions are cut into batches", txs, whole, parts)
}

func scoreOrder(t *testing.T, s Subject) {
	i := s.Configured(t)
	txs := views(4, 60)
	forward := ranks(t, i, txs)
	reversed := slices.Clone(txs)
	slices.Reverse(reversed)
	backward := ranks(t, i, reversed)
	slices.Reverse(backward)
	mustBeEqual(t, "scores depend on the place in the batch", txs, forward, backward)
}

func scoreNothing(t *testing.T, s Subject) { ranks(t, s.Configured(t), nil) }

// scoreSparse: fields that are empty or at their limits are no reason to fail.
func scoreSparse(t *testing.T, s Subject) {
	i := s.Configured(t)
	top := ^uint64(0)
	for what, view := range map[string]*ordov1.TransactionView{
		"with no field set":                    {},
		"with a hash of zero alone":            {Hash: make([]byte, 32)},
		"with every number at its largest":     {Tip: top, ArrivalSeq: top, ArrivalMs: top, NonceGap: top, Size: ^uint32(0), CalldataLen: ^uint32(0)},
		"with empty bounds and one empty call": {ResourceBounds: &ordov1.ResourceBounds{}, Calls: []*ordov1.Call{{}}},
	} {
		if _, err := ordov1.NewOrderingClient(i.Conn).Score(within(t), scoreRequest([]*ordov1.TransactionView{view})); err != nil {
			t.Errorf("a view %s: %v", what, err)
		}
	}
}

func scoreLives(t *testing.T, s Subject) {
	txs := views(5, 100)
	mustBeEqual(t, "another process of the same plugin gives other scores", txs, ranks(t, s.Configured(t), txs), ranks(t, s.Configured(t), txs))
}

func scoreArrival(t *testing.T, s Subject) {
	i := s.Configured(t)
	d, err := i.plugin().Describe(within(t), &ordov1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(d.GetCapabilities(), sdk.CapArrival) {
		t.Skip("does not claim the capability")
	}
	all := ranks(t, i, views(6, 500))
	for _, r := range all {
		if r != all[0] {
			t.Fatal("claims the capability \"arrival\" and gives different scores")
		}
	}
}

func scoreMany(t *testing.T, s Subject) { ranks(t, s.Configured(t), views(7, 10_000)) }

func scoreConcurrent(t *testing.T, s Subject) {
	i := s.Configured(t)
	txs := views(8, 200)
	want := ranks(t, i, txs)
	client := ordov1.NewOrderingClient(i.Conn)
	ctx := within(t)
	answers := make(chan []uint64, 16)
	for range cap(answers) {
		go func() {
			resp, err := client.Score(ctx, scoreRequest(txs))
			if err != nil && ctx.Err() == nil {
				t.Errorf("score: %v", err)
			}
			answers <- resp.GetHi()
		}()
	}
	for range cap(answers) {
		got := <-answers
		for k := range min(len(got), len(want)) {
			if got[k] != want[k].hi {
				t.Fatal("calls at the same time disturb each other")
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d scores, want %d", len(got), len(want))
		}
	}
}

func scoreGeneration(t *testing.T, s Subject) {
	client := ordov1.NewOrderingClient(s.Configured(t).Conn)
	var last uint64
	for k := range 5 {
		resp, err := client.Score(within(t), scoreRequest(views(uint64(k), 10)))
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetGeneration() < last {
			t.Fatalf("generation %d after %d", resp.GetGeneration(), last)
		}
		last = resp.GetGeneration()
	}
}

// scoreGenerationRests: each rise means that the core asks for the whole pool again, so one with every answer never ends.
func scoreGenerationRests(t *testing.T, s Subject) {
	client := ordov1.NewOrderingClient(s.Configured(t).Conn)
	var seen []uint64
	rises := 0
	for range 8 {
		resp, err := client.Score(within(t), scoreRequest(views(9, 10)))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(seen); n > 0 && resp.GetGeneration() > seen[n-1] {
			rises++
		}
		seen = append(seen, resp.GetGeneration())
	}
	if rises == len(seen)-1 {
		t.Fatalf("generation rises with every answer to the same question, %v: a core would score the whole pool for ever", seen)
	}
}

func scoreStage(t *testing.T, s Subject) {
	d, err := s.Start(t).plugin().Describe(within(t), &ordov1.DescribeRequest{})
	if err != nil || d.GetStage() != ordov1.Stage_STAGE_ORDERING {
		t.Fatalf("stage %s, %v", d.GetStage(), err)
	}
}

// scoreUnconfigured: no host calls the stage before Configure. A plugin that answers anyway does no harm, one that fails must say why.
func scoreUnconfigured(t *testing.T, s Subject) {
	_, err := ordov1.NewOrderingClient(s.Start(t).Conn).Score(within(t), scoreRequest(views(1, 1)))
	if err != nil && status.Code(err) != codes.FailedPrecondition {
		t.Fatalf("before Configure: %v, want FailedPrecondition", err)
	}
}
