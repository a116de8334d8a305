package pipeline_test

import (
	"fmt"
	"time"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Example is the loop of a driver. This one has one input and a consensus that answers nothing.
func Example() {
	inputs := make(chan pipeline.Input, 100)
	carryOut := func(c pipeline.Command) {
		switch c := c.(type) {
		case pipeline.Tell: // a real driver sends it, and the answer is an input whenever it comes
			fmt.Printf("event %d: %T\n", c.Event.Seq, c.Event.Event)
			inputs <- pipeline.Answered{Actions: &ordov1.Actions{Seq: c.Event.Seq}}
		case pipeline.SetTimer:
			time.AfterFunc(time.Duration(c.AfterMs)*time.Millisecond, func() { inputs <- pipeline.TimerFired{ID: c.ID} })
		}
	}
	template := func(nowMs uint64) *ordov1.BlockContext { return &ordov1.BlockContext{Timestamp: nowMs / 1000} }
	machine, commands := pipeline.New(pipeline.Options{Template: template}, mempool.New(mempool.Options{}), 1000, pipeline.Head{})
	inputs <- pipeline.BlockRequested{}
	for nowMs := uint64(1000); ; nowMs++ {
		for _, command := range commands { // those of a step before those of the next
			carryOut(command)
		}
		if len(inputs) == 0 {
			break // a real driver waits for the next input
		}
		var err error
		if commands, err = machine.Step(nowMs, <-inputs); err != nil {
			fmt.Println("stop the node:", err)
			return
		}
	}
	// Output:
	// event 1: *ordov1.ConsensusEvent_Start_
	// event 2: *ordov1.ConsensusEvent_CreateBlock_
}
