package driver

import (
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// port is all that a stage asks of the driver. It is narrow so that a stage can be read, and tested, without the rest.
type port interface {
	// post hands an input to the machine.
	post(pipeline.Input)
	// halt ends the node because of a fault of one of its parts.
	halt(part string, err error)
	// suspect asks the supervisor to restart the process of a stage; without a supervisor it halts.
	suspect(stage ordov1.Stage, err error)
	// spawn runs work that Stop waits for.
	spawn(work func())
}

var _ port = (*Driver)(nil)

// stage is one of the four stages in the eyes of StageUp and StageDown.
type stage interface {
	// connect prepares a new instance and completes the input that the machine gets. The loop calls takeUp immediately before
	// that input: from then on the commands go to this instance.
	connect(i *instance, in *pipeline.StageUp) (takeUp func(), err error)
	// current is the instance that the commands go to. For the loop.
	current() *instance
	// down is called when all work of an instance has ended, before the machine hears of it.
	down()
}

var _ = []stage{(*ordering)(nil), (*execution)(nil), (*storage)(nil), (*consensus)(nil)}
