package network

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/network/peer"
)

// Options are what a Network is made with.
type Options struct {
	Key      ed25519.PrivateKey
	ChainID  string
	Genesis  [32]byte // the hash of block 0
	Software string   // name and version of the program, for people
	Follower bool     // this node takes no part in consensus
	Lazy     bool     // what is decided is executed: it must be the same on both sides of a link

	Listen   string // host:port; "": no peer can dial this node
	Peers    []peer.Address
	PeerFile string // more of them, one a line; read again when it changes
	Twins    bool   // a key may have several links: for experiments with two nodes that share one

	Limits   Limits
	Receiver Receiver
	Source   Source
	Log      hclog.Logger
}

// Limits bound what peers may cost. Names in brackets are keys of the table [network] of a node's settings; errors say them.
type Limits struct {
	Message    int // bytes of a consensus message [message_bytes]
	Part       int // bytes of a part of a body or an answer [part_bytes]
	Body       int // bytes of a body, and of a block that a peer sends [body_bytes]
	Bodies     int // bytes of bodies that are held: published, received and kept [bodies_bytes]; a peer may fill its share of it
	Queue      int // bytes that wait to be sent to a peer [queue_bytes]
	Inbound    int // bytes of transactions of a peer that wait for admission [inbound_bytes]
	BatchBytes int // bytes of a batch of transactions [batch_bytes]
	BatchCount int // and their number [batch_count]
	Ahead      int // heights above its own head for which a node takes consensus messages [ahead]
	Serve      int // blocks in one request [blocks_per_request]

	// A second, each, with Burst seconds in advance.
	Messages    float64       // control frames [peer_messages]
	Bytes       float64       // bytes that were not asked for [peer_bytes]
	Useless     float64       // frames without effect: repeated, too late, too early [peer_useless]
	Requests    float64       // requests for bodies and blocks [peer_requests]
	Invalid     float64       // invalid transactions [peer_invalid]
	Burst       time.Duration // [peer_burst]
	Ban         time.Duration // how long a peer that misbehaved is refused; doubles to 32 times with each repetition [ban]
	Connections int           // open connections of all strangers and peers to Listen [max_connections]

	Handshake time.Duration // for TLS and Hello [handshake_timeout]
	Heartbeat time.Duration // between two heads [heartbeat]
	Silence   time.Duration // without a frame, after which a link is closed; also how long a peer may take to read a frame [silence_timeout]
	Fetch     time.Duration // for the next piece of an answer [fetch_timeout]
	Redial    time.Duration // the first pause between two attempts to dial; it doubles to RedialMax, with jitter [redial, redial_max]
	RedialMax time.Duration
}

// DefaultLimits fit up to about 100 validators, blocks of up to a few MiB and a link of 1 Gbit/s.
func DefaultLimits() Limits {
	return Limits{
		Message: 1 << 20, Part: 256 << 10, Body: 64 << 20, Bodies: 256 << 20, Queue: 96 << 20, Inbound: 16 << 20,
		BatchBytes: 512 << 10, BatchCount: 512, Ahead: 10, Serve: 32,
		Messages: 5000, Bytes: 64 << 20, Useless: 2000, Requests: 100, Invalid: 5, Burst: 4 * time.Second,
		Ban: time.Minute, Connections: 256,
		Handshake: 5 * time.Second, Heartbeat: time.Second, Silence: 10 * time.Second, Fetch: 10 * time.Second,
		Redial: 250 * time.Millisecond, RedialMax: time.Second,
	}
}

// check says which of the options cannot be.
func (o *Options) check() error {
	l, d := &o.Limits, DefaultLimits()
	if *l == (Limits{}) {
		*l = d
	}
	if len(o.Key) != ed25519.PrivateKeySize {
		return fmt.Errorf("network: the node has no key: set network.key_file")
	}
	if o.ChainID == "" || o.Receiver == nil || o.Source == nil {
		return fmt.Errorf("network: chain id, receiver and source are needed")
	}
	for key, n := range map[string]int{
		"message_bytes": l.Message, "part_bytes": l.Part, "body_bytes": l.Body, "bodies_bytes": l.Bodies, "queue_bytes": l.Queue, "inbound_bytes": l.Inbound,
		"batch_bytes": l.BatchBytes, "batch_count": l.BatchCount, "ahead": l.Ahead, "blocks_per_request": l.Serve, "max_connections": l.Connections,
		"peer_messages": int(l.Messages), "peer_bytes": int(l.Bytes), "peer_useless": int(l.Useless), "peer_requests": int(l.Requests), "peer_invalid": int(l.Invalid),
	} {
		if n < 1 {
			return fmt.Errorf("network.%s: at least 1", key)
		}
	}
	for key, t := range map[string]time.Duration{
		"peer_burst": l.Burst, "ban": l.Ban, "handshake_timeout": l.Handshake, "heartbeat": l.Heartbeat, "silence_timeout": l.Silence, "fetch_timeout": l.Fetch,
		"redial": l.Redial, "redial_max": l.RedialMax,
	} {
		if t <= 0 {
			return fmt.Errorf("network.%s: more than 0", key)
		}
	}
	switch {
	case l.Message > 1<<20 || l.Part > 1<<20 || l.BatchBytes > 1<<20:
		return fmt.Errorf("network.message_bytes, part_bytes and batch_bytes: at most 1 MiB")
	case l.Queue < 2*l.Message || l.Queue < 2*l.Part || l.Queue < 2*l.BatchBytes:
		return fmt.Errorf("network.queue_bytes: at least twice message_bytes, part_bytes and batch_bytes")
	case l.Bodies < 2*l.Body:
		return fmt.Errorf("network.bodies_bytes: at least twice body_bytes")
	case l.Inbound < l.BatchBytes:
		return fmt.Errorf("network.inbound_bytes: at least batch_bytes")
	case l.Silence < 2*l.Heartbeat:
		return fmt.Errorf("network.silence_timeout: at least twice heartbeat")
	case l.Messages*l.Burst.Seconds() < 8 || l.Bytes*l.Burst.Seconds() < 2*float64(l.Part+l.BatchBytes):
		return fmt.Errorf("network.peer_messages and peer_bytes: too few for one height")
	}
	return nil
}
