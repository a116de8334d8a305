package consensustest_test

import (
	"fmt"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// alone is step 1 of docs/authors.md.
type alone struct{}

func (alone) Step(event *ordov1.ConsensusEvent) []*ordov1.Action {
	switch e := event.GetEvent().(type) {
	case *ordov1.ConsensusEvent_Start_, *ordov1.ConsensusEvent_Decided_:
		return []*ordov1.Action{sdk.Action(&ordov1.Action_Build{Attempt: 1, DeadlineMs: 1000, IdleMs: 5, AllowEmpty: true})}
	case *ordov1.ConsensusEvent_Built_:
		return []*ordov1.Action{sdk.Action(&ordov1.Action_Decide{Attempt: e.Built.GetAttempt(), Value: e.Built.GetValue()})}
	}
	return nil
}

// One validator needs no network. Four of this protocol decide four chains, and the checker of agreement says so.
func Example() {
	subject := consensustest.InProcess(func() sdk.Protocol { return alone{} }, nil)
	for _, validators := range []int{1, 4} {
		result, err := consensustest.Run(subject, consensustest.Scenario{Seed: 1, Validators: validators})
		switch {
		case err != nil:
			fmt.Println(err)
		case result.Failure != nil:
			fmt.Println(validators, "validators:", result.Failure.Checker)
		default:
			fmt.Println(validators, "validator: height", result.Height)
		}
	}
	// Output:
	// 1 validator: height 3
	// 4 validators: agreement
}
