package consensustest_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// rotation is the smallest protocol: validators decide in turn. It has the faults that its fields name.
type rotation struct {
	early   bool // tells others of a block before it is durable
	spins   bool // builds again at once after Failed
	random  *uint64
	keys    [][]byte
	self    []byte
	height  uint64
	attempt uint64
	value   []byte
}

func (r *rotation) proposer() []byte { return r.keys[r.height%uint64(len(r.keys))] }

func (r *rotation) Step(event *ordov1.ConsensusEvent) []*ordov1.Action {
	switch e := event.GetEvent().(type) {
	case *ordov1.ConsensusEvent_Start_:
		for _, v := range e.Start.Validators {
			r.keys = append(r.keys, v.Key)
		}
		r.self = e.Start.Self
		return r.begin(e.Start.Height)
	case *ordov1.ConsensusEvent_Decided_:
		return r.begin(e.Decided.Height + 1)
	case *ordov1.ConsensusEvent_Failed_:
		if r.spins {
			return r.build()
		}
		return []*ordov1.Action{sdk.Action(&ordov1.Action_SetTimer{Id: 1, AfterMs: 10})}
	case *ordov1.ConsensusEvent_Timer_:
		return r.build()
	case *ordov1.ConsensusEvent_Built_:
		decide := sdk.Action(&ordov1.Action_Decide{Attempt: e.Built.Attempt, Value: e.Built.Value})
		persist := sdk.Action(&ordov1.Action_Persist{Data: []byte("told")})
		send := sdk.Action(&ordov1.Action_Send{Data: append(binary.BigEndian.AppendUint64(nil, r.height), e.Built.Value...)})
		if r.early {
			return []*ordov1.Action{decide, send}
		}
		return []*ordov1.Action{decide, persist, send}
	case *ordov1.ConsensusEvent_Message_:
		if len(e.Message.Data) != 40 || binary.BigEndian.Uint64(e.Message.Data) != r.height || !bytes.Equal(e.Message.From, r.proposer()) || r.value != nil {
			return nil
		}
		r.value = e.Message.Data[8:]
		r.attempt++
		return []*ordov1.Action{sdk.Action(&ordov1.Action_Validate{Attempt: r.attempt, Value: r.value, From: e.Message.From})}
	case *ordov1.ConsensusEvent_Verdict_:
		if r.value = nil; e.Verdict.Valid && e.Verdict.Attempt == r.attempt {
			return []*ordov1.Action{sdk.Action(&ordov1.Action_Decide{Attempt: e.Verdict.Attempt, Value: e.Verdict.Value})}
		}
	}
	return nil
}

func (r *rotation) begin(height uint64) []*ordov1.Action {
	r.height, r.attempt, r.value = height, 0, nil
	return r.build()
}

func (r *rotation) build() []*ordov1.Action {
	if !bytes.Equal(r.self, r.proposer()) {
		return nil
	}
	r.attempt++
	round := uint32(0)
	if r.random != nil {
		*r.random++
		round = uint32(*r.random)
	}
	return []*ordov1.Action{sdk.Action(&ordov1.Action_Build{Attempt: r.attempt, Round: round, DeadlineMs: 20, IdleMs: 5, Publish: true})}
}

func subject(fault rotation) consensustest.Subject {
	return consensustest.InProcess(func() sdk.Protocol { r := fault; return &r }, nil)
}

// TestCrashOnly: the smallest protocol stands crashes.
func TestCrashOnly(t *testing.T) {
	consensustest.Explore(t, subject(rotation{}), consensustest.Search{Count: 300, Scenario: func(seed uint64) consensustest.Scenario {
		return consensustest.Random(seed, 3, consensustest.CrashOnly)
	}})
}

// TestFaultyProtocols: what is wrong with a protocol is found by the checker that is there for it.
func TestFaultyProtocols(t *testing.T) {
	slow := consensustest.Fault{Kind: consensustest.SlowDisk, To: time.Second, Amount: 20 * time.Millisecond}
	for name, c := range map[string]struct {
		fault  rotation
		faults []consensustest.Fault
		every  time.Duration
		want   consensustest.Checker
	}{
		"it tells others before the decision is durable": {rotation{early: true}, []consensustest.Fault{slow, {Kind: consensustest.Crash, Nodes: []int{1}, From: 38 * time.Millisecond, To: 60 * time.Millisecond}},
			20 * time.Millisecond, consensustest.Durable},
		"it builds again at once": {rotation{spins: true}, nil, 500 * time.Millisecond, consensustest.ProtocolFault},
		"two nodes of one key": {rotation{}, []consensustest.Fault{{Kind: consensustest.Twin, Nodes: []int{1}}, {Kind: consensustest.Skew, Nodes: []int{4}, Amount: time.Second / 2},
			{Kind: consensustest.Partition, Nodes: []int{0, 1}, To: time.Second}}, 20 * time.Millisecond, consensustest.Agreement},
	} {
		t.Run(name, func(t *testing.T) {
			fired := map[consensustest.Checker]int{}
			for seed := range uint64(20) {
				r, err := consensustest.Run(subject(c.fault), consensustest.Scenario{Seed: seed, Validators: 4, Faults: c.faults, Every: c.every})
				if err != nil {
					t.Fatal(err)
				}
				if r.Failure != nil {
					fired[r.Failure.Checker]++
				}
			}
			if fired[c.want] == 0 || len(fired) != 1 {
				t.Errorf("fired: %v, want %s only", fired, c.want)
			}
		})
	}
}

// TestImpureProtocol: a protocol that depends on more than its events does not repeat, and the digests say so.
func TestImpureProtocol(t *testing.T) {
	counter := uint64(0)
	s := consensustest.Scenario{Seed: 1, Validators: 4}
	one, errOne := consensustest.Run(subject(rotation{random: &counter}), s)
	other, errOther := consensustest.Run(subject(rotation{random: &counter}), s)
	if errOne != nil || errOther != nil || one.Digest == other.Digest {
		t.Errorf("%v, %v, digest %s twice", errOne, errOther, one.Digest)
	}
}

// TestFaultText: a fault is written as it is read.
func TestFaultText(t *testing.T) {
	for _, line := range []string{"drop from=100ms to=1s nodes=0,1 peers=2 rate=0.25", "twin nodes=3 hidden", "bandwidth to=2s nodes=1 bytes=5000",
		"restart nodes=2 event=17", "skew to=1.5s nodes=1 amount=-200ms"} {
		f, err := consensustest.ParseFault(line)
		if err != nil || f.String() != line {
			t.Errorf("%q: %q, %v", line, f, err)
		}
	}
	for line, want := range map[string]string{"": "an empty line", "dorp rate=1": "no such kind", "drop rate=x": "rate", "drop speed=1": "speed: no such key", "cut nodes=a": "nodes"} {
		if _, err := consensustest.ParseFault(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
	for seed := range uint64(200) {
		for _, f := range consensustest.Random(seed, 7, consensustest.Byzantine).Faults {
			if again, err := consensustest.ParseFault(f.String()); err != nil || again.String() != f.String() {
				t.Errorf("seed %d: %q: %v", seed, f, err)
			}
		}
	}
}

// TestScenarioThatMakesNoSense is refused with what is wrong.
func TestScenarioThatMakesNoSense(t *testing.T) {
	for want, s := range map[string]consensustest.Scenario{
		"at least one validator": {},
		"no scheme":              {Validators: 4, Scheme: "rot13"},
		"there is no node 4":     {Validators: 4, Faults: []consensustest.Fault{{Kind: consensustest.Crash, Nodes: []int{4}}}},
		"names no nodes":         {Validators: 4, Faults: []consensustest.Fault{{Kind: consensustest.Pause}}},
	} {
		if _, err := consensustest.Run(subject(rotation{}), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestParseEvent: a line that is no event says what is wrong with it.
func TestParseEvent(t *testing.T) {
	for line, want := range map[string]string{"5": "want a time and a name", "x ready": "now", "1 redy": "there is no event redy", "1 timer id=x": "id",
		"1 timer attempt=3": "timer has no attempt", "1 built value=0xzz": "0xzz"} {
		if _, err := consensustest.ParseEvent(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
	e, err := consensustest.ParseEvent("7 message from=a 0x0102")
	if err != nil || e.NowMs != 7 || string(e.GetMessage().GetFrom()) != "a" || !bytes.Equal(e.GetMessage().GetData(), []byte{1, 2}) {
		t.Errorf("%v, %v", e, err)
	}
}

// TestLatencyMatrix: a message takes the time that stands in the row of its sender and the column of its receiver.
func TestLatencyMatrix(t *testing.T) {
	const ms = time.Millisecond
	near, far := [][]time.Duration{{ms}}, [][]time.Duration{{ms, 80 * ms}, {80 * ms, ms}}
	var took [2]time.Duration
	for i, latency := range [][][]time.Duration{near, far} {
		r, err := consensustest.Run(subject(rotation{}), consensustest.Scenario{Seed: 1, Validators: 4, Heights: 10, Latency: latency})
		if err != nil || r.Failure != nil {
			t.Fatal(r.Failure, err)
		}
		took[i] = r.Time
	}
	if took[1] < took[0]+5*80*ms {
		t.Errorf("10 blocks in %v near by and in %v between two regions", took[0], took[1])
	}
}

// TestRegions: the matrix is half of the round trips, and a name that is not known says which are.
func TestRegions(t *testing.T) {
	table := consensustest.Regions("us-east", "ap-northeast")
	if table[0][1] != 72500*time.Microsecond || table[1][0] != table[0][1] || table[0][0] != 500*time.Microsecond {
		t.Errorf("%v", table)
	}
	defer func() {
		if why := fmt.Sprint(recover()); !strings.Contains(why, "eu-west") {
			t.Errorf("a region that is not there: %s", why)
		}
	}()
	consensustest.Regions("atlantis")
}
