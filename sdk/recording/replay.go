package recording

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/transcript"
)

// Plugin is a fresh instance of the protocol.
type Plugin interface {
	// Step answers an event; an error ends the replay.
	Step(*ordov1.ConsensusEvent) ([]*ordov1.Action, error)
	Close()
}

// Report is what a replay found.
type Report struct {
	Runs, Events, Compared int         // instances, events that were given, answers that were compared
	Heights                [2]uint64   // the lowest and the highest
	Difference             *Difference // the first; nil: none
}

// Difference is the first answer that is not as recorded.
type Difference struct {
	Run      uint64
	Seq      uint64
	Height   uint64
	At       time.Time
	Event    *ordov1.ConsensusEvent
	Recorded []*ordov1.Action
	Got      []*ordov1.Action
	Failed   error // the plugin did not answer
}

// Tell shows the lines of a replay as they come: an event, then its actions. from is the beginning of the recording.
type Tell func(line string)

// Replay gives the recorded events to fresh instances, in their order and as fast as they are answered, and compares the answers. The time is
// that in the events. It ends with the first difference.
func (r *Recording) Replay(begin func() (Plugin, error), words transcript.Words, tell Tell) (*Report, error) {
	report := &Report{}
	for _, run := range r.Runs {
		plugin, err := begin()
		if err != nil {
			return report, fmt.Errorf("recording: the plugin does not begin: %w", err)
		}
		report.Runs++
		r.replay(run, plugin, words, tell, report)
		plugin.Close()
		if report.Difference != nil {
			break
		}
	}
	return report, nil
}

func (r *Recording) replay(run *Instance, plugin Plugin, words transcript.Words, tell Tell, report *Report) {
	height := uint64(0)
	for _, e := range run.Events {
		event := e.Message
		switch {
		case event.GetStart() != nil:
			height = event.GetStart().Height
		case event.GetDecided() != nil:
			height = event.GetDecided().Height // the events behind it are of the next one
		}
		if height > 0 {
			if report.Heights[1] = max(report.Heights[1], height); report.Heights[0] == 0 {
				report.Heights[0] = height
			}
		}
		if tell != nil {
			tell(r.stamp(e.At) + words.Event(event))
		}
		got, err := plugin.Step(event)
		report.Events++
		if tell != nil {
			for _, a := range got {
				tell(r.stamp(e.At) + "  -> " + words.Action(a))
			}
		}
		answer, answered := run.Answers[event.Seq]
		if err == nil && answered && !proto.Equal(answer.Message, &ordov1.Actions{Seq: event.Seq, Actions: got}) || err != nil {
			report.Difference = &Difference{Run: run.Number, Seq: event.Seq, Height: height, At: e.At, Event: event, Recorded: answer.Message.GetActions(), Got: got, Failed: err}
			return
		}
		if answered {
			report.Compared++
		}
		if event.GetDecided() != nil {
			height++
		}
	}
}

// stamp is the time of a line, since the recording began.
func (r *Recording) stamp(at time.Time) string {
	return fmt.Sprintf("%12.3fms ", float64(at.UnixMicro()-r.Header.Began)/1000)
}

// Text tells a difference.
func (d *Difference) Text(words transcript.Words) string {
	var b strings.Builder
	fmt.Fprintf(&b, "height %d, event %d of run %d: %s\n", d.Height, d.Seq, d.Run, words.Event(d.Event))
	list := func(what string, actions []*ordov1.Action) {
		fmt.Fprintf(&b, "  %s:", what)
		if len(actions) == 0 {
			b.WriteString(" nothing")
		}
		b.WriteByte('\n')
		for _, a := range actions {
			fmt.Fprintf(&b, "    -> %s\n", words.Action(a))
		}
	}
	list("recorded", d.Recorded)
	if d.Failed != nil {
		fmt.Fprintf(&b, "  now: %v\n", d.Failed)
	} else {
		list("now", d.Got)
	}
	return b.String()
}
