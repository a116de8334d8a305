package chainview

import (
	"context"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Status is how far a transaction got.
type Status int

// The statuses of a transaction, in their order.
const (
	Unknown Status = iota
	Received
	Candidate
	PreConfirmed
	Accepted
	Dropped
)

func (s Status) String() string {
	return [...]string{"UNKNOWN", "RECEIVED", "CANDIDATE", "PRE_CONFIRMED", "ACCEPTED_ON_L2", "DROPPED"}[s]
}

// Record is where one transaction stands.
type Record struct {
	Status Status
	Tx     *ordov1.Transaction       // nil for an accepted one, which storage has
	Height uint64                    // from Candidate on
	Result *ordov1.TransactionResult // from PreConfirmed on; of an accepted one status and reason, unless that is long
	Why    error                     // Dropped
	// Rejected is why execution would not put a Candidate in the block: it leaves with the block's decision.
	Rejected *ordov1.TransactionResult
}

// Status tells where a transaction stands. Those accepted or dropped long ago are forgotten; storage knows the first.
func (c *Chain) Status(hash Key) Record {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r := c.records.get(hash); r != nil {
		return *r
	}
	return Record{}
}

// set stores a record and wakes those that wait for the transaction. The lock is held.
func (c *Chain) set(tx *ordov1.Transaction, r Record) {
	hash := Key(tx.Hash)
	kept := r
	if r.Status == Accepted {
		// How it ended stays: clients poll for that, and storage would have to unpack its block.
		kept.Tx, kept.Result = nil, outcome(r.Result)
	}
	c.records.set(hash, &kept)
	if w := c.watches[hash]; w != nil {
		delete(c.watches, hash)
		close(w.moved)
	}
}

// reasonKept is the longest reason that is remembered; one that is longer waits in storage.
const reasonKept = 1 << 10

// outcome is the part of a result that a status tells.
func outcome(r *ordov1.TransactionResult) *ordov1.TransactionResult {
	if r == nil || len(r.Reason) > reasonKept {
		return nil
	}
	return &ordov1.TransactionResult{Status: r.Status, Reason: r.Reason}
}

// finalKept is how many accepted or dropped transactions are remembered.
const finalKept = 1 << 14

// records remembers every transaction that is on its way, and the last ones that have arrived.
type records struct {
	all   map[Key]*Record
	final []Key // ring
	at    int
}

func newRecords() records { return records{all: map[Key]*Record{}} }

func (s *records) get(hash Key) *Record { return s.all[hash] }

func (s *records) set(hash Key, r *Record) {
	before := s.all[hash]
	s.all[hash] = r
	if r.Status < Accepted || before != nil && before.Status >= Accepted {
		return
	}
	if len(s.final) < finalKept {
		s.final = append(s.final, hash)
		return
	}
	if old := s.all[s.final[s.at]]; old != nil && old.Status >= Accepted && s.final[s.at] != hash {
		delete(s.all, s.final[s.at])
	}
	s.final[s.at] = hash
	s.at = (s.at + 1) % finalKept
}

// Await waits until the condition holds, looking again after every change.
func (c *Chain) Await(ctx context.Context, holds func() bool) error {
	for {
		changed := c.Changed()
		if holds() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
