package conformance

import (
	"bytes"
	"slices"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Consensus is what docs/spec/consensus.md asks of a hosted protocol that can decide alone. The tests play the core: they
// keep its books, in virtual time, and fail at the first action that a core would have to refuse.
var Consensus = map[string]func(*testing.T, Subject){
	"stage is consensus":          consensusStage,
	"makes blocks of traffic":     consensusTraffic,
	"makes a block on demand":     consensusDemand,
	"three demands, three blocks": consensusThreeDemands,
	"a demand seals what is open": consensusDemandSeals,
	"survives failures":           consensusFailures,
	"survives empty attempts":     consensusEmpty,
	"goes on after a restart":     consensusRestart,
	"replays exactly":             consensusReplay,
	"ignores what it cannot know": consensusUnknown,
	"start comes first, and once": consensusStart,
	"goes on when others decide":  consensusLearned,
	"streams share nothing":       consensusStreams,
	"verify takes no garbage":     consensusVerify,
}

// RunConsensus runs Consensus over a subject.
func RunConsensus(t *testing.T, s Subject) { run(t, "consensus", Consensus, s) }

func consensusStage(t *testing.T, s Subject) {
	d, err := s.Start(t).plugin().Describe(within(t), &ordov1.DescribeRequest{})
	if err != nil || d.GetStage() != ordov1.Stage_STAGE_CONSENSUS {
		t.Fatalf("stage %s, %v", d.GetStage(), err)
	}
}

func consensusTraffic(t *testing.T, s Subject) {
	c := begin(t, s, s.Configured(t), 1, 0)
	for range 5 {
		height := c.height
		c.arrive(3)
		c.until(func() bool { return c.height > height || c.open != nil }, "open an attempt")
		if c.open != nil && !c.open.closes() && c.height == height {
			c.demand() // it closes on demand only
		}
		c.until(func() bool { return c.height > height }, "decide a block of three transactions")
	}
}

func consensusDemand(t *testing.T, s Subject) {
	c := begin(t, s, s.Configured(t), 1, 0)
	c.demand()
	c.until(func() bool { return c.height == 2 }, "decide an empty block that the operator asked for")
}

func consensusThreeDemands(t *testing.T, s Subject) {
	c := begin(t, s, s.Configured(t), 1, 0)
	for k := range uint64(3) {
		c.demand()
		c.until(func() bool { return c.height == k+2 }, "decide a block for each of three demands")
	}
}

func consensusDemandSeals(t *testing.T, s Subject) {
	c := begin(t, s, s.Configured(t), 1, 0)
	c.arrive(1)
	before := c.now
	c.demand()
	c.until(func() bool { return c.height == 2 }, "decide a block on demand while an attempt is open")
	if c.now != before {
		t.Fatalf("a demand waited for %d ms until the open attempt closed by itself", c.now-before)
	}
}

func consensusFailures(t *testing.T, s Subject) {
	c := begin(t, s, s.Configured(t), 1, 2)
	c.demand()
	for range 4 {
		c.until(func() bool { return c.open != nil }, "build again after a failure")
		before := c.now
		c.fail(false)
		if c.open != nil && c.now == before {
			t.Fatal("builds again at once after Failed")
		}
	}
	c.until(func() bool { return c.height == 2 }, "decide once execution works again")
}

func consensusEmpty(t *testing.T, s Subject) {
	c := begin(t, s, s.Configured(t), 1, 0)
	c.arrive(1)
	for k := 0; k < 3 && c.open != nil; k++ {
		c.ready = 0 // replaced, expired
		if c.open.build.GetAllowEmpty() {
			break
		}
		c.fail(true)
	}
	c.arrive(2)
	c.demand()
	c.until(func() bool { return c.height == 2 }, "decide after attempts that turned out empty")
}

func consensusRestart(t *testing.T, s Subject) {
	i := s.Configured(t)
	c := begin(t, s, i, 7, 0)
	c.demand()
	c.until(func() bool { return c.height == 8 }, "decide height 7")
	again := begin(t, s, i, 8, 3)
	again.demand()
	again.until(func() bool { return again.height == 9 }, "decide height 8 on a new stream")
}

func consensusReplay(t *testing.T, s Subject) {
	c := begin(t, s, s.Configured(t), 1, 0)
	for k := range 6 {
		c.arrive(uint64(k))
		c.demand()
		if k%3 == 2 && c.open != nil {
			c.fail(false)
		}
		c.until(func() bool { return int(c.height) >= k+2 }, "decide")
	}
	stream := open(t, s.Configured(t))
	for k, e := range c.events {
		if err := stream.Send(e); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(got, c.answers[k]) {
			t.Fatalf("event %d (%v):\nfirst  %v\nreplay %v", k, e, c.answers[k], got)
		}
	}
}

func consensusUnknown(t *testing.T, s Subject) {
	c := begin(t, s, s.Configured(t), 1, 0)
	for _, e := range []*ordov1.ConsensusEvent{
		{}, // of a later minor
		{Event: &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: 987654}}},
		{Event: &ordov1.ConsensusEvent_Message_{Message: &ordov1.ConsensusEvent_Message{From: []byte("x"), Data: []byte{1, 2}}}},
		{Event: &ordov1.ConsensusEvent_Verdict_{Verdict: &ordov1.ConsensusEvent_Verdict{Attempt: 987654, Valid: true}}},
		{Event: &ordov1.ConsensusEvent_Built_{Built: &ordov1.ConsensusEvent_Built{Attempt: 987654, Value: []byte("x")}}},
		{Event: &ordov1.ConsensusEvent_Failed_{Failed: &ordov1.ConsensusEvent_Failed{Attempt: 987654}}},
		{Event: &ordov1.ConsensusEvent_Signed_{Signed: &ordov1.ConsensusEvent_Signed{Id: 987654, Signature: []byte("x")}}},
	} {
		c.send(e)
	}
	c.demand()
	c.until(func() bool { return c.height == 2 }, "decide after events that it could not know")
}

func consensusStart(t *testing.T, s Subject) {
	i := s.Configured(t)
	stream := open(t, i)
	_ = stream.Send(&ordov1.ConsensusEvent{Seq: 1, Event: &ordov1.ConsensusEvent_CreateBlock_{CreateBlock: &ordov1.ConsensusEvent_CreateBlock{}}})
	if _, err := stream.Recv(); status.Code(err) != codes.FailedPrecondition && status.Code(err) != codes.InvalidArgument {
		t.Fatalf("a stream without Start: %v, want FailedPrecondition", err)
	}
	c := begin(t, s, i, 1, 0) // the plugin is not harmed by it
	c.demand()
	c.until(func() bool { return c.height == 2 }, "decide after a stream that was refused")
}

func consensusLearned(t *testing.T, s Subject) {
	for name, prepare := range map[string]func(*core){
		"idle":    func(*core) {},
		"pending": func(c *core) { c.arrive(2) },
		"demand":  func(c *core) { c.demand() },
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, s, s.Configured(t), 1, 0)
			prepare(c)
			c.learn()
			if c.height != 2 {
				t.Fatalf("height %d after height 1 was decided elsewhere", c.height)
			}
			c.demand()
			c.until(func() bool { return c.height > 2 }, "decide the height after one that others decided")
		})
	}
}

func consensusStreams(t *testing.T, s Subject) {
	i := s.Configured(t)
	one, other := begin(t, s, i, 1, 0), begin(t, s, i, 40, 0)
	for k := range uint64(3) {
		one.demand()
		other.demand()
		one.until(func() bool { return one.height == k+2 }, "decide on one of two streams")
		other.until(func() bool { return other.height == k+41 }, "decide on the other of two streams")
	}
}

func consensusVerify(t *testing.T, s Subject) {
	i := s.Configured(t)
	d, err := i.plugin().Describe(within(t), &ordov1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	client := ordov1.NewConsensusClient(i.Conn)
	if !slices.Contains(d.GetCapabilities(), sdk.CapCertificates) {
		if _, err := client.Verify(within(t), &ordov1.VerifyRequest{}); status.Code(err) != codes.Unimplemented {
			t.Fatalf("verify without the capability %s: %v, want Unimplemented", sdk.CapCertificates, err)
		}
		return
	}
	member := &ordov1.Validator{Key: bytes.Repeat([]byte{7}, 32), Power: 1, Address: make([]byte, 32)}
	for name, q := range map[string]*ordov1.VerifyRequest{
		"nothing":           {},
		"no certificate":    {ChainId: "C", Height: 1, Value: make([]byte, 32), Validators: []*ordov1.Validator{member}, Scheme: "ed25519"},
		"garbage":           {ChainId: "C", Height: 1, Value: make([]byte, 32), Certificate: bytes.Repeat([]byte{0xff}, 500), Validators: []*ordov1.Validator{member}, Scheme: "ed25519"},
		"zeros":             {ChainId: "C", Height: 1, Value: make([]byte, 32), Certificate: make([]byte, 64), Validators: []*ordov1.Validator{member}, Scheme: "ed25519"},
		"no validators":     {ChainId: "C", Height: 1, Value: make([]byte, 32), Certificate: []byte("x"), Scheme: "ed25519"},
		"malformed members": {ChainId: "C", Height: 1, Value: []byte("short"), Certificate: []byte("x"), Validators: []*ordov1.Validator{{Key: []byte("k")}, nil}, Scheme: "ed25519"},
		"another scheme":    {ChainId: "C", Height: 1, Value: make([]byte, 32), Certificate: []byte("x"), Validators: []*ordov1.Validator{member}, Scheme: "none"},
	} {
		v, err := client.Verify(within(t), q)
		if err != nil || v.GetValid() || v.GetReason() == "" {
			t.Errorf("%s: valid %v, reason %q, %v: want invalid, with a reason", name, v.GetValid(), v.GetReason(), err)
		}
	}
}
