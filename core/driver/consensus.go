package driver

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// consensus is the stage that decides: events go out on one stream, actions come back. Its methods are the loop's.
type consensus struct {
	port   port
	log    hclog.Logger
	client ordov1.ConsensusClient
	at     *consensusStream
	talk   talk
	unsent atomic.Bool // a message for peers was dropped
}

// consensusStream is the Run stream of one instance.
type consensusStream struct {
	*instance
	stream ordov1.Consensus_RunClient
	events queue[*ordov1.ConsensusEvent]
}

// connect implements stage.
func (c *consensus) connect(i *instance, _ *pipeline.StageUp) (takeUp func(), err error) {
	stream, err := c.client.Run(i.ctx)
	if err != nil {
		return nil, err
	}
	s := &consensusStream{instance: i, stream: stream}
	return func() {
		c.at = s
		s.run(s.sendEvents)
		s.run(func() { s.recvActions(&c.talk) })
	}, nil
}

func (c *consensus) current() *instance { return c.at.instance }

func (c *consensus) down() {}

// tell queues an event.
func (c *consensus) tell(event *ordov1.ConsensusEvent) { c.at.events.push(event) }

// send drops a message: this node has no peers. It is logged as a warning once.
func (c *consensus) send(message pipeline.Send) {
	if c.unsent.CompareAndSwap(false, true) {
		c.log.Warn("consensus sends messages, and this node has no peers: they are dropped", "to", message.To, "bytes", len(message.Data))
		return
	}
	c.log.Debug("no peers: message of consensus dropped", "to", message.To, "bytes", len(message.Data))
}

func (s *consensusStream) sendEvents() {
	defer func() { _ = s.stream.CloseSend() }()
	for s.ctx.Err() == nil {
		for _, event := range s.events.take(s.ctx) {
			s.pending.add(1)
			if err := s.stream.Send(event); err != nil {
				return // recvActions gets the reason
			}
		}
	}
}

func (s *consensusStream) recvActions(t *talk) {
	for {
		actions, err := s.stream.Recv()
		if err != nil {
			s.suspect(fmt.Errorf("its stream ended: %w", err))
			return
		}
		s.pending.received(1)
		t.hear(time.Now(), actions.GetActions())
		s.port.post(pipeline.Answered{Actions: actions})
	}
}
