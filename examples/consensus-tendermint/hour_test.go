package main

import (
	"bytes"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestResearchersHour is an hour of a researcher, as docs/authors.md tells it: another proposer rule, tried between three regions with
// a validator that says two things. The first rule looks quick: the validator that was heard first proposes. It is wrong, because each node hears
// that for itself. The second one is right: it knows only what all agree on.
func TestResearchersHour(t *testing.T) {
	const ms = time.Millisecond
	regions := consensustest.Regions("us-east", "eu-west", "ap-northeast") // the fourth validator is in the first region
	scenario := func(seed uint64) consensustest.Scenario {
		equivocator := int(seed % 4)
		return consensustest.Scenario{Seed: seed, Validators: 4, Heights: 5, Latency: regions, Every: 100 * ms, Limit: 20 * time.Second, Faults: []consensustest.Fault{
			{Kind: consensustest.Twin, Nodes: []int{equivocator}},
			{Kind: consensustest.Skew, Nodes: []int{4}, Amount: 200 * ms}, // so that it builds another block
			{Kind: consensustest.Jitter, Amount: 100 * ms, To: time.Second}}}
	}
	subject := func(begin func() sdk.Protocol) consensustest.Subject {
		s := consensustest.InProcess(begin, certificates{})
		s.Config, s.Words = []byte(`{"block_ms":100,"timeout_ms":150,"delta_ms":50,"resend_ms":200}`), words
		return s
	}

	quick := subject(func() sdk.Protocol { return newQuickest() })
	var failed *consensustest.Result
	for seed := uint64(0); seed < 50 && failed == nil; seed++ {
		if r, err := consensustest.Run(quick, scenario(seed)); err != nil {
			t.Fatal(err)
		} else if r.Failure != nil {
			failed = r
		}
	}
	if failed == nil {
		t.Fatal("the wrong rule passes 50 seeds")
	}
	small := consensustest.Shrink(quick, failed)
	story := small.Excerpt(90)
	t.Logf("%v\n%v\n%s", small.Failure, small.Scenario, story)
	proposers := map[string]map[string]bool{} // by height and round
	for _, m := range regexp.MustCompile(`\[proposal of (\d) (h=\d+ r=\d+)`).FindAllStringSubmatch(story, -1) {
		if proposers[m[2]] == nil {
			proposers[m[2]] = map[string]bool{}
		}
		proposers[m[2]][m[1]] = true
	}
	most := 0
	for _, of := range proposers {
		most = max(most, len(of))
	}
	if small.Failure.Checker != consensustest.Liveness || most < 2 {
		t.Errorf("the transcript does not show two proposers of one round: %v", small.Failure)
	}

	steady := func(set []*ordov1.Validator, height uint64, round uint32) int { // two heights in a row each
		return int((height/2 + uint64(round)) % uint64(len(set)))
	}
	consensustest.Explore(t, subject(func() sdk.Protocol { return newTendermint(steady) }), consensustest.Search{Count: 50, Scenario: scenario})
}

// quickest gives the first turn to the validator that this node heard first at the height before, the second to the second, and so on.
type quickest struct {
	*tendermint
	members      []*ordov1.Validator
	order, heard []int
}

func newQuickest() *quickest {
	c := &quickest{}
	c.tendermint = newTendermint(func(set []*ordov1.Validator, height uint64, round uint32) int {
		if place := inTurn(set, 0, round); place < len(c.order) {
			return c.order[place]
		}
		return inTurn(set, height, round)
	})
	return c
}

func (c *quickest) Step(event *ordov1.ConsensusEvent) []*ordov1.Action {
	if event.GetStart() != nil {
		c.members = event.GetStart().GetValidators()
	}
	for i, v := range c.members {
		if bytes.Equal(event.GetMessage().GetFrom(), v.GetKey()) && !slices.Contains(c.heard, i) {
			c.heard = append(c.heard, i)
		}
	}
	if event.GetDecided() != nil {
		c.order, c.heard = c.heard, []int{c.self}
	}
	return c.tendermint.Step(event)
}
