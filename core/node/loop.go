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
			if l.first != nil {
				l.first()
			}
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
				for _, c := range commands {
					if left, ok := c.(pipeline.Leave); ok {
						n.logLeft(left.Dropped)
					}
				}
				lost, _ := l.input.(pipeline.Lost)
				if s := n.machine.Searching(); n.options.Questions != nil && (s != n.searching || lost.Stage == ordov1.Stage_STAGE_EXECUTION) {
					n.searching = s
					n.options.Questions.Hold(s)
				}
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

// left says that transactions left the pool, under its lock; logLeft logs it, without.
func (n *Node) left(dropped []pool.Dropped) {
	for _, d := range dropped {
		n.unpromise(d.Hash)
		n.chain.Drop(d.Hash, d.Why)
	}
}

func (n *Node) logLeft(dropped []pool.Dropped) {
	for _, d := range dropped {
		if rejection := (*pipeline.Rejection)(nil); errors.As(d.Why, &rejection) {
			n.log.Warn("transaction rejected", "hash", pool.Hex(d.Hash), "refusal", rejection.Refusal.String(), "reason", rejection.Reason)
			if rejection.Refusal == ordov1.Refusal_MEMORY_EXCEEDED && n.options.Questions != nil {
				n.options.Questions.Costly(d.Sender)
			}
		} else {
			n.log.Debug("transaction dropped", "hash", pool.Hex(d.Hash), "why", d.Why)
		}
	}
}

func (n *Node) carryOut(commands []pipeline.Command) {
	for _, c := range commands {
		switch c := c.(type) {
		case pipeline.Tell:
			n.at[ordov1.Stage_STAGE_CONSENSUS].tells.push(c.Event)
		case pipeline.Open:
			switch {
			case c.Hidden: // the chain does not know this build, and ignores what comes of it
			case c.Resumes != 0:
				n.chain.Resume(c.Resumes, c.Build)
			default:
				n.chain.Open(c.Build, c.Context)
			}
			n.orders.open(c)
			n.open(c)
		case pipeline.Add:
			n.orders.add(c)
			fresh, brought := split(c.Items[c.Again:])
			n.chain.Candidates(c.Build, fresh, brought)
			txs, classes := split(c.Items)
			n.stepOf(c.Build, &ordov1.BuildRequest{Step: &ordov1.BuildRequest_Add_{Add: &ordov1.BuildRequest_Add{Transactions: txs, Classes: classes}}})
		case pipeline.Close:
			n.chain.Closed(c.Build)
			n.stepOf(c.Build, &ordov1.BuildRequest{Step: &ordov1.BuildRequest_Close_{Close: &ordov1.BuildRequest_Close{N: c.N}}})
		case pipeline.Abort:
			n.chain.Reset(c.Build)
			n.abort(c.Build)
		case pipeline.Progress:
			n.chain.Progress(c.Build, c.Results, c.Delta)
		case pipeline.Retract:
			n.log.Warn("the block came out differently when it was built again: its transactions go back", "number", c.Context.Number)
			txs, classes := split(c.Items)
			n.chain.Reset(c.Build)
			n.chain.Open(c.Build, c.Context)
			n.chain.Candidates(c.Build, txs, classes)
		case pipeline.Withdraw:
			n.orders.withdraw(c)
			txs, _ := split(c.Items)
			n.chain.Withdraw(c.Build, txs)
		case pipeline.Check:
			n.startCheck(c)
		case pipeline.Seal:
			b := n.at[ordov1.Stage_STAGE_EXECUTION].builds[c.Build]
			n.beside(func() { n.seal(c, b) })
		case pipeline.Apply:
			n.at[ordov1.Stage_STAGE_EXECUTION].applies.push(&ordov1.ApplyRequest{Height: c.Height, Attempt: c.Build})
		case pipeline.Adopt:
			n.at[ordov1.Stage_STAGE_EXECUTION].applies.push(&ordov1.ApplyRequest{Height: c.Height, Adopt: true})
		case pipeline.Commit:
			if !c.Again {
				txs, _ := split(c.Items)
				n.chain.Decide(chain.NewBlock(c.Header, txs, c.Results, c.Diff, c.Classes))
				n.log.Info("block decided", "number", c.Height, "transactions", len(txs), "degraded", c.Header.Degraded)
				n.markDecided(c)
			}
			n.at[ordov1.Stage_STAGE_STORAGE].commits.push(decision{c, n.marks[c.Height]})
		case pipeline.Stored:
			n.settled(c)
			n.at[ordov1.Stage_STAGE_STORAGE].owes.owe(int(n.storedTo) - int(n.rootedTo))
		case pipeline.Follow:
			n.follow(c.From)
		case pipeline.Doubt:
			n.broken(n.at[c.Stage], errors.New(c.Why))
		case pipeline.Found:
			if n.options.Questions != nil {
				n.options.Questions.Found()
			}
			if n.options.Found != nil {
				n.options.Found(c.Stage)
			}
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
			n.persist(n.machine.Height(), c.Data)
		case pipeline.Send:
			n.unsendable(c)
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
			dropped := n.pool.Expire(n.now())
			n.left(dropped)
			n.mu.Unlock()
			n.logLeft(dropped)
		case <-n.ctx.Done():
			return
		}
	}
}
