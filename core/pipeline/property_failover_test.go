package pipeline

import (
	"bytes"
	"fmt"
	"slices"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

var allStages = []ordov1.Stage{ordov1.Stage_STAGE_ORDERING, ordov1.Stage_STAGE_EXECUTION, ordov1.Stage_STAGE_STORAGE, ordov1.Stage_STAGE_CONSENSUS}

// processes is what TestProperties knows of processes that end, and of what readers saw.
type processes struct {
	mortal   bool
	faithful bool // consensus abandons nothing by itself
	down     map[ordov1.Stage]bool
	stored   uint64            // what storage really holds
	values   map[uint64]string // of decided blocks
	deadly   bool              // execution ends by itself, and as often as it happens: its transactions come to be blamed
	died     int               // times that execution ended in this height: more than twice, and a transaction is blamed
	roots    []uint64          // that a new storage tells again
	retry    uint64            // attempt that is to be tried again
	lease    uint64            // first build of the one that is viewed
	viewed   uint64            // build that readers see
	view     []Item            // with a result
}

// fate ends a stage, or brings it back.
func (c *chaos) fate(stage ordov1.Stage) {
	if c.down == nil {
		c.down = map[ordov1.Stage]bool{}
	}
	if c.down[stage] {
		delete(c.down, stage)
		fmt.Fprintf(&c.out, "back: %v\n", stage)
		c.give(StageUp{Stage: stage, Capabilities: abilities(c.arrival(), true)[stage], Head: c.stored, Block: []byte(c.values[c.stored])})
		return
	}
	switch stage {
	case ordov1.Stage_STAGE_EXECUTION:
		if c.died == 2 && !c.deadly {
			return
		}
		c.died++
		c.forget(func(w Command) bool {
			switch w.(type) {
			case Open, Add, Close, Check, Apply, Adopt:
				return true
			}
			return false
		})
		c.open, c.applied = 0, 0
	case ordov1.Stage_STAGE_STORAGE:
		// Of what it was asked last it may have done some.
		for _, w := range c.work {
			if w, ok := w.(Commit); ok && c.r.Intn(2) == 0 {
				c.stored = w.Height
				break
			}
		}
		c.forget(func(w Command) bool { _, ok := w.(Commit); return ok })
	case ordov1.Stage_STAGE_CONSENSUS:
		c.events, c.running = nil, 0
		c.tried, c.built, c.reuse, c.ns = map[uint64]bool{}, map[uint64][]byte{}, map[uint64]reused{}, map[uint64]uint64{}
	}
	c.down[stage] = true
	fmt.Fprintf(&c.out, "lost: %v\n", stage)
	c.give(StageDown{Stage: stage, Why: "killed", Forced: !c.deadly || c.r.Intn(2) == 0, Shared: c.deadly && c.r.Intn(8) == 0})
}

func (c *chaos) forget(which func(Command) bool) { c.work = slices.DeleteFunc(c.work, which) }

// arrival says whether the next ordering plugin gains nothing by waiting: with a restless consensus that changes now and then.
func (c *chaos) arrival() bool { return c.m.capabilities.arrival != (!c.faithful && c.r.Intn(4) == 0) }

// breaks breaks a stream off while its process runs.
func (c *chaos) breaks(build uint64) {
	c.forget(func(w Command) bool {
		switch w := w.(type) {
		case Add:
			return w.Build == build
		case Close:
			return w.Build == build
		case Open:
			return w.Build == build
		}
		return false
	})
	if c.open == build {
		c.open = 0
	}
	blamed := (c.died < 2 || c.deadly) && c.r.Intn(2) == 0
	if blamed {
		c.died++
	}
	c.give(BuildFailed{Build: build, Why: "it broke", Away: !blamed})
}

func (c *chaos) tryAgain() {
	if c.retry != 0 {
		id := c.retry
		c.retry = 0
		c.give(TimerFired{TimerID{RetryTimer, id}})
	}
}

func (c *chaos) follow(from uint64) {
	for h := from; h <= c.stored; h++ {
		c.roots = append(c.roots, h)
	}
}

// ---- the journal of orders ----

// journal is what TestProperties knows of the orders that would survive a restart.
type journal struct {
	journaled bool
	leases    map[uint64]uint64 // first build of each build whose order is kept
	handed    map[uint64]int    // transactions handed over, by first build
	notes     []OrderPersisted  // that the machine has not heard
}

// write takes the order of an opened build, or what was added to it.
func (c *chaos) write(build uint64, n int) {
	lease, kept := c.leases[build]
	if !c.journaled || !kept {
		return
	}
	c.handed[lease] += n
	c.notes = append(c.notes, OrderPersisted{lease, c.handed[lease]})
}

func (c *chaos) writeOpen(o Open) {
	if c.leases == nil {
		c.leases, c.handed = map[uint64]uint64{}, map[uint64]int{}
	}
	switch lease, kept := c.leases[o.Resumes]; {
	case kept:
		c.leases[o.Build] = lease
	case o.Own:
		c.leases[o.Build] = o.Build
		c.write(o.Build, len(o.Order))
	}
}

// note tells the machine of the next order that is durable.
func (c *chaos) note() {
	if len(c.notes) > 0 {
		note := c.notes[0]
		c.notes = c.notes[1:]
		c.give(note)
	}
}

func (c *chaos) persisted() {
	if c.barrier {
		c.barrier = false
		c.give(Persisted{})
	}
}

// ---- what readers see ----

func (c *chaos) opened(o Open) {
	if o.Hidden {
		c.viewed, c.lease, c.view = 0, o.Build, nil
		return
	}
	if o.Resumes != 0 {
		if o.Resumes != c.viewed && c.faithful {
			c.fatal("build %d carries on %d, readers saw %d", o.Build, o.Resumes, c.viewed)
		}
		c.viewed = o.Build
		return
	}
	if c.faithful && len(c.view) > 0 {
		c.fatal("build %d begins anew, though readers saw %s", o.Build, names(c.view))
	}
	c.viewed, c.lease, c.view = o.Build, o.Build, nil
}

func (c *chaos) progress(p Preconfirm) {
	if p.Build != c.viewed || p.First != len(c.view) {
		c.fatal("readers of build %d saw %d results; now come those of build %d from %d on", c.viewed, len(c.view), p.Build, p.First)
	}
	c.view = append(slices.Clone(c.view), p.Items...)
}

func (c *chaos) retracted(build uint64) {
	if build != c.viewed {
		return
	}
	if c.faithful && len(c.view) > 0 && c.died < 2 && !c.drained {
		c.fatal("taken back from readers: %s", names(c.view))
	}
	c.view = nil
}

func (c *chaos) decided(b Commit) {
	if c.faithful && b.Own && names(c.view) != names(b.Items) {
		c.fatal("shown: %s; decided: %s", names(c.view), names(b.Items))
	}
	c.view, c.died = nil, 0
	c.values[b.Height] = string(bytes.Clone(b.Header.PartialHash))
}
