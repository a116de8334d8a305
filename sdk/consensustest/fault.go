package consensustest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind says what goes wrong.
type Kind string

// Kinds of faults. Those of the network hit what Nodes send to Peers; an empty list is all.
const (
	Drop      Kind = "drop"      // messages are lost, with Rate
	Repeat    Kind = "repeat"    // messages come twice, with Rate, the second one later by up to Amount
	Stale     Kind = "stale"     // an old message of the same sender comes again beside a message, with Rate
	Corrupt   Kind = "corrupt"   // a byte of a message is changed, with Rate
	Delay     Kind = "delay"     // messages take longer by Amount
	Jitter    Kind = "jitter"    // messages take longer by up to Amount, in their order
	Reorder   Kind = "reorder"   // messages overtake others, with Rate, by up to Amount
	Cut       Kind = "cut"       // nothing goes from Nodes to Peers: one way
	Partition Kind = "partition" // nothing goes between Nodes and all other nodes, both ways
	Bandwidth Kind = "bandwidth" // Nodes send at most Bytes a second each

	Pause    Kind = "pause"    // Nodes stand still, then go on with all that has come
	Skew     Kind = "skew"     // the clock of Nodes is Amount ahead (behind: negative)
	Crash    Kind = "crash"    // Nodes end with all that is not durable, and start again at To; To 0: never
	Restart  Kind = "restart"  // the plugin of Nodes ends, the core goes on with a new instance
	SlowDisk Kind = "slowdisk" // each write of Nodes takes Amount
	SlowRun  Kind = "slowrun"  // Nodes build and validate for Amount longer
	Refuse   Kind = "refuse"   // Nodes get no signatures, as if each were the second of its kind and round
	Late     Kind = "late"     // answers of the plugin of Nodes take effect after Amount

	// Those of nodes that lie; they count as faulty, unless Hidden.

	Twin     Kind = "twin"     // each of Nodes has a second node with the same key, from the beginning
	Diverge  Kind = "diverge"  // the execution of Nodes comes to other values than that of the others, from the beginning
	Invalid  Kind = "invalid"  // Nodes build bodies that execution rejects
	Withhold Kind = "withhold" // Nodes do not give the bodies that they built to others
)

// Fault is something that goes wrong from one time to another.
type Fault struct {
	Kind     Kind
	From, To time.Duration // To 0: to the end
	Nodes    []int         // numbers of nodes; a twin of node i of N has the number N+k, k-th of all twins
	Peers    []int         // receivers, of kinds that are about links
	Rate     float64
	Amount   time.Duration
	Bytes    int
	Event    int  // of Crash and Restart: not at From, but when each of Nodes has answered so many events; a crash lasts for To-From
	Hidden   bool // of a node that lies: checkers take it for honest
}

// lies says whether a fault makes its nodes faulty in the eyes of the checkers.
func (k Kind) lies() bool { return k == Twin || k == Diverge || k == Invalid || k == Withhold }

func (f Fault) active(now time.Duration) bool { return now >= f.From && (f.To == 0 || now < f.To) }

func (f Fault) hits(node int) bool { return len(f.Nodes) == 0 || slices.Contains(f.Nodes, node) }

// on says whether a fault is about what goes from a node to another.
func (f Fault) on(from, to int) bool {
	if f.Kind == Partition {
		return slices.Contains(f.Nodes, from) != slices.Contains(f.Nodes, to)
	}
	return f.hits(from) && (len(f.Peers) == 0 || slices.Contains(f.Peers, to))
}

// String is the fault in one line, which ParseFault reads.
func (f Fault) String() string {
	b := string(f.Kind)
	add := func(key, value string) { b += " " + key + "=" + value }
	if f.From != 0 {
		add("from", f.From.String())
	}
	if f.To != 0 {
		add("to", f.To.String())
	}
	if len(f.Nodes) > 0 {
		add("nodes", numbers(f.Nodes))
	}
	if len(f.Peers) > 0 {
		add("peers", numbers(f.Peers))
	}
	if f.Rate != 0 {
		add("rate", strconv.FormatFloat(f.Rate, 'g', -1, 64))
	}
	if f.Amount != 0 {
		add("amount", f.Amount.String())
	}
	if f.Bytes != 0 {
		add("bytes", strconv.Itoa(f.Bytes))
	}
	if f.Event != 0 {
		add("event", strconv.Itoa(f.Event))
	}
	if f.Hidden {
		b += " hidden"
	}
	return b
}

func numbers(list []int) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ",")
}

// ParseFault reads what String wrote: `drop from=100ms to=1s nodes=0,1 rate=0.2`.
func ParseFault(line string) (Fault, error) {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return Fault{}, fmt.Errorf("fault: an empty line")
	}
	f := Fault{Kind: Kind(fields[0])}
	if !slices.Contains(kinds, f.Kind) {
		return Fault{}, fmt.Errorf("fault %q: no such kind: want one of %v", line, kinds)
	}
	for _, field := range fields[1:] {
		key, value, _ := strings.Cut(field, "=")
		var err error
		switch key {
		case "from":
			f.From, err = time.ParseDuration(value)
		case "to":
			f.To, err = time.ParseDuration(value)
		case "amount":
			f.Amount, err = time.ParseDuration(value)
		case "nodes":
			f.Nodes, err = parseNumbers(value)
		case "peers":
			f.Peers, err = parseNumbers(value)
		case "rate":
			f.Rate, err = strconv.ParseFloat(value, 64)
		case "bytes":
			f.Bytes, err = strconv.Atoi(value)
		case "event":
			f.Event, err = strconv.Atoi(value)
		case "hidden":
			f.Hidden = true
		default:
			err = fmt.Errorf("no such key")
		}
		if err != nil {
			return Fault{}, fmt.Errorf("fault %q: %s: %w", line, key, err)
		}
	}
	return f, nil
}

var kinds = []Kind{Drop, Repeat, Stale, Corrupt, Delay, Jitter, Reorder, Cut, Partition, Bandwidth, Pause, Skew, Crash, Restart, SlowDisk,
	SlowRun, Refuse, Late, Twin, Diverge, Invalid, Withhold}

func parseNumbers(text string) (list []int, err error) {
	for _, word := range strings.Split(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}
