// Package faults says what is wrong with the connections of a network on one machine: which are cut, and how slow the others are.
package faults

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/sdk/regions"
)

// Fault is what happens to bytes on their way from one node to another. The zero value is a connection without a fault.
type Fault struct {
	Cut    bool          // connections are closed, and refused
	Delay  time.Duration // of each byte
	Jitter time.Duration // at most so much more, drawn anew for each piece
	Rate   int64         // bytes a second; 0: no limit
}

// Plan is the state of all connections. The zero value has no fault. It is a value: changes return another one.
type Plan struct {
	group   map[int]int // of a node; nodes that no group names are a group, too
	regions []string    // of node k: k modulo their number
	delay   time.Duration
	jitter  time.Duration
	rate    int64
}

// Largest delay and jitter: beyond them no handshake of a link is done in time.
const maxDelay = 10 * time.Second

// MaxNodes bounds the numbers of nodes.
const MaxNodes = 64

// Between is the fault on the way from a node to another.
func (p Plan) Between(from, to int) Fault {
	f := Fault{Delay: p.delay, Jitter: p.jitter, Rate: p.rate, Cut: p.groupOf(from) != p.groupOf(to)}
	if n := len(p.regions); n > 0 {
		f.Delay += regions.RoundTrip(p.regions[from%n], p.regions[to%n]) / 2
	}
	return f
}

func (p Plan) groupOf(node int) int {
	if g, ok := p.group[node]; ok {
		return g
	}
	return -1
}

// Partition cuts the connections between groups, such as "0,1|2,3". Nodes that it does not name are a group of their own together: "3"
// alone cuts node 3 off.
func (p Plan) Partition(groups string) (Plan, error) {
	named := make(map[int]int)
	for g, text := range strings.Split(groups, "|") {
		for _, word := range strings.Split(text, ",") {
			node, err := strconv.Atoi(strings.TrimSpace(word))
			if err != nil || node < 0 || node >= MaxNodes {
				return p, fmt.Errorf("partition %q: %q is no node: write groups of numbers, such as 0,1|2,3", groups, word)
			}
			if _, twice := named[node]; twice {
				return p, fmt.Errorf("partition %q: node %d is there twice", groups, node)
			}
			named[node] = g
		}
	}
	p.group = named
	return p, nil
}

// Heal ends a partition; delays stay.
func (p Plan) Heal() Plan {
	p.group = nil
	return p
}

// Delayed sets the delays of all connections: one way, or by regions, such as "us-east,eu-west": node k is in region k modulo their number.
// "0" ends all delays.
func (p Plan) Delayed(text string, jitter time.Duration, rate int64) (Plan, error) {
	p.regions, p.delay, p.jitter, p.rate = nil, 0, jitter, rate
	if jitter < 0 || jitter > maxDelay || rate < 0 {
		return p, fmt.Errorf("delay: jitter is from 0 to %s, and a rate is not below 0", maxDelay)
	}
	if text == "0" {
		return p, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		if d < 0 || d > maxDelay {
			return p, fmt.Errorf("delay %s: choose a duration from 0 to %s", text, maxDelay)
		}
		p.delay = d
		return p, nil
	}
	for _, word := range strings.Split(text, ",") {
		region := strings.TrimSpace(word)
		if !slices.Contains(regions.Names(), region) {
			return p, fmt.Errorf("delay %q: choose a duration such as 50ms, 0, or regions among %s", text, strings.Join(regions.Names(), ", "))
		}
		p.regions = append(p.regions, region)
	}
	return p, nil
}

// String tells the faults in one line, for people.
func (p Plan) String() string {
	var all []string
	if len(p.group) > 0 {
		groups := map[int][]string{}
		for node, g := range p.group {
			groups[g] = append(groups[g], strconv.Itoa(node))
		}
		var list []string
		for g := range len(groups) {
			slices.SortFunc(groups[g], func(a, b string) int {
				x, _ := strconv.Atoi(a)
				y, _ := strconv.Atoi(b)
				return x - y
			})
			list = append(list, strings.Join(groups[g], ","))
		}
		all = append(all, "partition "+strings.Join(list, "|"))
	}
	if len(p.regions) > 0 {
		all = append(all, "delays of "+strings.Join(p.regions, ","))
	}
	if p.delay > 0 {
		all = append(all, "delay "+p.delay.String())
	}
	if p.jitter > 0 {
		all = append(all, "jitter "+p.jitter.String())
	}
	if p.rate > 0 {
		all = append(all, fmt.Sprintf("%d bytes/s", p.rate))
	}
	return strings.Join(all, ", ")
}
