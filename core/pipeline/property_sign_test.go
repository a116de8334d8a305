package pipeline

import (
	"bytes"
	"encoding/binary"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// network is one validator, whose signatures are looked at: of two texts of one kind and round, at most one is signed at a height.
func (c *chaos) network() Network {
	n := network([]string{"us"}, "us")
	n.Sign = func(message []byte) []byte {
		place := len(message) - len("vote0")
		before, again := c.signed[string(message[:place])]
		if again && before != string(message) {
			c.fatal("%q is signed, and %q was", message, before)
		}
		if height := binary.BigEndian.Uint64(message[place-16:]); height != c.m.Height() {
			c.fatal("%q is of height %d, signed at %d", message, height, c.m.Height())
		}
		for _, value := range c.resting {
			if !again && c.toKeep[value] == c.m.Height() && !c.written[value] {
				c.fatal("%q is signed, and the body of %q is not on the disk", message, value)
			}
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
		if c.m.consensus.answered+1 < c.m.consensus.learned {
			return
		}
		for _, action := range in.Actions.Actions {
			if action.GetSign() != nil {
				c.mustHave()
				c.unsigned++
			}
		}
	case StageDown:
		if in.Stage == ordov1.Stage_STAGE_CONSENSUS && !c.m.isDown(in.Stage) {
			c.unsigned = 0
		}
	case HeaderHashed:
		if a := c.m.open; c.m.learning() && a.build == in.Build && (c.lazy || bytes.Equal(a.redo().Value, in.Header.PartialHash)) {
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

// mustHave notes what must have been given to the journal when what is asked to be signed at this moment is signed.
func (c *chaos) mustHave() {
	c.resting = c.resting[:0]
	for value, height := range c.toKeep {
		if height == c.m.Height() {
			c.resting = append(c.resting, value)
		}
	}
}
