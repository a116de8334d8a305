package consensustest

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/transcript"
)

// Transcripts plays the files of a folder against one state machine, without any network. `begin` makes it from a configuration, `play` gives
// it events, one a line, and prints what it answers; `replay` gives the same events to two more and compares what they answer.
//
//	begin
//	{"block_ms":1000}
//	----
//	ok
//
//	play
//	0 start height=1 self=a validators=a,b,c scheme=test chain=C
//	3 message from=b 0x0102
//	----
//	0 start height=1 self=a validators=a,b,c scheme=test chain=C
//	3 message from=b 0x0102
//	  -> set timer=1 after=300
//
// A line is a time in milliseconds, the name of an event, and its fields: start, ready, demand (CreateBlock), timer, built, verdict, message,
// decided, failed, signed, and unknown for one of a later version. Bytes are text, or hexadecimal behind 0x. Rewrite the files with
// `go test ./your/package -rewrite`, and read the difference. The words show the messages of the protocol; nil shows their bytes.
func Transcripts(t *testing.T, dir string, begin func(config []byte) (sdk.Protocol, error), said func(message []byte) string) {
	w := transcript.Words{Key: transcript.Text, Bytes: transcript.Text, Message: said}
	datadriven.Walk(t, dir, func(t *testing.T, path string) {
		var protocol sdk.Protocol
		var log []*ordov1.ConsensusEvent
		config := ""
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "begin":
				config = d.Input
				p, err := begin([]byte(config))
				if err != nil {
					return err.Error() + "\n"
				}
				protocol, log = p, nil
				return "ok\n"
			case "play":
				var out strings.Builder
				for line := range strings.SplitSeq(d.Input, "\n") {
					e, err := ParseEvent(line)
					if err != nil {
						d.Fatalf(t, "%v", err)
					}
					log = append(log, e)
					fmt.Fprintf(&out, "%s\n", line)
					actions := protocol.Step(proto.CloneOf(e))
					if logging, ok := protocol.(sdk.Logging); ok {
						for _, line := range logging.Lines() {
							fmt.Fprintf(&out, "  log %s\n", line)
						}
					}
					for _, a := range actions {
						fmt.Fprintf(&out, "  -> %s\n", w.Action(a))
					}
				}
				return out.String()
			case "replay":
				one, errOne := begin([]byte(config))
				other, errOther := begin([]byte(config))
				if errOne != nil || errOther != nil {
					return fmt.Sprintf("%v, %v\n", errOne, errOther)
				}
				for i, e := range log {
					a, b := &ordov1.Actions{Actions: one.Step(proto.CloneOf(e))}, &ordov1.Actions{Actions: other.Step(proto.CloneOf(e))}
					if !proto.Equal(a, b) {
						return fmt.Sprintf("event %d: %v, then %v\n", i, a, b)
					}
				}
				return fmt.Sprintf("%d events, the same\n", len(log))
			}
			d.Fatalf(t, "no command %q", d.Cmd)
			return ""
		})
	})
}

// ParseEvent reads an event of a transcript: `now name key=value flag`.
func ParseEvent(line string) (*ordov1.ConsensusEvent, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return nil, fmt.Errorf("event %q: want a time and a name", line)
	}
	p := parser{line: line, args: map[string]string{}}
	for _, f := range fields[2:] {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			value = "true"
		}
		p.args[key] = value
	}
	p.args["now"] = fields[0]
	e := p.event(fields[1])
	for key := range p.args {
		if p.err == nil && fields[1] != "message" {
			p.err = fmt.Errorf("event %q: %s has no %s", line, fields[1], key)
		}
	}
	return e, p.err
}

type parser struct {
	line string
	args map[string]string
	err  error
}

func (p *parser) take(key string) string {
	value := p.args[key]
	delete(p.args, key)
	return value
}

func (p *parser) number(key string) uint64 {
	value := p.take(key)
	if value == "" {
		return 0
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("event %q: %s: %w", p.line, key, err)
	}
	return n
}

func (p *parser) flag(key string) bool { return p.take(key) == "true" }

func (p *parser) bytes(key string) []byte { return p.read(p.take(key)) }

func (p *parser) read(word string) []byte {
	digits, ok := strings.CutPrefix(word, "0x")
	if !ok {
		return []byte(word)
	}
	b, err := hex.DecodeString(digits)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("event %q: %s: %w", p.line, word, err)
	}
	return b
}

func (p *parser) list(key string) (list [][]byte) {
	if value := p.take(key); value != "" {
		for word := range strings.SplitSeq(value, ",") {
			list = append(list, p.read(word))
		}
	}
	return list
}

func (p *parser) event(name string) *ordov1.ConsensusEvent {
	now := p.number("now")
	e := &ordov1.ConsensusEvent{}
	switch name {
	case "start":
		e = p.start()
	case "ready":
		pending := p.number("pending")
		e = sdk.Event(&ordov1.ConsensusEvent_Ready{Pending: max(pending, 1)})
	case "demand":
		e = sdk.Event(&ordov1.ConsensusEvent_CreateBlock{})
	case "timer":
		e = sdk.Event(&ordov1.ConsensusEvent_Timer{Id: p.number("id")})
	case "built":
		e = sdk.Event(&ordov1.ConsensusEvent_Built{Attempt: p.number("attempt"), N: p.number("n"), Value: p.bytes("value"), Proposal: p.bytes("proposal")})
	case "verdict":
		e = sdk.Event(&ordov1.ConsensusEvent_Verdict{Attempt: p.number("attempt"), Valid: p.flag("valid"), Missing: p.flag("missing"),
			Value: p.bytes("value"), Reason: p.take("reason")})
	case "message":
		e = sdk.Event(&ordov1.ConsensusEvent_Message{From: p.bytes("from"), Data: p.data()})
	case "decided":
		e = sdk.Event(&ordov1.ConsensusEvent_Decided{Height: p.number("height"), Pending: p.number("pending"), Value: p.bytes("value")})
	case "failed":
		e = sdk.Event(&ordov1.ConsensusEvent_Failed{Attempt: p.number("attempt"), Empty: p.flag("empty")})
	case "signed":
		e = sdk.Event(&ordov1.ConsensusEvent_Signed{Id: p.number("id"), Signature: p.bytes("signature")})
	case "unknown": // of a later minor
	default:
		p.err = fmt.Errorf("event %q: there is no event %s", p.line, name)
	}
	e.NowMs = now
	return e
}

// data is the message itself: the field data, or the one word that is no field.
func (p *parser) data() []byte {
	if data := p.bytes("data"); len(data) > 0 {
		return data
	}
	for word, value := range p.args {
		if value == "true" && len(p.args) == 1 {
			return p.read(word)
		}
	}
	return nil
}

func (p *parser) start() *ordov1.ConsensusEvent {
	start := &ordov1.ConsensusEvent_Start{Height: p.number("height"), Pending: p.number("pending"), Self: p.bytes("self"), Scheme: p.take("scheme"),
		ChainId: p.take("chain"), State: p.bytes("state"), Records: p.list("records"), Config: p.bytes("config")}
	for _, member := range p.list("validators") {
		start.Validators = append(start.Validators, &ordov1.Validator{Key: member, Power: 1, Address: member})
	}
	if value, certificate, ok := strings.Cut(p.take("parent"), ":"); ok || value != "" {
		start.Parent = &ordov1.ConsensusEvent_Parent{Value: p.read(value), Certificate: p.read(certificate)}
	}
	return sdk.Event(start)
}
