package localnet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/cmd/ordo/localnet/faults"
	"github.com/ordo-sequencer/ordo/core/network/disturb"
	"github.com/ordo-sequencer/ordo/core/network/identity"
)

// faultsPath is the file of what a node does to its messages of consensus; the node reads it again when it changes.
func faultsPath(dir string, node int) string { return filepath.Join(folderOf(dir, node), "faults") }

// hosted says whether the consensus is a hosted protocol, whose messages go from node to node.
func (l *Layout) hosted() bool { return l.Takes == Takes{} }

// flags are settings of a node that its file does not have, for they are of this localnet alone.
func (l *Layout) flags(dir string, node int, record bool) (list []string) {
	if l.hosted() && l.Members[node].Kind != Follower {
		list = append(list, "--network-message-faults", faultsPath(dir, node))
		if record {
			list = append(list, "--consensus-record", recordPath(dir, node))
		}
	}
	return list
}

// voters are the nodes that send messages of consensus.
func (l *Layout) voters() (list []int) {
	for k, m := range l.Members {
		if m.Kind != Follower {
			list = append(list, k)
		}
	}
	return list
}

// writeFaults writes the file of a node.
func (l *Layout) writeFaults(dir string, node int, rules []faults.Message) error {
	keys := make([]identity.ID, len(l.Members))
	for k, m := range l.Members {
		keys[k] = m.Key
	}
	return replace(faultsPath(dir, node), faults.PlanOf(rules, node, keys, l.voters()).Write())
}

// Fault adds a rule about messages of consensus; nil ends all rules.
func (n *Localnet) Fault(rule *faults.Message) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.layout.hosted() {
		return fmt.Errorf("fault: %s has a network of its own, and its messages do not go through the nodes: ordo localnet partition cuts its connections, ordo localnet delay slows them down", n.layout.Consensus)
	}
	var next []faults.Message
	if rule != nil {
		nodes := n.layout.voters()
		if len(nodes) < 2 {
			return errors.New("fault: one validator sends no messages of consensus: make a network with more of them")
		}
		if err := rule.Check(nodes); err != nil {
			return fmt.Errorf("fault: %w", err)
		}
		if next = append(slices.Clone(n.messages), *rule); len(next) > faults.MaxMessages {
			return fmt.Errorf("fault: there are %d rules already: ordo localnet fault --clear ends them", faults.MaxMessages)
		}
	}
	n.messages = next
	return n.writeMessages()
}

// writeMessages writes the rules for all nodes. The lock is held.
func (n *Localnet) writeMessages() error {
	if !n.layout.hosted() {
		return nil
	}
	for _, k := range n.layout.voters() {
		if err := n.layout.writeFaults(n.dir, k, n.messages); err != nil {
			return err
		}
	}
	return nil
}

// faultText tells all faults in one line. The lock is held.
func (n *Localnet) faultText() string {
	all := []string{}
	if text := n.plan.String(); text != "" {
		all = append(all, text)
	}
	for _, m := range n.messages {
		all = append(all, m.String())
	}
	return strings.Join(all, "; ")
}

// faultCommand is ordo localnet fault.
func (o *options) faultCommand(ask func(context.Context, Request) error) *cobra.Command {
	var rule faults.Message
	var delay, between, regions string
	var clear bool
	cmd := &cobra.Command{
		Use:   "fault",
		Short: "Lose, delay, repeat, reorder and change messages of a hosted protocol",
		Long: `Lose, delay, repeat, reorder and change the messages of a hosted protocol between the nodes. Each call adds a rule, --clear ends all.
The k-th message from one node to another meets the same in each run with the same rules: --seed chooses another fate.
An engine such as comet has a network of its own: see partition and delay.`,
		Example: `  ordo localnet fault --drop 0.1 --delay 50ms..200ms --duplicate 0.05 --reorder --corrupt 0.01 --seed 7 --between 1,2
  ordo localnet fault --regions us-east,eu-west,ap-northeast
  ordo localnet fault --clear`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if clear {
				if cmd.Flags().NFlag() > 1+persistent(cmd) {
					return errors.New("localnet fault --clear ends all rules: it takes no other flag")
				}
				return ask(cmd.Context(), Request{Command: "fault"})
			}
			if delay != "" {
				if rule.Delay, err = faults.ParseSpan(delay); err != nil {
					return fmt.Errorf("localnet fault --delay %w", err)
				}
			}
			if between != "" {
				if rule.Between, err = faults.ParseNodes(between); err != nil {
					return fmt.Errorf("localnet fault --between %w", err)
				}
			}
			if regions != "" {
				if err := rule.SetRegions(regions); err != nil {
					return fmt.Errorf("localnet fault --regions %w", err)
				}
			}
			return ask(cmd.Context(), Request{Command: "fault", Message: &rule})
		},
	}
	f := cmd.Flags()
	f.Float64Var(&rule.Drop, "drop", 0, "part of the messages that are lost, from 0 to 1")
	f.StringVar(&delay, "delay", "", "how much later a message comes: DURATION, or LOW..HIGH drawn for each; at most "+disturb.MaxDelay.String())
	f.Float64Var(&rule.Duplicate, "duplicate", 0, "part of the messages that come twice")
	f.BoolVar(&rule.Reorder, "reorder", false, "messages need not keep their order (without --delay: they come up to 50ms later)")
	f.Float64Var(&rule.Corrupt, "corrupt", 0, "part of the messages of which one bit is changed")
	f.StringVar(&regions, "regions", "", "delays by region of sender and receiver: names such as us-east,eu-west, or a file with a table of one-way times")
	f.StringVar(&between, "between", "", "nodes whose messages to each other are meant, such as 1,2; one alone: from and to it (default all)")
	f.Uint64Var(&rule.Seed, "seed", 1, "of the random numbers")
	f.BoolVar(&clear, "clear", false, "end all rules")
	f.SortFlags = false
	return cmd
}

// persistent counts the flags that were given and are of every command.
func persistent(cmd *cobra.Command) (n int) {
	for _, name := range []string{"dir", "json"} {
		if cmd.Flags().Changed(name) {
			n++
		}
	}
	return n
}
