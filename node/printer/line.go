package printer

import (
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// line is a line to be made.
type line struct {
	at           time.Time
	kind         kind
	height       uint64
	tx           facts // ofTransaction
	transactions int   // ofBlock, ofReset; lines of ofLoss
	unshown      tally // ofUnshown
	timestamp    uint64
	root, hash   chainview.Key
	degraded     bool
}

// kind is what a line tells of.
type kind int

const (
	ofTransaction kind = iota
	ofUnshown
	ofReset
	ofBlock
	ofLoss
)

// noBlock is the height of a transaction that is in none.
const noBlock = ^uint64(0)

// colour is the number of an ANSI colour.
type colour string

const (
	red     colour = "31"
	green   colour = "32"
	yellow  colour = "33"
	magenta colour = "35"
	cyan    colour = "36"
	faint   colour = "2"
)

// paint says whether there are colours.
type paint bool

// put appends a text in a colour.
func (p paint) put(out []byte, c colour, text string) []byte {
	if !p {
		return append(out, text...)
	}
	out = append(out, "\x1b["+string(c)+"m"...)
	out = append(out, text...)
	return append(out, "\x1b[0m"...)
}

// append makes the line.
func (l *line) append(out []byte, p paint) []byte {
	out = p.put(out, faint, l.at.Format("15:04:05.000"))
	out = append(out, ' ')
	switch l.kind {
	case ofTransaction:
		out = l.appendTransaction(out, p)
	case ofUnshown:
		out = append(out, "block "+number(l.height)+": "...)
		t := l.unshown
		out = append(out, count(t.succeeded+t.reverted+t.rejected, "more transaction")...)
		out = append(out, ", too many for a line each: "+grouped(uint64(t.succeeded))+" succeeded, "+grouped(uint64(t.reverted))+" reverted, "+grouped(uint64(t.rejected))+" rejected"...)
	case ofReset:
		out = p.put(out, yellow, "block "+number(l.height)+": the last "+grouped(uint64(l.transactions))+" of the transactions above wait again")
	case ofBlock:
		out = l.appendBlock(out, p)
	case ofLoss:
		out = p.put(out, yellow, count(l.transactions, "line")+" dropped: there was too much to tell")
	}
	return append(out, '\n')
}

func (l *line) appendTransaction(out []byte, p paint) []byte {
	t := &l.tx
	out = p.put(out, cyan, strings.TrimPrefix(t.kind.String(), "TRANSACTION_TYPE_"))
	out = append(out, ' ')
	out = appendFelt(out, t.hash)
	if t.sender != (chainview.Key{}) {
		out = append(out, " from "...)
		out = appendFelt(out, t.sender)
	}
	out = append(out, ' ')
	switch t.status {
	case "SUCCEEDED":
		out = p.put(out, green, t.status)
	case "REVERTED":
		out = p.put(out, red, t.status)
	default:
		out = p.put(out, yellow, t.status)
	}
	if t.class != (chainview.Key{}) {
		out = append(out, " class "...)
		out = appendFelt(out, t.class)
	}
	if l.height != noBlock {
		out = append(out, " block "+number(l.height)...)
		out = append(out, " fee "+strk(t.fee)+" STRK"...)
		for _, gas := range []struct {
			name string
			used uint64
		}{{"l1_gas", t.l1Gas}, {"l1_data_gas", t.l1Data}, {"l2_gas", t.l2Gas}} {
			if gas.used > 0 {
				out = append(out, " "+gas.name+" "+grouped(gas.used)...)
			}
		}
	}
	if t.reason != "" {
		out = append(out, ": "...)
		out = p.put(out, red, printable(t.reason))
	}
	return out
}

func (l *line) appendBlock(out []byte, p paint) []byte {
	out = p.put(out, magenta, "block "+number(l.height))
	out = append(out, ' ')
	out = p.put(out, green, "ACCEPTED_ON_L2")
	out = append(out, ' ')
	out = append(out, count(l.transactions, "transaction")...)
	out = append(out, " time "...)
	out = append(out, blockTime(l.timestamp)...)
	out = append(out, " root "...)
	out = appendFelt(out, l.root)
	out = append(out, " hash "...)
	out = appendFelt(out, l.hash)
	if l.degraded {
		out = append(out, ' ')
		out = p.put(out, yellow, "degraded: ordered by arrival")
	}
	return out
}

// lastTime is the last second that has a date of four digits.
const lastTime = 253402300799

func blockTime(seconds uint64) string {
	if seconds > lastTime {
		return number(seconds)
	}
	return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}

// appendFelt appends a felt as the JSON-RPC writes it.
func appendFelt(out []byte, k chainview.Key) []byte {
	f, err := felt.FromBytes(k[:])
	if err != nil {
		return append(out, "0x?"...)
	}
	return append(out, f.Hex()...)
}

// strk is an amount of fri in STRK, exactly.
func strk(fri [16]byte) string {
	const decimals = 18
	digits := new(big.Int).SetBytes(fri[:]).String()
	if len(digits) <= decimals {
		digits = strings.Repeat("0", decimals+1-len(digits)) + digits
	}
	whole, rest := digits[:len(digits)-decimals], strings.TrimRight(digits[len(digits)-decimals:], "0")
	if rest == "" {
		return whole
	}
	return whole + "." + rest
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// grouped writes a number with a comma at each thousand.
func grouped(n uint64) string {
	digits := number(n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return grouped(uint64(n)) + " " + what + "s"
}

// printable makes a text of strangers one line that does nothing to a terminal: white space becomes a space, and what is neither
// letter, digit, mark nor symbol is written as its number.
func printable(text string) string {
	var out strings.Builder
	space := false
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		if unicode.IsSpace(r) {
			space = true
			continue
		}
		if space && out.Len() > 0 {
			out.WriteByte(' ')
		}
		space = false
		if unicode.IsPrint(r) {
			out.WriteRune(r)
		} else {
			out.WriteString(`\u{` + strconv.FormatInt(int64(r), 16) + `}`)
		}
	}
	return out.String()
}
