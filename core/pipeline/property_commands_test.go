package pipeline

import (
	"fmt"
	"strings"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func (c *chaos) perform(out []Command) {
	c.env.carryOut(out)
	for _, command := range out {
		switch command := command.(type) {
		case Tell:
			c.inOrder(command.Event)
			c.events = append(c.events, command.Event.Seq)
			if b := command.Event.GetBuilt(); b != nil && c.tried[b.Attempt] {
				if c.built == nil {
					c.built = map[uint64][]byte{}
				}
				c.built[b.Attempt], c.ns[b.Attempt] = b.Value, b.N
				if old, ok := c.reuse[b.Attempt]; ok && (b.N > old.n || b.N == old.n && string(b.Value) != string(old.value)) {
					c.fatal("attempt %d proposes %d of %d transactions of a built one again: %s, was %s", b.Attempt, b.N, old.n, b.Value, old.value)
				}
			}
			switch v := command.Event.GetVerdict(); {
			case v != nil && v.Valid && c.stripped[v.Attempt] && !c.lazy:
				c.fatal("a proposal with a rejected transaction was found valid")
			case v != nil && v.Valid:
				c.built[v.Attempt] = v.Value
			case v != nil && strings.Contains(v.Reason, "value"):
				c.fatal("an honest proposal was found wrong: %s", v.Reason)
			}
			if command.Event.GetDecided() != nil {
				c.tried, c.built, c.running = map[uint64]bool{}, map[uint64][]byte{}, 0
			}
		case Open:
			c.opened(command)
			c.writeOpen(command)
			if c.drained {
				c.fatal("build %d opened while the node drains", command.Build)
			}
			if c.open != 0 {
				c.fatal("build %d opened while %d is open", command.Build, c.open)
			}
			if command.Context.Number != c.applied+1 {
				c.fatal("block %d opened on tip %d", command.Context.Number, c.applied)
			}
			c.open = command.Build
			c.work = append(c.work, command)
		case Abort:
			if c.open == command.Build {
				c.open = 0
			}
			c.retracted(command.Build)
		case Preconfirm:
			c.progress(command)
		case ResetPreconfirmed:
			c.retracted(command.Build)
		case SetTimer:
			if command.ID.Kind == RetryTimer {
				c.retry = command.ID.ID
			}
		case FollowRoots:
			c.follow(command.From)
		case Add:
			if c.full[command.Build] {
				c.fatal("build %d is full and gets more", command.Build)
			}
			c.write(command.Build, len(command.Items)-command.Again)
			c.work = append(c.work, command)
		case Persist:
			c.barrier = true
			for _, k := range readRecords(command.Data).bodies {
				c.written[string(k.value)] = true
			}
		case Publish:
			c.toKeep[string(command.Value)] = command.Height
		case Keep:
			c.toKeep[string(command.Value)] = command.Height
		case HashHeader:
			if command.Build == c.viewed && names(c.view) != names(command.Items) {
				c.fatal("shown: %s; in the block: %s", names(c.view), names(command.Items))
			}
			c.work = append(c.work, command)
		case Check:
			if !c.down[ordov1.Stage_STAGE_EXECUTION] { // else there is no process to answer
				c.work = append(c.work, command)
			}
		case Apply, Adopt, Fetch, RecordDecision:
			c.work = append(c.work, command)
		case Close:
			c.ran = int(command.N)
			c.work = append(c.work, command)
		case Commit:
			if !command.Again {
				c.commit(command)
			} else if c.values[command.Height] != string(command.Header.PartialHash) {
				c.fatal("block %d is %s, and was %s", command.Height, command.Header.PartialHash, c.values[command.Height])
			}
			if !c.down[ordov1.Stage_STAGE_STORAGE] {
				c.work = append(c.work, command)
			}
		case ReportDropped:
			for _, d := range command.Dropped {
				if strings.Contains(d.Why.Error(), stripped) {
					c.fatal("%s left the pool because of another node's copy of it", name(d.Hash[:]))
				}
				c.settle(name(d.Hash[:]), "dropped: "+d.Why.Error())
			}
		}
	}
}

func (c *chaos) settle(tx, where string) {
	before := c.settled[tx]
	if c.deadly && strings.HasPrefix(before, "dropped") && strings.HasPrefix(where, "block") {
		before = "" // consensus decided an attempt that was built before the search found this transaction
	}
	if before != "" {
		c.fatal("%s has two outcomes: %s; %s", tx, before, where)
	}
	c.settled[tx] = where
}

func (c *chaos) commit(b Commit) {
	if c.height++; b.Height != c.height {
		c.fatal("block %d after %d", b.Height, c.height-1)
	}
	c.decided(b)
	if c.lazy != (b.Order != nil) {
		c.fatal("block %d has the order %v", b.Height, b.Order)
	} else if c.lazy {
		c.orders = append(c.orders, executedOrder{b, c.ran})
	}
	if c.chained == nil {
		c.chained = map[string]uint64{}
	}
	for i, item := range b.Items {
		if b.Results[i].Status == ordov1.TransactionResult_REJECTED {
			c.fatal("a rejected transaction is in block %d", b.Height)
		}
		sender := name(item.Tx.Sender)
		nonce, _ := mempool.Nonce(item.Tx.Nonce)
		if nonce != c.chained[sender] {
			c.fatal("block %d: %s out of nonce order", b.Height, name(item.Tx.Hash))
		}
		c.chained[sender]++
		c.settle(name(item.Tx.Hash), fmt.Sprintf("block %d", b.Height))
	}
}
