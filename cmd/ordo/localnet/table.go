package localnet

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Table writes a status for people: a line for the network and one for each node.
func (s *Status) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "height %d", s.Height)
	if s.Faults != "" {
		fmt.Fprintf(&b, ", faults: %s", s.Faults)
	}
	b.WriteByte('\n')
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tKIND\tSTATE\tHEIGHT\tROUND\tPROPOSER\tACCEPTED\tLAG\tPOOL\tPEERS\tCPU\tLOAD\tMEMORY\tRESTARTS\tURL")
	for _, n := range s.Nodes {
		kind, state, proposer := string(n.Kind), string(n.State), n.proposer()
		if n.Of != nil {
			kind = fmt.Sprintf("twin of %d", *n.Of)
		}
		if n.State == Up && !n.Answers {
			state = "silent"
		}
		restarts := fmt.Sprint(n.Restarts)
		if n.PluginRestarts > 0 {
			restarts += fmt.Sprintf(" +%d plugins", n.PluginRestarts)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%d\t%s\t%d\t%d\t%d\t%d\t%s\t%.0f%%\t%d MB\t%s\t%s\n", n.Node, kind, state, n.Height, n.Round, proposer, n.Accepted, n.Lag, n.Pool, n.Peers,
			(time.Duration(n.Processor*10) * time.Second / 10).String(), 100*n.Load, n.Memory>>20, restarts, n.URL)
	}
	_ = w.Flush()
	for _, n := range s.Nodes {
		if n.State == Failed {
			fmt.Fprintf(&b, "node %d: %s\n", n.Node, n.Why)
		}
	}
	return b.String()
}

// Lines writes a status in one line a node, for a log.
func (s *Status) Lines() string {
	var b strings.Builder
	for _, n := range s.Nodes {
		fmt.Fprintf(&b, "%s node %d %s height=%d round=%d proposer=%s accepted=%d lag=%d pool=%d peers=%d cpu=%.1fs\n", s.Time.Format(time.TimeOnly), n.Node, n.State,
			n.Height, n.Round, n.proposer(), n.Accepted, n.Lag, n.Pool, n.Peers, n.Processor)
	}
	return b.String()
}

// proposer is the node that proposed the newest decided block.
func (n *NodeStatus) proposer() string {
	if n.Proposer == nil {
		return "-"
	}
	return fmt.Sprint(*n.Proposer)
}

// Text writes a change of a node's state in one line, and why below.
func (e Event) Text() string {
	text := fmt.Sprintf("%s node %d is %s", e.Time.Format(time.TimeOnly), e.Node, e.State)
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text + "\n"
}
