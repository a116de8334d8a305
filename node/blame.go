package node

import (
	"errors"
	"slices"

	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/network"
)

// judges says whether a peer is to blame for an invalid transaction. What an account rejects is judged on the state of this node: while the
// chain is ahead of it, the account or its key may be in a block that it lacks. A peer alone cannot say that the chain is ahead: two must.
func (m *mesh) judges(err error) bool {
	if rejected := (*gateway.Rejection)(nil); !errors.As(err, &rejected) {
		return true // no state makes it valid
	}
	return !m.lacks()
}

// lacks says whether peers have decided a block that this node does not have.
func (m *mesh) lacks() bool { return ahead(m.list(), m.driver.Chain().Next().GetNumber()) }

// ahead says whether peers have decided a height: two of them, or the only one that is linked.
func ahead(peers []network.PeerInfo, height uint64) bool {
	linked, have := 0, 0
	for _, p := range peers {
		if len(p.Links) == 0 {
			continue
		}
		linked++
		if slices.ContainsFunc(p.Links, func(l network.LinkInfo) bool { return l.Height != nil && *l.Height >= height }) {
			have++
		}
	}
	return have > 0 && have >= min(2, linked)
}
