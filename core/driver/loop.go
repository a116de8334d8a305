package driver

import (
	"errors"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// loop feeds the machine.
func (d *Driver) loop() {
	defer func() {
		for _, t := range d.timers {
			t.Stop()
		}
	}()
	for d.ctx.Err() == nil {
		for _, l := range d.inbox.take(d.ctx) {
			if l.first != nil {
				l.first()
			}
			if l.input != nil {
				if _, ok := l.input.(pipeline.PoolChanged); ok {
					d.poolNotified.Store(false)
				}
				d.mu.Lock()
				commands, err := d.machine.Step(uint64(d.now().UnixMilli()), l.input)
				// Statuses follow the pool under its lock: a transaction is never seen leaving before it was seen coming.
				for _, c := range commands {
					if left, ok := c.(pipeline.ReportDropped); ok {
						d.reportDropped(left.Dropped)
					}
				}
				d.mu.Unlock()
				for _, c := range commands {
					if left, ok := c.(pipeline.ReportDropped); ok {
						d.logDropped(left.Dropped)
					}
				}
				lost, _ := l.input.(pipeline.StageDown)
				if s := d.machine.Searching(); d.options.Questions != nil && (s != d.searching || lost.Stage == ordov1.Stage_STAGE_EXECUTION) {
					d.searching = s
					d.options.Questions.Hold(s)
				}
				d.carryOut(commands)
				if err != nil {
					d.stop(err)
					return
				}
			}
			if l.then != nil {
				l.then(d.machine)
			}
		}
	}
}

func (d *Driver) input(in pipeline.Input) { d.inbox.push(inboxMsg{input: in}) }

// notifyPool tells the machine that the pool changed; one telling is enough for any number of changes.
func (d *Driver) notifyPool() {
	if d.poolNotified.CompareAndSwap(false, true) {
		d.input(pipeline.PoolChanged{})
	}
}

// reportDropped says that transactions left the pool, under its lock; logLeft logs it, without.
func (d *Driver) reportDropped(dropped []mempool.Dropped) {
	for _, one := range dropped {
		d.journalDrop(one.Hash)
		d.chain.Drop(one.Hash, one.Why)
	}
}

func (d *Driver) logDropped(dropped []mempool.Dropped) {
	for _, one := range dropped {
		if rejection := (*pipeline.Rejection)(nil); errors.As(one.Why, &rejection) {
			d.log.Warn("transaction rejected", "hash", mempool.Hex(one.Hash), "refusal", rejection.Refusal.String(), "reason", rejection.Reason)
			if rejection.Refusal == ordov1.Refusal_MEMORY_EXCEEDED && d.options.Questions != nil {
				d.options.Questions.Costly(one.Sender)
			}
		} else {
			d.log.Debug("transaction dropped", "hash", mempool.Hex(one.Hash), "why", one.Why)
		}
	}
}

func (d *Driver) carryOut(commands []pipeline.Command) {
	for _, c := range commands {
		switch c := c.(type) {
		case pipeline.Tell:
			d.at[ordov1.Stage_STAGE_CONSENSUS].tells.push(c.Event)
		case pipeline.Open:
			switch {
			case c.Hidden: // the chain does not know this build, and ignores what comes of it
			case c.Resumes != 0:
				d.chain.Resume(c.Resumes, c.Build)
			default:
				d.chain.Open(c.Build, c.Context)
			}
			d.orders.open(c)
			d.open(c)
		case pipeline.Add:
			d.orders.add(c)
			fresh, brought := split(c.Items[c.Again:])
			d.chain.Candidates(c.Build, fresh, brought)
			txs, classes := split(c.Items)
			d.stepOf(c.Build, &ordov1.BuildRequest{Step: &ordov1.BuildRequest_Add_{Add: &ordov1.BuildRequest_Add{Transactions: txs, Classes: classes}}})
		case pipeline.Close:
			d.chain.Closed(c.Build)
			d.stepOf(c.Build, &ordov1.BuildRequest{Step: &ordov1.BuildRequest_Close_{Close: &ordov1.BuildRequest_Close{N: c.N}}})
		case pipeline.Abort:
			d.chain.ResetPreconfirmed(c.Build)
			d.abort(c.Build)
		case pipeline.Preconfirm:
			d.chain.Preconfirm(c.Build, c.Results, c.Delta)
		case pipeline.ResetPreconfirmed:
			d.log.Warn("the block came out differently when it was built again: its transactions go back", "number", c.Context.Number)
			txs, classes := split(c.Items)
			d.chain.ResetPreconfirmed(c.Build)
			d.chain.Open(c.Build, c.Context)
			d.chain.Candidates(c.Build, txs, classes)
		case pipeline.DropCandidates:
			d.orders.drop(c)
			txs, _ := split(c.Items)
			d.chain.DropCandidates(c.Build, txs)
		case pipeline.Check:
			d.startProposalCheck(c)
		case pipeline.HashHeader:
			b := d.at[ordov1.Stage_STAGE_EXECUTION].builds[c.Build]
			d.spawn(func() { d.hashHeader(c, b) })
		case pipeline.Apply:
			d.at[ordov1.Stage_STAGE_EXECUTION].applies.push(&ordov1.ApplyRequest{Height: c.Height, Attempt: c.Build})
		case pipeline.Adopt:
			d.at[ordov1.Stage_STAGE_EXECUTION].applies.push(&ordov1.ApplyRequest{Height: c.Height, Adopt: true})
		case pipeline.Commit:
			if !c.Again {
				txs, _ := split(c.Items)
				d.chain.Decide(chainview.NewBlock(c.Header, txs, c.Results, c.Diff, c.Classes))
				d.log.Info("block decided", "number", c.Height, "transactions", len(txs), "degraded", c.Header.Degraded)
				d.markDecided(c)
			}
			d.at[ordov1.Stage_STAGE_STORAGE].commits.push(decision{c, d.marks[c.Height]})
		case pipeline.Stored:
			d.blockStored(c)
			d.at[ordov1.Stage_STAGE_STORAGE].pending.set(int(d.storedTo) - int(d.acceptedTo))
		case pipeline.FollowRoots:
			d.followRoots(c.From)
		case pipeline.SuspectStage:
			d.suspect(d.at[c.Stage], errors.New(c.Why))
		case pipeline.CulpritFound:
			if d.options.Questions != nil {
				d.options.Questions.Found()
			}
			if d.options.CulpritFound != nil {
				d.options.CulpritFound(c.Stage)
			}
		case pipeline.Accept:
			d.accept(c.Root)
		case pipeline.SetTimer:
			d.setTimer(c)
		case pipeline.CancelTimer:
			if t := d.timers[c.ID]; t != nil {
				t.Stop()
				delete(d.timers, c.ID)
			}
		case pipeline.Persist:
			d.persist(d.machine.Height(), c.Data)
		case pipeline.Send:
			d.unsendable(c)
		}
	}
}

// spawn runs something next to the loop.
func (d *Driver) spawn(work func()) {
	d.work.Add(1)
	go func() {
		defer d.work.Done()
		work()
	}()
}

func (d *Driver) setTimer(c pipeline.SetTimer) {
	if t := d.timers[c.ID]; t != nil {
		t.Stop()
	}
	d.timers[c.ID] = time.AfterFunc(time.Duration(c.AfterMs)*time.Millisecond, func() { d.input(pipeline.TimerFired{ID: c.ID}) })
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
func (d *Driver) expire() {
	if d.options.Pool.TTL == 0 {
		return
	}
	ticker := time.NewTicker(max(d.options.Pool.TTL/20, 100*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			d.mu.Lock()
			dropped := d.pool.Expire(d.now())
			d.reportDropped(dropped)
			d.mu.Unlock()
			d.logDropped(dropped)
		case <-d.ctx.Done():
			return
		}
	}
}
