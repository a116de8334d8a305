package faults

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/disturb"
	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/sdk/regions"
)

// Message is one rule about messages of a hosted protocol, in numbers of nodes.
type Message struct {
	disturb.Rule
	Between []int             `json:"between,omitempty"` // nodes; of one: its messages in both directions; empty: all
	Regions []string          `json:"regions,omitempty"` // node k is in region k modulo their number
	Matrix  [][]time.Duration `json:"matrix,omitempty"`  // [from][to], one way; node k has row and column k modulo their number
}

// MaxMessages is how many rules there may be.
const MaxMessages = 16

// ParseSpan reads a duration, or two: 50ms..200ms.
func ParseSpan(text string) (s disturb.Span, err error) {
	low, high, two := strings.Cut(text, "..")
	if s.Low, err = time.ParseDuration(low); err == nil {
		s.High = s.Low
		if two {
			s.High, err = time.ParseDuration(high)
		}
	}
	if err != nil {
		return s, fmt.Errorf("%q: write a duration, or two: 50ms..200ms", text)
	}
	return s, nil
}

// ParseNodes reads numbers of nodes: 1,2.
func ParseNodes(text string) (nodes []int, err error) {
	for _, word := range strings.Split(text, ",") {
		k, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || k < 0 || k >= MaxNodes {
			return nil, fmt.Errorf("%q: write numbers of nodes, such as 1,2", text)
		}
		nodes = append(nodes, k)
	}
	return nodes, nil
}

// SetRegions takes names of regions, or a file: a line for each sender, with the one-way times to each receiver, such as "0ms 40ms".
func (m *Message) SetRegions(text string) error {
	known := regions.Names()
	var names []string
	for _, word := range strings.Split(text, ",") {
		names = append(names, strings.TrimSpace(word))
	}
	if !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(known, name) }) {
		m.Regions = names
		return nil
	}
	raw, err := os.ReadFile(text)
	if err != nil {
		return fmt.Errorf("%q is no list of regions (%s), and cannot be read as a file: %w", text, strings.Join(known, ", "), err)
	}
	for n, line := range strings.Split(string(raw), "\n") {
		line, _, _ = strings.Cut(line, "#")
		var row []time.Duration
		for _, word := range strings.Fields(line) {
			d, err := time.ParseDuration(word)
			if err != nil || d < 0 || d > disturb.MaxDelay {
				return fmt.Errorf("%s: line %d: %q: write durations from 0s to %v", text, n+1, word, disturb.MaxDelay)
			}
			row = append(row, d)
		}
		if len(row) > 0 {
			m.Matrix = append(m.Matrix, row)
		}
	}
	if len(m.Matrix) == 0 || len(m.Matrix) > MaxNodes || slices.ContainsFunc(m.Matrix, func(row []time.Duration) bool { return len(row) != len(m.Matrix) }) {
		return fmt.Errorf("%s: write a table with as many columns as rows, 1 to %d", text, MaxNodes)
	}
	return nil
}

// Check says what is wrong with a rule in a network whose validators and twins are these nodes.
func (m *Message) Check(nodes []int) error {
	if err := m.Rule.Check(); err != nil {
		return err
	}
	for _, k := range m.Between {
		if !slices.Contains(nodes, k) {
			return fmt.Errorf("between %d: node %d sends no messages of consensus: choose among %v", k, k, nodes)
		}
	}
	if m.String() == "" {
		return errors.New("name a fault: --drop, --delay, --duplicate, --reorder, --corrupt or --regions; --clear ends all")
	}
	return nil
}

// concerns says whether a rule is about what a node sends another.
func (m *Message) concerns(from, to int) bool {
	is := func(k int) bool { return slices.Contains(m.Between, k) }
	switch len(m.Between) {
	case 0:
		return true
	case 1:
		return is(from) || is(to)
	}
	return is(from) && is(to)
}

// way is how much longer a message takes by the regions of two nodes.
func (m *Message) way(from, to int) time.Duration {
	if n := len(m.Matrix); n > 0 {
		return m.Matrix[from%n][to%n]
	}
	if n := len(m.Regions); n > 0 {
		return regions.RoundTrip(m.Regions[from%n], m.Regions[to%n]) / 2
	}
	return 0
}

// PlanOf is what a node does to what it sends. keys are those of the nodes; two of one key are twins, whose messages go the same way.
func PlanOf(rules []Message, from int, keys []identity.ID, nodes []int) (p disturb.Plan) {
	for _, m := range rules {
		byWay := map[time.Duration][]identity.ID{}
		var ways []time.Duration
		for _, to := range nodes {
			if keys[to] == keys[from] || !m.concerns(from, to) {
				continue
			}
			way := m.way(from, to)
			if byWay[way] == nil {
				ways = append(ways, way)
			}
			byWay[way] = append(byWay[way], keys[to])
		}
		for _, way := range ways {
			r := m.Rule
			r.To = byWay[way]
			r.Delay.Low, r.Delay.High = min(r.Delay.Low+way, disturb.MaxDelay), min(r.Delay.High+way, disturb.MaxDelay)
			p.Rules = append(p.Rules, r)
		}
	}
	return p
}

// String tells a rule in one line; "" when it does nothing.
func (m *Message) String() string {
	var all []string
	rate := func(name string, part float64) {
		if part > 0 {
			all = append(all, name+" "+strconv.FormatFloat(part, 'g', -1, 64))
		}
	}
	rate("drop", m.Drop)
	rate("duplicate", m.Duplicate)
	rate("corrupt", m.Corrupt)
	switch d := m.Delay; {
	case d.High > d.Low:
		all = append(all, fmt.Sprintf("delay %v..%v", d.Low, d.High))
	case d.High > 0:
		all = append(all, fmt.Sprintf("delay %v", d.High))
	}
	if m.Reorder {
		all = append(all, "reorder")
	}
	if len(m.Regions) > 0 {
		all = append(all, "delays of "+strings.Join(m.Regions, ","))
	}
	if len(m.Matrix) > 0 {
		all = append(all, fmt.Sprintf("delays of a table of %d", len(m.Matrix)))
	}
	if len(all) == 0 {
		return ""
	}
	if len(m.Between) > 0 {
		words := make([]string, len(m.Between))
		for i, k := range m.Between {
			words[i] = strconv.Itoa(k)
		}
		all = append(all, "between "+strings.Join(words, ","))
	}
	return fmt.Sprintf("messages: %s (seed %d)", strings.Join(all, ", "), m.Seed)
}
