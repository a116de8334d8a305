package sdk

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Log collects the lines that a protocol writes while it answers an event. A protocol embeds it and stays pure: what runs the
// protocol takes the lines after Step. ServeProtocol writes them to the log of the plugin, with the height and the place of this node among the
// validators; consensustest puts them into the transcript.
//
//	type mine struct {
//		sdk.Log
//		...
//	}
//
//	p.Info("round begins", "round", p.round)
type Log struct {
	lines   []LogLine
	dropped int
}

// LogLine is one line: a level, a text, and pairs of names and values.
type LogLine struct {
	Level hclog.Level
	Text  string
	Args  []any
}

// maxLines is the most lines of one event.
const maxLines = 32

// Debug, Info, Warn and Error write a line with pairs of names and values.
func (l *Log) Debug(text string, args ...any) { l.add(hclog.Debug, text, args) }

// Info writes a line that an operator wants to see.
func (l *Log) Info(text string, args ...any) { l.add(hclog.Info, text, args) }

// Warn writes a line about something that the operator should look at.
func (l *Log) Warn(text string, args ...any) { l.add(hclog.Warn, text, args) }

// Error writes a line about something that the operator has to mend.
func (l *Log) Error(text string, args ...any) { l.add(hclog.Error, text, args) }

func (l *Log) add(level hclog.Level, text string, args []any) {
	if len(l.lines) >= maxLines {
		l.dropped++
		return
	}
	l.lines = append(l.lines, LogLine{level, text, args})
}

// Lines takes the lines that were written since the last call. Of more than 32 the rest is counted.
func (l *Log) Lines() []LogLine {
	lines := l.lines
	if l.dropped > 0 {
		lines = append(lines, LogLine{hclog.Warn, "more lines in one event than are kept", []any{"dropped", l.dropped}})
	}
	l.lines, l.dropped = nil, 0
	return lines
}

// Logging is a protocol that writes lines: one that embeds Log.
type Logging interface {
	Lines() []LogLine
}

// String is the line as transcripts show it: `warn: text name=value`.
func (l LogLine) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", l.Level, l.Text)
	for i := 0; i+1 < len(l.Args); i += 2 {
		fmt.Fprintf(&b, " %v=%v", l.Args[i], l.Args[i+1])
	}
	return b.String()
}

// lineWriter writes the lines of one Run stream to the log of the plugin.
type lineWriter struct {
	log       hclog.Logger
	height    uint64
	validator string // place among the validators; "none" of a node that is not among them
}

// before looks at an event that is given to the protocol.
func (w *lineWriter) before(event *ordov1.ConsensusEvent) {
	switch start := event.GetStart(); {
	case start != nil:
		w.height, w.validator = start.GetHeight(), "none"
		for i, v := range start.GetValidators() {
			if bytes.Equal(v.GetKey(), start.GetSelf()) {
				w.validator = strconv.Itoa(i)
			}
		}
	case event.GetDecided() != nil:
		w.height = event.GetDecided().GetHeight() + 1
	}
}

// after writes what the protocol wrote.
func (w *lineWriter) after(lines []LogLine) {
	for _, l := range lines {
		w.log.Log(l.Level, l.Text, append([]any{"height", w.height, "validator", w.validator}, l.Args...)...)
	}
}
