package host

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// logLines turns what a plugin writes to stderr into log entries: hclog's JSON with its level and fields, everything else as
// text. It never fails: whatever cannot be understood is logged as it came.
type logLines struct {
	trace bool // a stack trace runs: the plugin is about to end, and each line of it matters
}

func (l *logLines) log(to hclog.Logger, line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	if level, message, fields, ok := decodeEntry(line); ok {
		l.trace = false
		to.Log(level, printable(message), fields...)
		return
	}
	line = printable(line)
	if startsTrace(line) {
		l.trace = true
	}
	to.Log(l.level(line), line)
}

func (l *logLines) level(line string) hclog.Level {
	if l.trace {
		return hclog.Error
	}
	if open, rest := strings.CutPrefix(line, "["); rest {
		if name, _, ok := strings.Cut(open, "]"); ok {
			if level := hclog.LevelFromString(name); level != hclog.NoLevel && level != hclog.Off {
				return level
			}
		}
	}
	return hclog.Info
}

// printable keeps a plugin from writing to the operator's terminal: no escape sequence, and no line that looks like one of
// another part.
func printable(text string) string {
	harmless := func(r rune) bool { return r == '\t' || r >= ' ' && r != 0x7f && !(r >= 0x80 && r < 0xa0) }
	if !strings.ContainsFunc(text, func(r rune) bool { return !harmless(r) }) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		switch {
		case harmless(r):
			out.WriteRune(r)
		case r == '\n':
			out.WriteString("\\n")
		default:
			fmt.Fprintf(&out, "\\x%02x", r)
		}
	}
	return out.String()
}

func startsTrace(line string) bool {
	for _, prefix := range []string{"panic: ", "fatal error: ", "Traceback (most recent call last)", "SIGSEGV", "SIGABRT"} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return strings.HasPrefix(line, "thread '") && strings.Contains(line, "panicked at")
}

// decodeEntry reads one line of hclog's JSON. Fields of a wrong type are shown as they are rather than refused.
func decodeEntry(line string) (level hclog.Level, message string, fields []any, ok bool) {
	if !strings.HasPrefix(line, "{") {
		return 0, "", nil, false
	}
	var raw map[string]any
	if err := json.Unmarshal([]byte(line), &raw); err != nil {
		return 0, "", nil, false
	}
	at, ok := raw["@message"]
	if !ok {
		return 0, "", nil, false // some other JSON: show it whole
	}
	message = fmt.Sprint(at)
	level = hclog.Info
	if name, isText := raw["@level"].(string); isText {
		if found := hclog.LevelFromString(name); found != hclog.NoLevel && found != hclog.Off {
			level = found
		}
	}
	keys := make([]string, 0, len(raw))
	for key := range raw {
		// The host's own timestamp is the one that is comparable between plugins; the name is in our logger already.
		switch key {
		case "@message", "@level", "@timestamp", "@module":
		default:
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	for _, key := range keys {
		value := raw[key]
		switch known := value.(type) {
		case string:
			value = printable(known)
		case float64: // a whole number is shown as one: 1234567, not 1.234567e+06
			if known == math.Trunc(known) && math.Abs(known) <= 1<<53 {
				value = int64(known)
			}
		}
		fields = append(fields, printable(key), value)
	}
	return level, message, fields, true
}
