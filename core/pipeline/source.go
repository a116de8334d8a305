package pipeline

import (
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// source is where the transactions of an attempt come from: *poolSource, *fixedSource, *proposalSource or *redoSource.
// What is known of them beforehand is the attempt's order.
type source interface {
	// own says whether this node chose the order just now: then it is worth keeping over a restart, and results are shown
	// only when it would survive one.
	own() bool

	// borrowed says whether the transactions came from another node and not from this node's pool. The pool may hold other
	// ones with the same hashes, for a hash does not cover the signature: it is not touched, and no result is shown
	// before the block is decided.
	borrowed() bool

	// end is the number of transactions at which the attempt is closed; bounded is false when there is no such number.
	end(order []Item) (n int, bounded bool)

	// validates says whether execution is asked to validate a block and not to build one.
	validates() bool
}

// poolSource takes the best transactions of the pool, after those of the attempt's order.
type poolSource struct {
	limit      int    // most transactions; 0: no limit
	allowEmpty bool   // consensus wants the block even when nothing is in it; independent of all else
	ahead      []Item // taken from the pool and not handed over yet: one of them may end execution
}

// fixedSource proposes the transactions of an earlier attempt again.
type fixedSource struct {
	peer bool // the earlier attempt is a peer's proposal
}

// proposalSource has the transactions that a peer proposes.
type proposalSource struct {
	n        int              // how many of the order are in the block, as the proposer says
	value    []byte           // the value of that block, as the proposer says
	from     []byte           // key of the proposer
	decided  bool             // consensus knows that it is decided; independent of all else
	proposal *ordov1.Proposal // nil: its body is awaited
	fetched  []byte           // the body, where it came by its value
}

// redoSource builds a block that is decided: before a restart, or by the other validators. Where execution is lazy, it executes an order,
// whether this node proposed it or not.
type redoSource struct {
	block   *Decided
	learned bool // by the others
	proven  bool // by a certificate
	ordered bool // it is an order: what is rejected or does not fit is left out; independent of all else
	hidden  bool // of an order: not shown before its block is decided
}

func (*poolSource) own() bool     { return true }
func (s *fixedSource) own() bool  { return !s.peer }
func (*proposalSource) own() bool { return false }
func (*redoSource) own() bool     { return false }

func (*poolSource) borrowed() bool     { return false }
func (s *fixedSource) borrowed() bool  { return s.peer }
func (*proposalSource) borrowed() bool { return true }
func (s *redoSource) borrowed() bool {
	if s.ordered {
		return s.hidden
	}
	return s.block.FromPeer
}

func (s *poolSource) end([]Item) (int, bool)      { return s.limit, s.limit > 0 }
func (*fixedSource) end(order []Item) (int, bool) { return len(order), true }
func (s *proposalSource) end([]Item) (int, bool)  { return s.n, true }
func (*redoSource) end(order []Item) (int, bool)  { return len(order), true }

func (*poolSource) validates() bool     { return false }
func (*fixedSource) validates() bool    { return false }
func (*proposalSource) validates() bool { return true }
func (*redoSource) validates() bool     { return true }

// fromPool returns the pool as the source of the attempt; nil when it has another one.
func (a *attempt) fromPool() *poolSource { s, _ := a.source.(*poolSource); return s }

// fromPeer returns the peer's proposal that the attempt validates; nil when it has another source.
func (a *attempt) fromPeer() *proposalSource { s, _ := a.source.(*proposalSource); return s }

// redo returns the decided block that the attempt builds; nil when it has another source.
func (a *attempt) redo() *Decided {
	if s, ok := a.source.(*redoSource); ok {
		return s.block
	}
	return nil
}

// allowsEmpty says whether the attempt may come to a block without transactions.
func (a *attempt) allowsEmpty() bool {
	p := a.fromPool()
	return p == nil || p.allowEmpty
}

// ordered returns the decided order that the attempt executes; nil when it has another source.
func (a *attempt) ordered() *redoSource {
	if s, ok := a.source.(*redoSource); ok && s.ordered {
		return s
	}
	return nil
}
