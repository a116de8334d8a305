package node

import (
	"fmt"
	"time"

	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// converse opens the stream of a life of consensus; run starts the two who talk on it.
func (n *Node) converse(l *life) (run func(), err error) {
	stream, err := n.consensus.Run(l.ctx)
	if err != nil {
		return nil, err
	}
	return func() {
		l.run(func() { n.tell(l, stream) })
		l.run(func() { n.hear(l, stream) })
	}, nil
}

func (n *Node) tell(l *life, stream ordov1.Consensus_RunClient) {
	defer func() { _ = stream.CloseSend() }()
	for l.ctx.Err() == nil {
		for _, event := range l.tells.take(l.ctx) {
			l.owes.more(1)
			if err := stream.Send(event); err != nil {
				return // hear learns why
			}
		}
	}
}

func (n *Node) hear(l *life, stream ordov1.Consensus_RunClient) {
	for {
		actions, err := stream.Recv()
		if err != nil {
			n.broken(l, fmt.Errorf("its stream ended: %w", err))
			return
		}
		l.owes.less(1)
		n.talk.hear(time.Now(), actions.GetActions())
		n.input(pipeline.Answered{Actions: actions})
	}
}
