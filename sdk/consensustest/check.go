package consensustest

import (
	"bytes"
	"fmt"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Checker is what a run is held to.
type Checker string

// Checkers.
const (
	Agreement     Checker = "agreement"      // two honest nodes never decide different values at a height
	Validity      Checker = "validity"       // what honest nodes decide, honest execution comes to, on top of the block below
	Certificate   Checker = "certificate"    // Verify takes the certificate of a decision, and for that decision only
	DoubleSign    Checker = "double-sign"    // an honest node never signs, or asks to sign, two things of one kind and round
	Durable       Checker = "durable"        // a node that others have heard does not decide a height again, and differently, after a crash
	Liveness      Checker = "liveness"       // after the last fault honest nodes go on
	Evidence      Checker = "evidence"       // what honest nodes report is about a node that lies
	Halted        Checker = "halted"         // an honest node does not halt
	ProtocolFault Checker = "protocol-fault" // no event is answered with what a core must refuse
	Transactions  Checker = "transactions"   // what was admitted is in one block, or waits; for a Core that has a pool of its own
	CoreFault     Checker = "core-fault"     // the core of an honest node does not stop by itself, and does what its commands say
)

// Failure is that a checker fired.
type Failure struct {
	Checker Checker
	Node    string // "" when it is about all
	At      time.Duration
	Detail  string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%s: %v %s: %s", f.Checker, f.At, f.Node, f.Detail)
}

// fail ends the run; the first failure counts.
func (w *world) fail(c Checker, n *node, format string, args ...any) {
	if w.failure != nil {
		return
	}
	w.failure = &Failure{Checker: c, At: w.now, Detail: fmt.Sprintf(format, args...)}
	if n != nil {
		w.failure.Node = n.name
	}
	w.recorder.note(w, n, "%s: %s", c, w.failure.Detail)
}

// checks is what the checkers know of a run.
type checks struct {
	w        *world
	agreed   []decision // by height-1: the first decision of an honest node
	top      uint64
	signs    map[signature][]byte
	lied     map[string]bool // keys of nodes that lie
	learned  int             // blocks that nodes took from peers
	reports  int             // of nodes that lie, by honest ones
	verified map[string]bool
}

type decision struct {
	value []byte
	node  *node
}

type signature struct {
	key    string
	height uint64
	ballot
}

func (c *checks) begin(w *world) {
	*c = checks{w: w, signs: map[signature][]byte{}, lied: map[string]bool{}, verified: map[string]bool{}}
	for _, f := range w.scenario.Faults {
		for _, i := range f.Nodes {
			if f.Kind.lies() {
				c.lied[string(w.nodes[i].key.public)] = true
			}
		}
	}
}

func (c *checks) highest() uint64 { return c.top }

// decided holds a block that a node goes on with, decided by itself or learned.
func (c *checks) decided(n *node, height uint64, value, honest []byte) {
	n.fresh[height] = string(value)
	if !n.honest {
		return
	}
	c.top = max(c.top, height)
	if !bytes.Equal(honest, value) {
		c.w.fail(Validity, n, "it decides %s at height %d, and honest execution comes to %s", short(value), height, short(honest))
	}
}

// honestValue is what honest execution makes of a block on top of the one below; nil when it rejects it.
func (n *node) honestValue(b block) []byte {
	p, ok := readProposal(b.body)
	if !ok || p.broken || p.height != b.height || p.parent != n.parent() {
		return nil
	}
	return trueValue(b.body)
}

// short is the beginning of a value.
func short(value []byte) string {
	if len(value) == 0 {
		return "no value"
	}
	return fmt.Sprintf("%x", value[:min(4, len(value))])
}

// durable holds a decision when the node can not forget it any more: until then it has told nothing that it would have to keep.
func (c *checks) durable(n *node, height uint64, value []byte) {
	delete(n.fresh, height)
	if !n.honest {
		return
	}
	for uint64(len(c.agreed)) < height {
		c.agreed = append(c.agreed, decision{})
	}
	first := &c.agreed[height-1]
	if first.node == nil {
		*first = decision{value, n}
	}
	switch {
	case bytes.Equal(first.value, value):
	case n.lost[height] == string(first.value):
		c.w.fail(Durable, n, "it decides %x at height %d, where %s decided %x, as it did itself before a crash: it told others before the decision was durable", value[:4], height, first.node.name, first.value[:4])
	default:
		c.w.fail(Agreement, n, "it decides %x at height %d, where %s decided %x", value[:4], height, first.node.name, first.value[:4])
	}
}

// certificate holds the certificate of a decision of an honest node.
func (c *checks) certificate(n *node, height uint64, value, certificate []byte) {
	if err := c.w.verify(height, value, certificate); err != nil {
		c.w.fail(Certificate, n, "verify does not take the certificate of block %d: %v", height, err)
		return
	}
	if key := fmt.Sprint(height); !c.verified[key] {
		c.verified[key] = true
		other := bytes.Clone(value)
		other[0] ^= 1
		if c.w.verify(height, other, certificate) == nil {
			c.w.fail(Certificate, n, "verify takes the certificate of block %d for another value", height)
		} else if c.w.verify(height+1, value, certificate) == nil {
			c.w.fail(Certificate, n, "verify takes the certificate of block %d for block %d", height, height+1)
		}
	}
}

// signed holds a signature that a node made.
func (c *checks) signed(n *node, height uint64, s *ordov1.Action_Sign) {
	key := signature{string(n.key.public), height, ballot{s.Kind, s.Round}}
	before, again := c.signs[key]
	if again && !bytes.Equal(before, s.Data) && n.honest {
		c.w.fail(DoubleSign, n, "it signs %x as kind %d of round %d at height %d, and has signed %x", s.Data, s.Kind, s.Round, height, before)
	}
	c.signs[key] = s.Data
}

// reported holds evidence.
func (c *checks) reported(n *node, r *ordov1.Action_Report) {
	switch {
	case !n.honest:
	case !c.lied[string(r.About)]:
		c.w.fail(Evidence, n, "it reports %s of %s, which is honest", r.Kind, c.w.words().Key(r.About))
	default:
		c.reports++
	}
}
