package driver

import (
	"fmt"
	"time"

	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// openConsensus opens the stream of a life of consensus; run starts the two who talk on it.
func (d *Driver) openConsensus(l *instance) (run func(), err error) {
	stream, err := d.consensus.Run(l.ctx)
	if err != nil {
		return nil, err
	}
	return func() {
		l.run(func() { d.sendEvents(l, stream) })
		l.run(func() { d.recvActions(l, stream) })
	}, nil
}

func (d *Driver) sendEvents(l *instance, stream ordov1.Consensus_RunClient) {
	defer func() { _ = stream.CloseSend() }()
	for l.ctx.Err() == nil {
		for _, event := range l.tells.take(l.ctx) {
			l.pending.add(1)
			if err := stream.Send(event); err != nil {
				return // hear learns why
			}
		}
	}
}

func (d *Driver) recvActions(l *instance, stream ordov1.Consensus_RunClient) {
	for {
		actions, err := stream.Recv()
		if err != nil {
			d.suspect(l, fmt.Errorf("its stream ended: %w", err))
			return
		}
		l.pending.received(1)
		d.talk.hear(time.Now(), actions.GetActions())
		d.input(pipeline.Answered{Actions: actions})
	}
}
