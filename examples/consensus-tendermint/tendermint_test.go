package main

import (
	"flag"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
)

var schedules = flag.Int("schedules", 300, "random schedules for each number of validators")

func subject() consensustest.Subject {
	s := consensustest.InProcess(func() sdk.Protocol { return newTendermint() }, certificates{})
	s.Config = []byte(`{"block_ms":150,"timeout_ms":60,"delta_ms":40,"resend_ms":120}`)
	s.Words = words
	return s
}

func TestClean(t *testing.T) {
	r, err := consensustest.Run(subject(), consensustest.Scenario{Seed: 1, Validators: 4, Heights: 5, Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events, %v, height %d", r.Events, r.Time, r.Height)
	if r.Failure != nil {
		t.Fatalf("%v\n%s", r.Failure, r.Transcript(100))
	}
}

// TestRandomSchedules: no fork, no double signature, and decisions after the faults, whatever the network does and a third of the nodes.
func TestRandomSchedules(t *testing.T) {
	for _, n := range []int{4, 7} {
		t.Run(time.Duration(n).String(), func(t *testing.T) {
			consensustest.Explore(t, subject(), consensustest.Search{Count: *schedules, Scenario: func(seed uint64) consensustest.Scenario {
				return consensustest.Random(seed, n, consensustest.Byzantine)
			}})
		})
	}
}
