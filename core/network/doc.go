// Package network links the nodes of a chain: identities, links, gossip, bodies, heads and catch-up.
//
// A link is one TLS 1.3 connection between two ed25519 keys that list each other, with two gRPC streams: control, for consensus
// messages and heads, and bulk, for bodies, transactions and what a node asks another for. docs/spec/network.md is the protocol.
//
// # The port
//
// The core calls the methods of Network; none of them but FetchBody and CatchUp waits for a peer. What arrives is handed to the
// core's Receiver, and what peers ask for is read from its Source.
//
//	New, Start, Close                     a node's part of the mesh
//	Broadcast, Send                       a message of consensus to all validators, to one
//	Announce                              the newest decided block; it is also the heartbeat
//	PublishBody                           a proposal, part by part while it is built
//	KeepBody, FetchBody                   proposals by their value
//	Gossip, GossipTo, GossipAgain         transactions that this node admitted
//	Forget                                a transaction of a peer that may be admitted later
//	CatchUp                               decided blocks of peers, in order, until there are no more
//	Blame                                 the core found that what a peer sent is wrong
//	SetPeers, Reload, Peers, Stats        the peers and their links
//
// Nothing that arrives is trusted: the network checks what it can without the chain (sizes, order, whether something was asked
// for), and the core the rest. What a peer may cost is bounded by Limits; a peer that goes beyond them, or sends what is wrong, loses its link and is
// refused for a while, with a reason in the log and in Peers.
//
// Parts: identity (keys and TLS), wire (messages), and without I/O peer (the states of a peer, its queue, what it may cost)
// and catchup (which peer is asked for which blocks).
package network

import (
	"context"
	"errors"
	"fmt"

	"github.com/ordo-sequencer/ordo/core/network/identity"
)

// ID names a node: its public key.
type ID = identity.ID

// Value is what consensus agrees on: the partial hash of a block.
type Value [32]byte

// Head is the newest decided block of a node.
type Head struct {
	Height uint64
	Value  Value
}

// Block is a decided block as nodes hand it to each other.
type Block struct {
	Height      uint64
	Value       Value
	Body        []byte // what it can be run again from: an ordo.v1.Proposal
	Certificate []byte
}

// BodyPart is a piece of a proposal, in the order in which its proposer sent it.
type BodyPart struct {
	Height uint64
	Round  uint32
	Index  uint32
	Data   []byte
	Last   bool
	Value  Value // with Last; zero: the proposer abandoned it
}

// Body is a whole proposal, and which peer it came from.
type Body struct {
	Data []byte
	From ID
}

// Receiver is what arrives. Its methods are called from goroutines of the links, for each peer and stream in the order of arrival; one that waits
// makes that peer wait, and no other. The bytes belong to the receiver.
type Receiver interface {
	// Message is a consensus message, of a height from the newest decided one to Limits.Ahead above it.
	Message(from ID, height uint64, data []byte)
	// BodyPart is a piece of a proposal. A receiver that wants whole ones only has nothing to do: FetchBody has them.
	BodyPart(from ID, part BodyPart)
	// Transactions tells how many of the batch are invalid: wrong signature, hash or form, which no honest node passes on. One that is known already,
	// too late, or that the pool has no room for is not. Called beside BodyPart, with a bounded number of bytes waiting.
	Transactions(from ID, batch [][]byte) (invalid int)
	// Head says that a peer has a new head. It may be a lie.
	Head(from ID, head Head)
	// Linked says that a link to a peer was made, or has ended. What was sent to the peer before is perhaps lost: transactions that wait are to be given to
	// GossipTo. With twins a peer may have several links.
	Linked(id ID, up bool)
}

// Source is what the questions of peers are answered from.
type Source interface {
	// Block is a decided block with its body and certificate; nil when the node has not got it.
	Block(ctx context.Context, height uint64) (*Block, error)
}

// ErrNoLink means that there is no link to the peer now.
var ErrNoLink = errors.New("no link to this peer")

// ErrNotFound means that no linked peer has what was asked for.
var ErrNotFound = errors.New("no peer has it")

// WrongError is the fault of a peer that the core found in what it sent: CatchUp then asks another.
type WrongError struct{ Cause error }

// Wrong makes an error the fault of the peer that sent the block.
func Wrong(cause error) error { return &WrongError{cause} }

func (e *WrongError) Error() string { return fmt.Sprintf("wrong: %v", e.Cause) }

// Unwrap is the cause.
func (e *WrongError) Unwrap() error { return e.Cause }
