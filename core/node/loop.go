package node

import (
	"errors"
	"time"

	"github.com/ordo-sequencer/ordo/core/chain"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/core/pool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// loop feeds the machine.
func (n *Node) loop() {
	defer func() {
		for _, t := range n.timers {
			t.Stop()
		}
	}()
	for n.ctx.Err() == nil {
		for _, l := range n.inbox.take(n.ctx) {
			if l.input != nil {
				if _, ok := l.input.(pipeline.PoolChanged); ok {
					n.poked.Store(false)
				}
				n.mu.Lock()
				commands, err := n.machine.Step(uint64(n.now().UnixMilli()), l.input)
				// Statuses follow the pool under its lock: a transaction is never seen leaving before it was seen coming.
				for _, c := range commands {
					if left, ok := c.(pipeline.Leave); ok {
						n.left(left.Dropped)
					}
				}
				n.mu.Unlock()
				n.carryOut(commands)
				if err != nil {
					n.end(err)
					return
				}
			}
			if l.then != nil {
				l.then(n.machine)
			}
		}
	}
}

func (n *Node) input(in pipeline.Input) { n.inbox.push(letter{input: in}) }

// poke tells the machine that the pool changed; one telling is enough for any number of changes.
func (n *Node) poke() {
	if n.poked.CompareAndSwap(false, true) {
		n.input(pipeline.PoolChanged{})
	}
}

func (n *Node) left(dropped []pool.Dropped) {
	for _, d := range dropped {
		n.chain.Drop(d.Hash, d.Why)
		if rejection := (*pipeline.Rejection)(nil); errors.As(d.Why, &rejection) {
			n.log.Warn("transaction rejected", "hash", pool.Hex(d.Hash), "refusal", rejection.Refusal.String(), "reason", rejection.Reason)
		} else {
			n.log.Debug("transaction dropped", "hash", pool.Hex(d.Hash), "why", d.Why)
		}
	}
}

func (n *Node) carryOut(commands []pipeline.Command) {
	for _, c := range commands {
		switch c := c.(type) {
		case pipeline.Tell:
			n.tells.push(c.Event)
		case pipeline.Open:
			n.chain.Open(c.Build, c.Context)
			n.open(c)
		case pipeline.Add:
			txs, classes := split(c.Items)
			n.chain.Candidates(c.Build, txs, classes)
			n.stepOf(c.Build, &ordov1.BuildRequest{Step: &ordov1.BuildRequest_Add_{Add: &ordov1.BuildRequest_Add{Transactions: txs, Classes: classes}}})
		case pipeline.Close:
			n.chain.Closed(c.Build)
			n.stepOf(c.Build, &ordov1.BuildRequest{Step: &ordov1.BuildRequest_Close_{Close: &ordov1.BuildRequest_Close{N: c.N}}})
		case pipeline.Abort:
			n.chain.Reset(c.Build)
			n.abort(c.Build)
		case pipeline.Progress:
			n.chain.Progress(c.Build, c.Results, c.Delta)
		case pipeline.Check:
			n.beside(func() { n.check(c) })
		case pipeline.Seal:
			n.beside(func() { n.seal(c) })
		case pipeline.Apply:
			n.applies.push(c)
		case pipeline.Commit:
			txs, _ := split(c.Items)
			n.chain.Decide(chain.NewBlock(c.Header, txs, c.Results, c.Diff, c.Classes))
			n.log.Info("block decided", "number", c.Height, "transactions", len(txs), "degraded", c.Header.Degraded)
			n.commits.push(c)
		case pipeline.Accept:
			n.accept(c.Root)
		case pipeline.SetTimer:
			n.setTimer(c)
		case pipeline.CancelTimer:
			if t := n.timers[c.ID]; t != nil {
				t.Stop()
				delete(n.timers, c.ID)
			}
		case pipeline.Persist:
			if n.options.Journal != nil {
				if err := n.options.Journal.Persist(n.machine.Height(), c.Data); err != nil {
					n.fail("journal", err)
				}
			}
		case pipeline.Send:
			n.log.Debug("no peers: message of consensus dropped", "to", c.To, "bytes", len(c.Data))
		}
	}
}

// beside runs something next to the loop.
func (n *Node) beside(work func()) {
	n.work.Add(1)
	go func() {
		defer n.work.Done()
		work()
	}()
}

func (n *Node) setTimer(c pipeline.SetTimer) {
	if t := n.timers[c.ID]; t != nil {
		t.Stop()
	}
	n.timers[c.ID] = time.AfterFunc(time.Duration(c.AfterMs)*time.Millisecond, func() { n.input(pipeline.TimerFired{ID: c.ID}) })
}

func split(items []pipeline.Item) (txs []*ordov1.Transaction, classes []*ordov1.Class) {
	txs = make([]*ordov1.Transaction, len(items))
	for i, item := range items {
		txs[i] = item.Tx
		if item.Class != nil {
			classes = append(classes, item.Class)
		}
	}
	return txs, classes
}

// expire looks for transactions that waited too long.
func (n *Node) expire() {
	if n.options.Pool.TTL == 0 {
		return
	}
	ticker := time.NewTicker(max(n.options.Pool.TTL/20, 100*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			n.mu.Lock()
			n.left(n.pool.Expire(n.now()))
			n.mu.Unlock()
		case <-n.ctx.Done():
			return
		}
	}
}
