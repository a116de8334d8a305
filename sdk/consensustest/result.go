package consensustest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/transcript"
)

// Result is how a run went.
type Result struct {
	Scenario Scenario
	Failure  *Failure // nil: no checker fired
	Digest   string   // of all events and actions with their times
	Time     time.Duration
	Events   int
	Height   uint64 // newest block that an honest node decided
	Learned  int    // blocks that nodes took from peers: their protocol got an unasked Decided
	Reports  int    // of honest nodes about nodes that lie
	Lines    []string
	progress int // line of the newest decision
}

// Transcript is the run as a person reads it, or its newest lines; "" when the scenario did not Keep it.
func (r *Result) Transcript(newest int) string {
	lines := r.Lines
	var b strings.Builder
	if newest > 0 && len(lines) > newest {
		fmt.Fprintf(&b, "... %d lines\n", len(lines)-newest)
		lines = lines[len(lines)-newest:]
	}
	for _, line := range lines {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// Excerpt is the part of a transcript that shows why the run failed: the last lines, or what came after the newest decision when the nodes did not go on.
func (r *Result) Excerpt(lines int) string {
	if r.Failure == nil || r.Failure.Checker != Liveness || len(r.Lines) == 0 {
		return r.Transcript(lines)
	}
	from := max(0, r.progress-lines/3)
	to := min(len(r.Lines), from+lines)
	var b strings.Builder
	fmt.Fprintf(&b, "... %d lines\n", from)
	for _, line := range r.Lines[from:to] {
		b.WriteString(line + "\n")
	}
	fmt.Fprintf(&b, "... %d lines\n%s\n", len(r.Lines)-to, r.Lines[len(r.Lines)-1])
	return b.String()
}

func (w *world) result() *Result {
	return &Result{Scenario: w.scenario, Failure: w.failure, Digest: w.recorder.sum(), Time: w.now, Events: w.steps,
		Height: w.checks.top, Learned: w.checks.learned, Reports: w.checks.reports, Lines: w.recorder.lines, progress: w.recorder.progress}
}

// recorder keeps the digest of a run and, when it is asked to, its lines.
type recorder struct {
	keep     bool
	digest   hash.Hash
	buffer   []byte
	lines    []string
	progress int
}

func (r *recorder) begin() { r.digest = sha256.New() }

func (r *recorder) sum() string { return hex.EncodeToString(r.digest.Sum(nil)) }

var canonical = proto.MarshalOptions{Deterministic: true}

func (r *recorder) add(w *world, n *node, messages ...proto.Message) {
	b := binary.BigEndian.AppendUint64(r.buffer[:0], uint64(w.now))
	b = binary.BigEndian.AppendUint32(b, uint32(n.number))
	for _, m := range messages {
		at := len(b)
		b, _ = canonical.MarshalAppend(append(b, 0, 0, 0, 0), m)
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	}
	r.digest.Write(b)
	r.buffer = b
}

// event records an event that a protocol is told.
func (r *recorder) event(w *world, n *node, e *ordov1.ConsensusEvent) {
	r.add(w, n, e)
	if r.keep {
		if r.line(w, n, w.words().Event(e)); e.GetDecided() != nil {
			r.progress = len(r.lines)
		}
	}
}

// actions records what a protocol answers.
func (r *recorder) actions(w *world, n *node, actions []*ordov1.Action) {
	for _, a := range actions {
		r.add(w, n, a)
		if r.keep {
			r.line(w, n, "  -> "+w.words().Action(a))
		}
	}
}

// logged records a line that a protocol in this process wrote. It is not part of the digest: those of a plugin process go to its log.
func (r *recorder) logged(w *world, n *node, line sdk.LogLine) {
	if r.keep {
		r.line(w, n, "  log "+line.String())
	}
}

// note records what happens around the protocols.
func (r *recorder) note(w *world, n *node, format string, args ...any) {
	if r.keep {
		r.line(w, n, "# "+fmt.Sprintf(format, args...))
	}
}

func (r *recorder) line(w *world, n *node, text string) {
	name := ""
	if n != nil {
		name = n.name
	}
	r.lines = append(r.lines, fmt.Sprintf("%10.3fms %-4s %s", float64(w.now)/float64(time.Millisecond), name, text))
}

// words are those of a run: keys by the names of their nodes.
func (w *world) words() transcript.Words {
	return transcript.Words{Message: w.subject.Words, Key: func(key []byte) string {
		for i, k := range w.keys {
			if string(k.public) == string(key) {
				return nodeName(i)
			}
		}
		return transcript.Text(key)
	}, Bytes: func(b []byte) string {
		if len(b) > 6 {
			return fmt.Sprintf("%x..%d", b[:4], len(b))
		}
		return hex.EncodeToString(b)
	}}
}
