package journal

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// Kind of a step.
type Kind byte

// The steps of a height. They are on disk: never renumber.
const (
	Proposed  Kind = iota + 1 // an attempt was given to consensus, or came from it
	Decided                   // consensus has decided on Block; it can change only after Abandoned
	Applied                   // execution has it
	Committed                 // storage has it durably: this and all below
	Accepted                  // storage knows its root: this and all below
	Abandoned                 // this and all above are as if they had never been, Committed and Rooted too
	Ordered                   // Note is what an attempt, named by Block, was given next; of another one, first
	Founded                   // Block is the hash of block 0: the journal belongs to that chain and to no other
)

func (k Kind) String() string {
	if k < Proposed || k > Founded {
		return fmt.Sprintf("step %d", byte(k))
	}
	return [...]string{"proposed", "decided", "applied", "committed", "rooted", "abandoned", "ordered", "founded"}[k-1]
}

// Step is one thing that happened to a height.
type Step struct {
	Kind   Kind
	Height uint64
	Block  []byte // id of the block, of Proposed and Decided; of the attempt, of Ordered; hash of block 0, of Founded
	Note   []byte // of Ordered: bytes to append; of Proposed and Decided: whatever the caller needs to build the same block again
}

// Height is what is known of a height that is not committed.
type Height struct {
	Number            uint64
	Proposed, Decided []byte // ids of the last proposal and of the decision; empty: none
	Note              []byte // of Proposed or Decided, of the last step that had one
	Attempt, Order    []byte // of Ordered: the last attempt, and all its notes, in order
	Log               []byte // what Persist was given, in order
}

// Heads say how far the chain is: each is the first height that is not there yet.
type Heads struct{ Applied, Committed, Accepted uint64 }

// Decision is what was decided at a height.
type Decision struct {
	Height uint64
	Block  []byte
}

// heights follow the steps; the same code runs when they happen and when they are read back.
type heights struct {
	heads   Heads
	open    map[uint64]*height
	genesis []byte            // hash of block 0; nil: not known
	lasting []byte            // of consensus, over heights; nil: none
	decided map[uint64][]byte // of what is not committed, and of the newest that is: storage must hold that block
}

func newHeights() heights { return heights{open: map[uint64]*height{}, decided: map[uint64][]byte{}} }

type height struct {
	Height
	segment uint64 // the first one with a record of it; 0: none is written yet
}

// admissible says why a step cannot be taken, before it is written.
func (s *heights) admissible(step Step) error {
	refuse := func(why string) error { return fmt.Errorf("height %d cannot be %s: %s", step.Height, step.Kind, why) }
	known := s.open[step.Height]
	switch step.Kind {
	case Proposed, Decided, Ordered:
		if len(step.Block) == 0 {
			return refuse("the step names no block")
		}
		if step.Kind == Ordered {
			return nil // of no use when it comes late, and no harm
		}
		if step.Height < s.heads.Committed {
			return refuse("it is committed")
		}
		fallthrough
	case Committed:
		if known != nil && len(known.Decided) > 0 && len(step.Block) > 0 && !bytes.Equal(known.Decided, step.Block) {
			return refuse(fmt.Sprintf("block 0x%x is decided there, not 0x%x", known.Decided, step.Block))
		}
	case Accepted:
		if step.Height >= s.heads.Committed {
			return refuse("it is not committed")
		}
	case Founded:
		if len(step.Block) == 0 {
			return refuse("the step names no block")
		}
		if s.genesis != nil && !bytes.Equal(s.genesis, step.Block) {
			return refuse(fmt.Sprintf("the journal is of the chain that begins with block 0x%x, not 0x%x", s.genesis, step.Block))
		}
	case Applied, Abandoned:
	default:
		return refuse("there is no such step")
	}
	return nil
}

// take changes the state by a step; touched is the height whose records must be kept because of it, or nil.
func (s *heights) take(step Step) (touched *height) {
	switch step.Kind {
	case Founded:
		s.genesis = slices.Clone(step.Block)
	case Proposed, Decided:
		if step.Kind == Decided {
			s.decided[step.Height] = slices.Clone(step.Block)
		}
		if step.Height < s.heads.Committed {
			return nil
		}
		touched = s.at(step.Height)
		if step.Kind == Proposed {
			touched.Proposed = slices.Clone(step.Block)
		} else {
			touched.Decided = slices.Clone(step.Block)
		}
		if len(step.Note) > 0 {
			touched.Note = slices.Clone(step.Note)
		}
	case Ordered:
		if step.Height < s.heads.Committed {
			return nil
		}
		touched = s.at(step.Height)
		if !bytes.Equal(touched.Attempt, step.Block) {
			touched.Attempt, touched.Order = slices.Clone(step.Block), nil
		}
		touched.Order = append(touched.Order, step.Note...)
	case Applied:
		s.heads.Applied = max(s.heads.Applied, step.Height+1)
	case Committed:
		s.heads.Committed = max(s.heads.Committed, step.Height+1)
		s.prune()
	case Accepted:
		s.heads.Accepted = max(s.heads.Accepted, step.Height+1)
	case Abandoned:
		h := &s.heads
		h.Applied, h.Committed, h.Accepted = min(h.Applied, step.Height), min(h.Committed, step.Height), min(h.Accepted, step.Height)
		for number := range s.open {
			if number >= step.Height {
				delete(s.open, number)
			}
		}
		for number := range s.decided {
			if number >= step.Height {
				delete(s.decided, number)
			}
		}
	}
	return touched
}

func (s *heights) persist(number uint64, data []byte) (touched *height) {
	if number < s.heads.Committed {
		return nil
	}
	touched = s.at(number)
	touched.Log = append(touched.Log, data...)
	return touched
}

// replace puts a height as it was copied forward.
func (s *heights) replace(h Height) (touched *height) {
	if h.Number < s.heads.Committed {
		return nil
	}
	delete(s.open, h.Number)
	touched = s.at(h.Number)
	touched.Proposed, touched.Decided = slices.Clone(h.Proposed), slices.Clone(h.Decided)
	touched.Note, touched.Log = slices.Clone(h.Note), slices.Clone(h.Log)
	if len(h.Decided) > 0 {
		s.decided[h.Number] = slices.Clone(h.Decided)
	}
	return touched
}

func (s *heights) at(number uint64) *height {
	if s.open[number] == nil {
		s.open[number] = &height{Height: Height{Number: number}}
	}
	return s.open[number]
}

// prune forgets the details of what is committed.
func (s *heights) prune() {
	for number := range s.open {
		if number < s.heads.Committed {
			delete(s.open, number)
		}
	}
	newest, found := s.newest()
	for number := range s.decided {
		if found && number < newest {
			delete(s.decided, number)
		}
	}
}

// newest is the highest height that is committed and of which the decision is known.
func (s *heights) newest() (number uint64, found bool) {
	for n := range s.decided {
		if n < s.heads.Committed && (!found || n > number) {
			number, found = n, true
		}
	}
	return number, found
}

// origin is what tells this chain from others, for the beginning of a segment.
func (s *heights) origin() origin {
	o := origin{genesis: s.genesis}
	if number, found := s.newest(); found {
		o.height, o.block = number, s.decided[number]
	}
	return o
}

// decisions copies the decided blocks out, lowest first.
func (s *heights) decisions() []Decision {
	var all []Decision
	for number, block := range s.decided {
		all = append(all, Decision{number, block})
	}
	slices.SortFunc(all, func(a, b Decision) int { return cmp.Compare(a.Height, b.Height) })
	return all
}

// sorted copies the open heights out, lowest first.
func (s *heights) sorted() []Height {
	var all []Height
	for _, h := range s.open {
		c := h.Height
		c.Log, c.Order = slices.Clone(c.Log), slices.Clone(c.Order)
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Height) int { return cmp.Compare(a.Number, b.Number) })
	return all
}
