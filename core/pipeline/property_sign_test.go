package pipeline

import (
	"encoding/binary"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// network is one validator, whose signatures are looked at: of two texts of one kind and round, at most one is signed at a height.
func (c *chaos) network() Network {
	n := network([]string{"us"}, "us")
	n.Sign = func(message []byte) []byte {
		place := len(message) - len("vote0")
		if before, again := c.signed[string(message[:place])]; again && before != string(message) {
			c.fatal("%q is signed, and %q was", message, before)
		}
		if height := binary.BigEndian.Uint64(message[place-16:]); height != c.m.Height() {
			c.fatal("%q is of height %d, signed at %d", message, height, c.m.Height())
		}
		c.signed[string(message[:place])] = string(message)
		return []byte("signed")
	}
	return n
}

// askToSign counts the signatures that must come before any other event.
func (c *chaos) askToSign(in Input) {
	switch in := in.(type) {
	case Answered:
		if c.m.learning() || c.m.consensus.answered+1 < c.m.consensus.learned {
			return
		}
		for _, action := range in.Actions.Actions {
			if action.GetSign() != nil {
				c.unsigned++
			}
		}
	case StageDown:
		if in.Stage == ordov1.Stage_STAGE_CONSENSUS && !c.m.isDown(in.Stage) {
			c.unsigned = 0
		}
	case Learned:
		if in.Height == c.m.height && !c.m.draining && !c.m.learning() {
			c.unsigned = 0
		}
	}
}

// inOrder fails when an event comes between Sign and its answer.
func (c *chaos) inOrder(event *ordov1.ConsensusEvent) {
	switch {
	case event.GetSigned() != nil:
		c.unsigned--
	case c.unsigned > 0:
		c.fatal("event %d comes before the answer to Sign", event.Seq)
	}
}
