package localnet

import (
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/cmd/ordo/localnet/faults"
	"github.com/ordo-sequencer/ordo/core/network/disturb"
)

// TestFaultsOfAnEngine: an engine's messages do not go through the nodes, and the error says which commands work.
func TestFaultsOfAnEngine(t *testing.T) {
	rule := &faults.Message{Rule: disturb.Rule{Drop: 0.5}}
	l := &Layout{Consensus: "comet", Takes: Takes{Listen: true, Peers: true}, Members: []Member{{Kind: Validator}, {Kind: Validator}}}
	n := newLocalnet(t.TempDir(), "", l, nil)
	if err := n.Fault(rule); err == nil || !strings.Contains(err.Error(), "partition") || !strings.Contains(err.Error(), "delay") {
		t.Error(err)
	}
	if flags := l.flags(n.dir, 0, true); len(flags) > 0 {
		t.Errorf("flags of an engine's node: %v", flags)
	}
	l.Takes = Takes{}
	l.Members = l.Members[:1]
	if err := n.Fault(rule); err == nil || !strings.Contains(err.Error(), "one validator") {
		t.Error(err)
	}
}
