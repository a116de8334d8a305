package localnet

import (
	"path/filepath"
	"testing"

	"github.com/ordo-sequencer/ordo/test/need"
)

// TestLazyLocalnet: orders are decided, and executed then, also after a kill and by a follower; all nodes have the same chain.
func TestLazyLocalnet(t *testing.T) {
	t.Parallel()
	need.Binaries(t, "plugins/ordo-consensus-comet")
	n := launch(t, filepath.Join(t.TempDir(), "net"), "--validators", "4", "--consensus", "comet", "--execution", "lazy", "--base-port", "0")
	nodes := n.nodes(t)
	var info struct {
		Execution string `json:"execution"`
	}
	if err := nodes[2].Call(within(t, patient), "ordo_network", []any{}, &info); err != nil || info.Execution != "lazy" {
		t.Errorf("execution is %q: %v", info.Execution, err)
	}
	s := newSenders(4, chainID)
	s.round(t, nodes)
	n.do(t, "kill", "3")
	s.round(t, nodes[:3])
	n.do(t, "restart", "3")
	n.do(t, "add", "--follow", "peers")
	s.round(t, nodes[:3])
	head := same(t, nodes[1], nodes[0])
	for _, late := range n.nodes(t)[3:] {
		reaches(t, late, head)
		same(t, late, nodes[0])
	}
}
