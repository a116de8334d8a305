package consensustest

import (
	"bytes"
	"fmt"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Core is what stands around the protocol in a node. This package has a model of one; Scenario.Core puts another in its place. Its methods
// are called one at a time, and it goes by nothing but its Host: no clock, no goroutine, no random number of its own.
type Core interface {
	// Start begins a process with what is durable. It says Host.At and begins the plugin.
	Start()
	// End ends the process: what is not durable is lost. The host ends the plugin, and calls nothing of the process any more.
	End()
	// Restart ends the plugin and begins another instance, now or later.
	Restart()
	// Transaction is one that a client sends to every node. They are numbered from 1.
	Transaction(id uint64)
	// Receive is what another node sent.
	Receive(from *Host, p Packet)
}

// Packet is what a node sends to another.
type Packet interface {
	Size() int // in bytes, for links with a bandwidth
}

// Message is a packet of the protocol: what faults change and repeat.
type Message struct{ Data []byte }

// Size implements Packet.
func (m Message) Size() int { return len(m.Data) }

// Host is a node as its Core sees it: clock, disk, network, plugin, and the checkers.
type Host struct{ node *node }

// Number is the number of the node; twins follow validators and followers.
func (h *Host) Number() int { return h.node.number }

// Key is the public key of the node; a twin has that of another node.
func (h *Host) Key() []byte { return h.node.key.public }

// Validator says whether the node has the key of a validator.
func (h *Host) Validator() bool { return h.node.signs() }

// Validators are those of the network, sorted by key.
func (h *Host) Validators() []*ordov1.Validator { return h.node.w.validators }

// Scenario is that of the run.
func (h *Host) Scenario() Scenario { return h.node.w.scenario }

// Config is the configuration of the protocol.
func (h *Host) Config() []byte { return h.node.w.subject.Config }

// Sign signs a message with the key of the node.
func (h *Host) Sign(message []byte) []byte { return h.node.key.sign(message) }

// NowMs is the clock of the node.
func (h *Host) NowMs() uint64 { return h.node.nowMs() }

// After schedules something of the process that runs: it is void when that ends, and waits while the node is paused.
func (h *Host) After(d time.Duration, do func()) { h.node.w.after(d, h.node, do) }

// Between draws a duration of the run.
func (h *Host) Between(low, high time.Duration) time.Duration { return h.node.w.between(low, high) }

// RunTime draws how long execution takes, WriteTime a write to the disk: with the faults of the node.
func (h *Host) RunTime() time.Duration { return h.node.runTime() }

// WriteTime draws how long a write to the disk takes.
func (h *Host) WriteTime() time.Duration { return h.node.writeTime() }

// Does says whether a fault of a kind is active at the node.
func (h *Host) Does(kind Kind) bool { return h.node.does(kind) }

// Up says whether the node runs.
func (h *Host) Up() bool { return h.node.up() }

// Begin begins an instance of the plugin; EndPlugin ends it.
func (h *Host) Begin() bool { return h.node.newPlugin() }

// EndPlugin ends the instance of the plugin. Answers of it that are not there yet do not come.
func (h *Host) EndPlugin() { h.node.endPlugin() }

// Step has the plugin answer an event. answer gets the actions when they take effect, perhaps before Step returns.
func (h *Host) Step(event *ordov1.ConsensusEvent, answer func([]*ordov1.Action)) {
	if n := h.node; n.plugin != nil && n.w.failure == nil && n.up() {
		n.step(event, answer)
	}
}

// Others are all nodes with another key.
func (h *Host) Others() (list []*Host) {
	h.node.others(func(to *node) { list = append(list, &Host{to}) })
	return list
}

// Send gives a packet to the network.
func (h *Host) Send(to *Host, p Packet) { h.node.send(to.node, p) }

// Note writes a line of the transcript.
func (h *Host) Note(format string, args ...any) {
	h.node.w.recorder.note(h.node.w, h.node, format, args...)
}

// Fail says that a checker fired. The run ends.
func (h *Host) Fail(c Checker, format string, args ...any) {
	if h.node.honest {
		h.node.w.fail(c, h.node, format, args...)
	}
}

// Stop says that the core stops for good. Of an honest node that fires a checker.
func (h *Host) Stop(c Checker, why string) { h.node.stop(c, why) }

// Proves says whether the protocol makes certificates.
func (h *Host) Proves() bool { return h.node.w.subject.Verify != nil }

// Verify checks a certificate.
func (h *Host) Verify(height uint64, value, certificate []byte) error {
	return h.node.w.verify(height, value, certificate)
}

// At says which height the process begins with.
func (h *Host) At(height uint64) { h.node.height = height }

// Decided says that the node goes on with a block: its value, and what honest execution makes of it on top of the block below, nil when
// it rejects it. With learned it was taken from another node, and has no certificate of this node's protocol.
func (h *Host) Decided(height uint64, value, honest []byte, learned bool) {
	n := h.node
	n.w.checks.decided(n, height, value, honest)
	n.height = height + 1
	if learned {
		n.w.checks.learned++
	}
}

// Certified holds the certificate of a decision of the protocol.
func (h *Host) Certified(height uint64, value, certificate []byte) {
	if n := h.node; n.w.subject.Verify != nil && n.honest {
		n.w.checks.certificate(n, height, value, certificate)
	}
}

// Durable says that the decision of a height outlives the process from now on.
func (h *Host) Durable(height uint64, value []byte) { h.node.w.checks.durable(h.node, height, value) }

// Signed says that the node has signed something at a height.
func (h *Host) Signed(height uint64, s *ordov1.Action_Sign) {
	h.node.w.checks.signed(h.node, height, s)
}

// Reported says that the protocol reports a validator.
func (h *Host) Reported(r *ordov1.Action_Report) { h.node.w.checks.reported(h.node, r) }

// Same says whether two hosts are the same node.
func (h *Host) Same(other *Host) bool { return h.node == other.node }

// HasKey says whether the node has this key.
func (h *Host) HasKey(key []byte) bool { return bytes.Equal(h.node.key.public, key) }

// String is the name of the node.
func (h *Host) String() string { return fmt.Sprint(h.node.name) }
