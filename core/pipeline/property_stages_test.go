package pipeline

import (
	"fmt"
	"slices"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// stage answers the oldest piece of work, or some way into it.
func (c *chaos) stage() {
	if len(c.work) == 0 {
		return
	}
	at := 0
	switch c.work[0].(type) {
	case Apply, Adopt, Commit, Check, HashHeader, Fetch, RecordDecision: // each of them works on its own
		at = c.r.Intn(len(c.work))
	}
	for i, command := range c.work[:at] {
		if fmt.Sprintf("%T", command) == fmt.Sprintf("%T", c.work[at]) || at > 0 && stream(command) && stream(c.work[at]) {
			at = i
			break
		}
	}
	switch c.work[at].(type) {
	case Check, HashHeader:
		if !c.calm && c.r.Intn(3) > 0 {
			return // it takes a while
		}
	case Commit:
		if !c.calm && c.r.Intn(8) > 0 {
			return
		}
	}
	c.answer(at)
}

// storageAnswers answers a block that storage was given, if there is one.
func (c *chaos) storageAnswers() {
	switch at := slices.IndexFunc(c.work, func(w Command) bool { _, ok := w.(Commit); return ok }); {
	case at >= 0 && c.r.Intn(4) > 0:
		c.give(NoRoom{"full"})
	case at >= 0:
		c.answer(at)
	}
}

// answer answers one piece of work.
func (c *chaos) answer(at int) {
	command := c.work[at]
	c.work = append(c.work[:at:at], c.work[at+1:]...)
	switch command := command.(type) {
	case Add:
		b := c.builds[command.Build]
		switch roll := c.r.Intn(30); {
		case roll == 4 && !c.calm:
			c.breaks(command.Build)
		case roll < 4 && len(b.ran) > 0 && !c.full[command.Build] && !c.calm && !c.faithful && (!c.m.learning() || c.lazy) && c.height >= c.decidedBefore:
			c.full[command.Build] = true
			c.give(Full{command.Build, uint64(len(b.ran)), "a limit"})
		default:
			c.results(command.Build, len(command.Items), nil, 1<<32)
		}
	case Close:
		if c.r.Intn(20) == 0 && !c.calm {
			c.breaks(command.Build)
		} else {
			if c.open == command.Build {
				c.open = 0
			}
			c.closed(command.Build)
		}
	case HashHeader:
		c.sealed(command.Build)
	case Check:
		c.give(Checked{Build: command.Build})
	case Fetch:
		body := c.bodies[string(command.Value)]
		if c.r.Intn(4) == 0 {
			body = nil // no peer has it
		}
		c.give(Fetched{command.Build, body})
	case RecordDecision:
		c.give(DecisionRecorded{command.Height})
	case Apply:
		c.applied = command.Height
		c.give(Applied{command.Height})
	case Adopt:
		if command.Height > c.stored {
			c.fatal("execution is to adopt block %d, storage has %d", command.Height, c.stored)
		}
		c.applied = command.Height
		c.give(Adopted(command))
	case Commit:
		if c.r.Intn(8) == 0 && !c.calm {
			c.give(NoRoom{"full"})
		}
		c.stored = command.Height
		c.give(Committed{command.Height})
		c.give(RootComputed{&ordov1.Root{Height: command.Height, BlockHash: fmt.Appendf(nil, "hash-%d", command.Height)}})
	}
}

func stream(c Command) bool {
	switch c.(type) {
	case Open, Add, Close, HashHeader:
		return true
	}
	return false
}

func (c *chaos) results(id uint64, n int, _ []string, _ int) {
	b := c.builds[id]
	n = min(n, len(b.items)-len(b.ran))
	r := &ordov1.BuildResponse_Results{First: uint64(len(b.ran))}
	for _, item := range b.items[len(b.ran):][:n] {
		result := &ordov1.TransactionResult{Hash: item.Tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED}
		if string(item.Tx.Signature) == stripped {
			result.Status, result.Rejection, result.Reason = ordov1.TransactionResult_REJECTED, ordov1.RejectionCode_VALIDATION_FAILURE, stripped
		}
		if c.lazy && !isRejected(result) && !c.takesNonce(b, item.Tx) {
			result.Status, result.Rejection, result.Reason = ordov1.TransactionResult_REJECTED, ordov1.RejectionCode_INVALID_NONCE, "nonce"
		}
		r.Results = append(r.Results, result)
	}
	b.ran = append(b.ran, r.Results...)
	c.give(Executed{id, r})
}

func (c *chaos) closed(id uint64) {
	b := c.builds[id]
	diff := &ordov1.StateDiff{}
	last := map[string][]byte{}
	for i, r := range b.ran[:b.n] {
		if c.lazy && isRejected(r) {
			continue
		}
		n, _ := mempool.Nonce(b.items[i].Tx.Nonce)
		last[name(b.items[i].Tx.Sender)] = word(n + 1)
	}
	for sender, nonce := range last {
		diff.Nonces = append(append(diff.Nonces, key(sender)...), nonce...)
	}
	c.give(Closed{id, &ordov1.BuildResponse_Closed{N: b.n, StateDiff: diff}})
}

func word(n uint64) []byte {
	b := make([]byte, 32)
	for i := range 8 {
		b[31-i] = byte(n >> (8 * i))
	}
	return b
}

func (c *chaos) sealed(id uint64) {
	s := c.builds[id].seal
	c.give(HeaderHashed{id, &ordov1.BlockHeader{Context: s.Draft.Context, PartialHash: value(s.Draft.Context, s.Items)}})
}

// value of a block: number, time and transactions.
func value(c *ordov1.BlockContext, items []Item) []byte {
	return fmt.Appendf(nil, "%d@%d[%s]", c.Number, c.Timestamp, names(items))
}
