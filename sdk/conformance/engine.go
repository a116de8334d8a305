package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// ConsensusEngine is what docs/spec/consensus.md asks of an engine: a plugin with a network, a clock and a log of its own. The tests play the
// cores of one to four validators in real time, and fail at the first action that a core would have to refuse.
var ConsensusEngine = map[string]func(*testing.T, Engine){
	"engine: one validator decides":             engineAlone,
	"engine: four validators decide":            engineDecides,
	"engine: answers each event once":           engineUnknown,
	"engine: start comes first, and once":       engineStart,
	"engine: takes no start of another node":    engineForeign,
	"engine: a second stream does no harm":      engineStreams,
	"engine: goes on after a restart":           engineRestart,
	"engine: hands over what the core lost":     engineReplay,
	"engine: a stream that ends at every point": engineCut,
	"engine: killed at every point":             engineKilled,
	"engine: catches up":                        engineCatchUp,
	"engine: halts at what it cannot execute":   engineHalts,
	"engine: verifies its certificates":         engineVerify,
	"engine: reports a double vote":             engineReports,
	"engine: drains":                            engineDrains,
}

// RunConsensusEngine runs ConsensusEngine over an engine.
func RunConsensusEngine(t *testing.T, e Engine) {
	for _, name := range slices.Sorted(maps.Keys(ConsensusEngine)) {
		t.Run("consensus/"+name, func(t *testing.T) {
			quote(t, "consensus", name)
			ConsensusEngine[name](t, e)
		})
	}
}

// alone is a network of one validator that runs.
func alone(t *testing.T, e Engine) *engineNode {
	t.Helper()
	n := engineNodes(t, e, 1, false)[0]
	n.start()
	return n
}

// four is a network of four that runs, with traffic.
func four(t *testing.T, e Engine) (nodes []*engineNode) {
	t.Helper()
	nodes = engineNodes(t, e, 4, false)
	for _, n := range nodes {
		n.start()
	}
	t.Cleanup(traffic(nodes))
	return nodes
}

func engineAlone(t *testing.T, e Engine) {
	n := alone(t, e)
	n.demand()
	n.blocks(1)
	for k := range 3 {
		n.add(k + 1)
		n.blocks(k + 2)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.unasked == 0 {
		t.Error("an engine acts unasked: no action had seq 0")
	}
}

func engineDecides(t *testing.T, e Engine) {
	nodes := four(t, e)
	for _, n := range nodes {
		n.blocks(12)
	}
	agree(t, nodes)
	proposers := map[string]bool{}
	for _, b := range nodes[0].snapshot() {
		var body engineBody
		if err := json.Unmarshal(b.body, &body); err != nil {
			t.Fatal(err)
		}
		proposers[string(body.Proposer)] = true
	}
	if len(proposers) < 2 {
		t.Errorf("12 blocks have %d proposer", len(proposers))
	}
}

func engineUnknown(t *testing.T, e Engine) {
	n := alone(t, e)
	for _, event := range []*ordov1.ConsensusEvent{
		{}, // of a later minor
		{Event: &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: 987654}}},
		{Event: &ordov1.ConsensusEvent_Message_{Message: &ordov1.ConsensusEvent_Message{From: []byte("x"), Data: []byte{1, 2}}}},
		{Event: &ordov1.ConsensusEvent_Verdict_{Verdict: &ordov1.ConsensusEvent_Verdict{Attempt: 987654, Valid: true}}},
		{Event: &ordov1.ConsensusEvent_Built_{Built: &ordov1.ConsensusEvent_Built{Attempt: 987654, Value: []byte("x")}}},
		{Event: &ordov1.ConsensusEvent_Failed_{Failed: &ordov1.ConsensusEvent_Failed{Attempt: 987654}}},
		{Event: &ordov1.ConsensusEvent_Signed_{Signed: &ordov1.ConsensusEvent_Signed{Id: 987654, Signature: []byte("x")}}},
	} {
		n.tell(event)
	}
	n.until("each event is answered", func() bool { return n.answered == n.seq })
	n.demand()
	n.blocks(1)
}

func engineStart(t *testing.T, e Engine) {
	n := engineNodes(t, e, 1, false)[0]
	n.launch()
	refused := func(stream ordov1.Consensus_RunClient, what string) {
		t.Helper()
		for {
			_, err := stream.Recv()
			if err == nil {
				continue // answers to what came before
			}
			if status.Code(err) != codes.FailedPrecondition && status.Code(err) != codes.InvalidArgument {
				t.Fatalf("%s: %v, want FailedPrecondition", what, err)
			}
			return
		}
	}
	stream := open(t, n.instance)
	_ = stream.Send(&ordov1.ConsensusEvent{Seq: 1, Event: &ordov1.ConsensusEvent_CreateBlock_{CreateBlock: &ordov1.ConsensusEvent_CreateBlock{}}})
	refused(stream, "a stream without Start")
	stream = open(t, n.instance)
	for seq := range uint64(2) {
		_ = stream.Send(&ordov1.ConsensusEvent{Seq: seq + 1, NowMs: 1, Event: &ordov1.ConsensusEvent_Start_{Start: n.startEvent()}})
	}
	refused(stream, "a second Start")
	n.reconnect()
	n.demand()
	n.blocks(1)
}

// engineForeign: an engine that would vote with another key, for other validators or on another chain than its core believes halts.
func engineForeign(t *testing.T, e Engine) {
	for what, change := range map[string]func(*ordov1.ConsensusEvent_Start){
		"no validators":  func(s *ordov1.ConsensusEvent_Start) { s.Validators = nil },
		"another key":    func(s *ordov1.ConsensusEvent_Start) { s.Self = bytes.Repeat([]byte{9}, 32) },
		"another scheme": func(s *ordov1.ConsensusEvent_Start) { s.Scheme = "test" },
		"another chain":  func(s *ordov1.ConsensusEvent_Start) { s.ChainId = "SN_OTHER" },
	} {
		n := engineNodes(t, e, 1, false)[0]
		n.launch()
		stream, start := open(t, n.instance), n.startEvent()
		change(start)
		start.Pending = 1
		_ = stream.Send(&ordov1.ConsensusEvent{Seq: 1, NowMs: 1, Event: &ordov1.ConsensusEvent_Start_{Start: start}})
		for halted := false; !halted; {
			actions, err := stream.Recv()
			if err != nil {
				t.Fatalf("%s: the stream ended without a halt that says what to do: %v", what, err)
			}
			for _, a := range actions.GetActions() {
				if halt := a.GetHalt(); halt == nil || halt.GetReason() == "" {
					t.Fatalf("%s: %v", what, a)
				}
				halted = true
			}
		}
	}
}

func engineStreams(t *testing.T, e Engine) {
	n := alone(t, e)
	n.demand()
	n.blocks(1)
	other := open(t, n.instance)
	_ = other.Send(&ordov1.ConsensusEvent{Seq: 1, NowMs: 1, Event: &ordov1.ConsensusEvent_Start_{Start: n.startEvent()}})
	if _, err := other.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Fatalf("a second validator with the same key in one process: %v, want FailedPrecondition", err)
	}
	n.add(1)
	n.blocks(2)
}

func engineRestart(t *testing.T, e Engine) {
	n := alone(t, e)
	for k := range 3 {
		n.add(k + 1)
		n.blocks(k + 1)
		n.kill()
		n.add(100 + k) // waits when it starts
		n.start()
		n.blocks(k + 2)
	}
}

func engineReplay(t *testing.T, e Engine) {
	n := alone(t, e)
	for k := range 5 {
		n.add(k + 1)
		n.blocks(k + 1)
	}
	whole := n.snapshot()
	for _, kept := range []int{4, 2, 0} {
		n.kill()
		n.mu.Lock()
		n.chain = slices.Clone(whole[:kept])
		n.mu.Unlock()
		n.start()
		n.blocks(len(whole))
		for i, b := range n.snapshot()[:len(whole)] {
			if !bytes.Equal(b.value, whole[i].value) {
				t.Fatalf("height %d of a core that had %d blocks: %x was decided, now it is %x", i+1, kept, whole[i].value, b.value)
			}
		}
	}
}

// cutPoints is the messages of a stream up to which it ends at each.
const cutPoints = 16

func engineCut(t *testing.T, e Engine) {
	n := alone(t, e)
	everyPoint(n, nil, n.reconnect)
}

func engineKilled(t *testing.T, e Engine) {
	n := alone(t, e)
	everyPoint(n, func() { n.strike() }, func() {
		n.kill()
		n.start()
	})
}

// everyPoint ends the stream at each of its messages, and has a block decided each time.
func everyPoint(n *engineNode, cutting, again func()) {
	for k := 1; k <= cutPoints; k++ {
		n.mu.Lock()
		n.cut, n.cutting = n.messages+k, cutting
		at := len(n.chain)
		n.mu.Unlock()
		for tx := 1; ; tx++ { // at rest the engine has nothing to say
			n.add(1000*k + tx)
			n.mu.Lock()
			over := n.cut == 0
			n.mu.Unlock()
			if over {
				break
			}
			time.Sleep(time.Millisecond)
		}
		n.until("the stream ends", func() bool { return n.ended != nil })
		again()
		n.demand()
		n.blocks(at + 1)
	}
}

func engineCatchUp(t *testing.T, e Engine) {
	nodes := four(t, e)
	for _, n := range nodes {
		n.blocks(3)
	}
	nodes[3].kill()
	at := len(nodes[0].snapshot())
	nodes[0].blocks(at + 10)
	nodes[3].start()
	nodes[3].blocks(at + 15)
	agree(t, nodes)
}

func engineHalts(t *testing.T, e Engine) {
	nodes := engineNodes(t, e, 4, false)
	nodes[3].refuse = "the state of this node is another"
	for _, n := range nodes {
		n.start()
	}
	t.Cleanup(traffic(nodes[:3]))
	nodes[3].until("it halts at a block that the others decided and its core finds invalid", func() bool { return nodes[3].halted != "" })
	if len(nodes[3].chain) > 0 {
		t.Errorf("it decided %d blocks that its core finds invalid", len(nodes[3].chain))
	}
	for _, n := range nodes[:3] {
		n.blocks(5)
	}
	agree(t, nodes[:3])
}

func engineVerify(t *testing.T, e Engine) {
	nodes := four(t, e)
	described, err := nodes[0].instance.plugin().Describe(within(t), &ordov1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(described.GetCapabilities(), sdk.CapCertificates) {
		t.Skipf("the engine has no capability %s", sdk.CapCertificates)
	}
	for _, n := range nodes {
		n.blocks(3)
	}
	b := nodes[0].snapshot()[1]
	good := &ordov1.VerifyRequest{ChainId: engineChain, Height: 2, Value: b.value, Certificate: b.certificate, Validators: nodes[0].validators, Scheme: "ed25519"}
	verify := func(n *engineNode, q *ordov1.VerifyRequest) (valid bool, reason string) {
		t.Helper()
		v, err := n.client().Verify(within(t), q)
		if err != nil {
			t.Fatal(err)
		}
		return v.GetValid(), v.GetReason()
	}
	for k, n := range nodes { // each has precommits of its own
		own := proto.CloneOf(good)
		own.Certificate = n.snapshot()[1].certificate
		for other, by := range nodes {
			if valid, why := verify(by, own); !valid {
				t.Errorf("node %d finds the certificate of node %d invalid: %s", other, k, why)
			}
		}
	}
	changes := map[string]func(*ordov1.VerifyRequest){
		"height":         func(q *ordov1.VerifyRequest) { q.Height++ },
		"value":          func(q *ordov1.VerifyRequest) { q.Value = nodes[0].snapshot()[2].value },
		"chain":          func(q *ordov1.VerifyRequest) { q.ChainId = "SN_OTHER" },
		"scheme":         func(q *ordov1.VerifyRequest) { q.Scheme = "test" },
		"fewer":          func(q *ordov1.VerifyRequest) { q.Validators = q.Validators[1:] },
		"other power":    func(q *ordov1.VerifyRequest) { q.Validators[0].Power = 100 },
		"of another one": func(q *ordov1.VerifyRequest) { q.Certificate = nodes[0].snapshot()[2].certificate },
		"cut":            func(q *ordov1.VerifyRequest) { q.Certificate = q.Certificate[:len(q.Certificate)-1] },
		"longer":         func(q *ordov1.VerifyRequest) { q.Certificate = append(q.Certificate, 0) },
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 64 {
		bit := random.IntN(8 * len(b.certificate))
		changes[fmt.Sprintf("bit %d", bit)] = func(q *ordov1.VerifyRequest) { q.Certificate[bit/8] ^= 1 << (bit % 8) }
	}
	for what, change := range changes {
		q := proto.CloneOf(good)
		change(q)
		if valid, why := verify(nodes[1], q); valid || why == "" {
			t.Errorf("with another %s: valid %v, reason %q: want invalid, with a reason", what, valid, why)
		}
	}
}

func engineReports(t *testing.T, e Engine) {
	if e.Twin == nil {
		t.Skip("it has no configuration of a twin")
	}
	nodes := engineNodes(t, e, 4, true)
	for _, n := range nodes {
		n.start()
	}
	t.Cleanup(traffic(nodes))
	for _, n := range nodes[1:4] {
		n.until("a report of the validator that votes twice", func() bool { return len(n.reports) > 0 })
		n.mu.Lock()
		if r := n.reports[0]; r.GetKind() == "" || !bytes.Equal(r.GetAbout(), nodes[0].self) || len(r.GetData()) == 0 {
			t.Errorf("%v, want one about %x with its proof", r, nodes[0].self)
		}
		n.mu.Unlock()
	}
	agree(t, nodes)
}

func engineDrains(t *testing.T, e Engine) {
	silent := engineNodes(t, e, 1, false)[0]
	silent.launch()
	open(t, silent.instance)                                                                           // a core that ended before it sent Start
	if _, err := silent.instance.plugin().Describe(within(t), &ordov1.DescribeRequest{}); err != nil { // behind it on the same connection
		t.Fatal(err)
	}
	short, enough := context.WithTimeout(context.Background(), 10*time.Second)
	defer enough()
	if _, err := silent.instance.plugin().Drain(short, &ordov1.DrainRequest{DeadlineMs: 5000}); err != nil {
		t.Fatalf("drain beside a stream without Start: %v", err)
	}
	n := alone(t, e)
	n.demand()
	n.blocks(1)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := n.instance.plugin().Drain(ctx, &ordov1.DrainRequest{DeadlineMs: 5000}); err != nil {
		t.Fatalf("drain: %v", err)
	}
	n.mu.Lock()
	before := n.unasked
	n.mu.Unlock()
	n.tell(&ordov1.ConsensusEvent{})
	n.until("events are answered until the core ends the stream", func() bool { return n.answered == n.seq })
	n.mu.Lock()
	if n.ended != nil || n.unasked != before {
		t.Errorf("after it has drained: %d actions, stream %v", n.unasked-before, n.ended)
	}
	_ = n.stream.CloseSend()
	n.mu.Unlock()
	n.until("the stream ends", func() bool { return n.ended != nil })
}
