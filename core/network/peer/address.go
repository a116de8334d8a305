// Package peer holds what a node knows of a peer, without I/O: its state, the queue of what it is sent, and what it may cost.
package peer

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/ordo-sequencer/ordo/core/network/identity"
)

// Address is a peer that a node knows: ID@HOST:PORT, or ID alone where only the peer dials.
type Address struct {
	ID       identity.ID
	Dial     string // host:port; "": it is not dialed
	Follower bool   // it takes no part in consensus
}

// MaxPeers is the most peers that a node can have.
const MaxPeers = 1000

// ParseAddress reads ID@HOST:PORT or ID, with "follower" behind it for a node that takes no part in consensus.
func ParseAddress(text string) (a Address, err error) {
	words := strings.Fields(text)
	if len(words) == 2 && words[1] == "follower" {
		a.Follower = true
	} else if len(words) != 1 {
		return a, fmt.Errorf("peer %q: want ID@HOST:PORT, or ID of a peer that dials, and after it \"follower\" for a node without a part in consensus", text)
	}
	id, dial, dialed := strings.Cut(words[0], "@")
	if a.ID, err = identity.Parse(id); err != nil {
		return a, fmt.Errorf("peer %q: %w", text, err)
	}
	if dialed {
		host, port, err := net.SplitHostPort(dial)
		if err != nil || host == "" || port == "" {
			return a, fmt.Errorf("peer %q: want HOST:PORT after the @", text)
		}
		a.Dial = dial
	}
	return a, nil
}

// String is the form that ParseAddress reads.
func (a Address) String() string {
	text := a.ID.String()
	if a.Dial != "" {
		text += "@" + a.Dial
	}
	if a.Follower {
		text += " follower"
	}
	return text
}

// ReadAddresses reads a peer file: one peer a line, # begins a comment. Errors name the line.
func ReadAddresses(r io.Reader) (list []Address, err error) {
	lines := bufio.NewScanner(r)
	seen := make(map[identity.ID]int)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		a, err := ParseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if first, twice := seen[a.ID]; twice {
			return nil, fmt.Errorf("line %d: the peer %s is in line %d already", n, a.ID, first)
		}
		seen[a.ID] = n
		if list = append(list, a); len(list) > MaxPeers {
			return nil, fmt.Errorf("line %d: more than %d peers", n, MaxPeers)
		}
	}
	return list, lines.Err()
}
