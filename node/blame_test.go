package node

import (
	"testing"

	"github.com/ordo-sequencer/ordo/core/network"
)

// TestOnePeerDoesNotMakeTheOthersLate: the head that a peer announces may be a lie, so one peer of several does not excuse what it sends.
func TestOnePeerDoesNotMakeTheOthersLate(t *testing.T) {
	peer := func(heads ...uint64) (p network.PeerInfo) {
		for _, h := range heads {
			l := network.LinkInfo{}
			if h > 0 {
				l.Height = &h
			}
			p.Links = append(p.Links, l)
		}
		return p
	}
	for name, c := range map[string]struct {
		peers []network.PeerInfo
		want  bool
	}{
		"no peers":                         {nil, false},
		"a peer without a link":            {[]network.PeerInfo{peer()}, false},
		"the only peer":                    {[]network.PeerInfo{peer(), peer(10)}, true},
		"the only peer, which has no more": {[]network.PeerInfo{peer(9)}, false},
		"a peer without a head":            {[]network.PeerInfo{peer(0)}, false},
		"one of three":                     {[]network.PeerInfo{peer(1 << 60), peer(9), peer(9)}, false},
		"one of three, by twins":           {[]network.PeerInfo{peer(1<<60, 1<<60), peer(9), peer(9)}, false},
		"two of three":                     {[]network.PeerInfo{peer(12), peer(10), peer(9)}, true},
	} {
		if got := ahead(c.peers, 10); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
