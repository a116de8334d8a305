package driver

import (
	"errors"
	"time"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// loop feeds the machine with what the stages, the timers and the clients post, and carries out its commands.
func (d *Driver) loop() {
	defer d.timers.stop()
	for d.ctx.Err() == nil {
		for _, message := range d.inbox.take(d.ctx) {
			if message.first != nil {
				message.first()
			}
			if message.input != nil {
				if err := d.step(message.input); err != nil {
					d.stop(err)
					return
				}
			}
			if message.then != nil {
				message.then(d.machine)
			}
		}
	}
}

// step gives the machine one input. What it commands is carried out also when it finds a fault.
func (d *Driver) step(in pipeline.Input) error {
	if _, ok := in.(pipeline.PoolChanged); ok {
		d.poolNotified.Store(false)
	}
	d.pool.mu.Lock()
	commands, err := d.machine.Step(uint64(d.now().UnixMilli()), in)
	// Statuses follow the pool under its lock: a transaction is never seen leaving before it was seen coming.
	for _, c := range commands {
		if left, ok := c.(pipeline.ReportDropped); ok {
			d.reportDropped(left.Dropped)
		}
	}
	d.pool.mu.Unlock()
	for _, c := range commands {
		if left, ok := c.(pipeline.ReportDropped); ok {
			d.observeDropped(left.Dropped)
		}
	}
	d.holdQuestions(in)
	d.carryOut(commands)
	return err
}

// holdQuestions keeps questions of clients away from execution while the machine looks for a transaction that ends it.
func (d *Driver) holdQuestions(in pipeline.Input) {
	if d.options.Questions == nil {
		return
	}
	lost, _ := in.(pipeline.StageDown)
	if s := d.machine.Searching(); s != d.searching || lost.Stage == ordov1.Stage_STAGE_EXECUTION {
		d.searching = s
		d.options.Questions.Hold(s)
	}
}

// post hands an input to the machine.
func (d *Driver) post(in pipeline.Input) { d.inbox.push(inboxMsg{input: in}) }

// notifyPool tells the machine that the pool changed; one notice is enough for any number of changes.
func (d *Driver) notifyPool() {
	if d.poolNotified.CompareAndSwap(false, true) {
		d.post(pipeline.PoolChanged{})
	}
}

// reportDropped tells the journal and the readers that transactions left the pool. The caller holds the lock of the pool.
func (d *Driver) reportDropped(dropped []mempool.Dropped) {
	for _, one := range dropped {
		d.journal.drop(one.Hash)
		d.chain.Drop(one.Hash, one.Why)
	}
}

// observeDropped tells the observer what reportDropped reported, without the lock.
func (d *Driver) observeDropped(dropped []mempool.Dropped) {
	for _, one := range dropped {
		if rejection := (*pipeline.Rejection)(nil); errors.As(one.Why, &rejection) && rejection.Code == ordov1.RejectionCode_MEMORY_EXCEEDED && d.options.Questions != nil {
			d.options.Questions.Costly(one.Sender)
		}
		tx := d.chain.Status(one.Hash).Tx
		if tx == nil {
			tx = &ordov1.Transaction{Hash: one.Hash[:]}
		}
		d.options.Observer.Dropped(tx, one.Why)
	}
}

// carryOut hands each command to the part of the driver that carries it out. ReportDropped was carried out with the step.
func (d *Driver) carryOut(commands []pipeline.Command) {
	for _, c := range commands {
		switch c := c.(type) {
		case pipeline.Tell:
			d.consensus.tell(c.Event)
		case pipeline.Send:
			d.consensus.send(c)
		case pipeline.Publish:
			d.consensus.publish(c)
		case pipeline.Keep:
			d.consensus.keep(c)
		case pipeline.Fetch:
			d.consensus.fetch(c)
		case pipeline.Unlearned:
			d.learning.failed(c)
		case pipeline.Report:
			d.consensus.report(c)
		case pipeline.RefuseSignature:
			d.log.Error("consensus wants a second text signed in the place of a first: refused", "height", c.Height, "kind", c.Kind, "round", c.Round)
		case pipeline.RecordDecision:
			d.journal.record(c)
		case pipeline.Persist:
			d.journal.persist(c)

		case pipeline.Open:
			d.execution.open(c)
		case pipeline.Add:
			d.execution.add(c)
		case pipeline.Close:
			d.execution.close(c)
		case pipeline.Abort:
			d.execution.abort(c)
		case pipeline.Preconfirm:
			d.execution.preconfirm(c)
		case pipeline.ResetPreconfirmed:
			d.execution.resetPreconfirmed(c)
		case pipeline.DropCandidates:
			d.execution.dropCandidates(c)
		case pipeline.HashHeader:
			d.execution.hashHeader(c)
		case pipeline.Check:
			d.execution.check(c)
		case pipeline.Apply:
			d.execution.apply(c)
		case pipeline.Adopt:
			d.execution.adopt(c)

		case pipeline.Commit:
			d.storage.commit(c)
		case pipeline.Stored:
			d.storage.markStored(c)
		case pipeline.FollowRoots:
			d.storage.followRoots(c.From)
		case pipeline.Accept:
			d.storage.accept(c.Root)

		case pipeline.SuspectStage:
			d.stage(c.Stage).current().suspect(errors.New(c.Why))
		case pipeline.CulpritFound:
			d.culpritFound(c.Stage)
		case pipeline.SetTimer:
			d.timers.set(c, func() { d.post(pipeline.TimerFired{ID: c.ID}) })
		case pipeline.CancelTimer:
			d.timers.cancel(c.ID)
		}
	}
}

// culpritFound tells that the transaction which ended a stage's process again and again is known and rejected.
func (d *Driver) culpritFound(stage ordov1.Stage) {
	if d.options.Questions != nil {
		d.options.Questions.Found()
	}
	if d.options.CulpritFound != nil {
		d.options.CulpritFound(stage)
	}
}

// spawn runs work beside the loop; Stop waits for it.
func (d *Driver) spawn(work func()) {
	d.work.Add(1)
	go func() {
		defer d.work.Done()
		work()
	}()
}

// timers are the running timers of the machine.
type timers map[pipeline.TimerID]*time.Timer

func (t timers) set(c pipeline.SetTimer, fire func()) {
	t.cancel(c.ID)
	t[c.ID] = time.AfterFunc(time.Duration(c.AfterMs)*time.Millisecond, fire)
}

func (t timers) cancel(id pipeline.TimerID) {
	if timer := t[id]; timer != nil {
		timer.Stop()
		delete(t, id)
	}
}

func (t timers) stop() {
	for _, timer := range t {
		timer.Stop()
	}
}

// split separates transactions from the classes that they bring.
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

// expire drops transactions that have waited too long.
func (d *Driver) expire() {
	if d.options.Pool.TTL == 0 {
		return
	}
	ticker := time.NewTicker(max(d.options.Pool.TTL/20, 100*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			d.pool.mu.Lock()
			dropped := d.pool.Expire(d.now())
			d.reportDropped(dropped)
			d.pool.mu.Unlock()
			d.observeDropped(dropped)
		case <-d.ctx.Done():
			return
		}
	}
}
