package config

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/ordo-sequencer/ordo/core/network"
	"github.com/ordo-sequencer/ordo/core/network/peer"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Network are the settings of a node that has peers.
type Network struct {
	File     string // the network file, the same on every node; empty: a chain of one sequencer
	KeyFile  string // this node's ed25519 key
	Listen   string // host:port for peers; empty: none can dial
	Peers    []string
	PeerFile string
	Twins    bool // a key may have several links
	Follow   string
	Faults   string         // file of what this node does to its messages of consensus; empty: nothing
	Limits   network.Limits // of what peers may cost

	Ahead        time.Duration // of a proposal's time, after this node's clock
	PricePercent uint64        // by which L1 prices of a proposal may differ
}

func networkOptions() []Option {
	text := func(key, value, help string, field func(*Network) *string, check func(string) error) Option {
		return Option{Key: "network." + key, Flag: "network-" + strings.ReplaceAll(key, "_", "-"), Value: value, Help: help,
			Set: func(c *Config, s string) error {
				if s != "" {
					if err := check(s); err != nil {
						return err
					}
				}
				*field(&c.Network) = s
				return nil
			},
			Get: func(c *Config) string { return *field(&c.Network) }}
	}
	anything := func(string) error { return nil }
	return append(networkLimits(), []Option{
		text("file", "FILE", "network file: chain id, time of block 0 and the validators; the same on every node. Empty: a chain of one sequencer",
			func(n *Network) *string { return &n.File }, anything),
		text("key_file", "FILE", "this node's ed25519 key (mode 0600), by which its peers know it and with which it signs; made when it is missing. Empty: node.key in the data folder",
			func(n *Network) *string { return &n.KeyFile }, anything),
		text("listen", "ADDRESS:PORT", "listen for peers here; empty: no peer can dial this node", func(n *Network) *string { return &n.Listen }, checkAddress),
		list("network.peers", "network-peers", "KEY@ADDRESS:PORT", "peers: their keys in hexadecimal and where to dial them, or the key alone of one that dials", parsePeers,
			func(c *Config) *[]string { return &c.Network.Peers }),
		text("peer_file", "FILE", "file with more peers, one a line; it is read again when it changes", func(n *Network) *string { return &n.PeerFile }, anything),
		text("follow", "URL|peers", "follow a chain without a part in its consensus: the URL of a node's JSON-RPC, or peers for the peers of this table",
			func(n *Network) *string { return &n.Follow }, checkFollow),
		{Key: "network.twins", Flag: "network-twins", Default: "false", Bool: true, Rare: true, Help: "a key may have several links: for experiments with two nodes that share one",
			Set: func(c *Config, s string) (err error) {
				if c.Network.Twins, err = strconv.ParseBool(s); err != nil {
					return fmt.Errorf("%q: choose true or false", s)
				}
				return nil
			},
			Get: func(c *Config) string { return strconv.FormatBool(c.Network.Twins) }},
		{Key: "network.message_faults", Flag: "network-message-faults", Value: "FILE", Rare: true,
			Help: "for experiments only: lose, delay and change this node's messages of consensus as this file says (ordo localnet fault writes it)",
			Set:  func(c *Config, s string) error { c.Network.Faults = s; return nil },
			Get:  func(c *Config) string { return c.Network.Faults }},
		{Key: "proposal.ahead", Flag: "proposal-ahead", Default: "1s", Value: "DURATION", Rare: true, Help: "how far the time of another node's proposal may be ahead of this node's clock",
			Set: func(c *Config, s string) (err error) {
				if c.Network.Ahead, err = time.ParseDuration(s); err != nil || c.Network.Ahead < time.Millisecond || c.Network.Ahead > time.Hour {
					return fmt.Errorf("%q: choose a duration from 1ms to 1h", s)
				}
				return nil
			},
			Get: func(c *Config) string { return c.Network.Ahead.String() }},
		{Key: "proposal.price_percent", Flag: "proposal-price-percent", Default: "10", Number: true, Value: "PERCENT", Rare: true,
			Help: "by how much the prices of L1 gas and L1 data gas of another node's proposal may differ from this node's",
			Set: func(c *Config, s string) (err error) {
				c.Network.PricePercent, err = whole(s, 1000)
				return err
			},
			Get: func(c *Config) string { return strconv.FormatUint(c.Network.PricePercent, 10) }},
	}...)
}

// networkLimits bound what peers may cost; package network says what each is, and checks them against each other.
func networkLimits() []Option {
	d := network.DefaultLimits()
	row := func(o Option, key string) Option {
		o.Key, o.Flag = "network."+key, "network-"+strings.ReplaceAll(key, "_", "-")
		return o
	}
	number := func(key string, otherwise int, help string, of func(*network.Limits) *int) Option {
		return row(count("", otherwise, help, func(c *Config) *int { return of(&c.Network.Limits) }), key)
	}
	rate := func(key string, otherwise float64, help string, of func(*network.Limits) *float64) Option {
		o := rare("", help, "NUMBER", strconv.FormatFloat(otherwise, 'f', -1, 64))
		o.Number = true
		o.Set = func(c *Config, s string) error {
			n, err := strconv.ParseFloat(s, 64)
			if err != nil || !(n >= 1 && n <= 1e12) {
				return fmt.Errorf("%q: choose a number from 1 to 1e12", s)
			}
			*of(&c.Network.Limits) = n
			return nil
		}
		o.Get = func(c *Config) string { return strconv.FormatFloat(*of(&c.Network.Limits), 'f', -1, 64) }
		return row(o, key)
	}
	span := func(key string, otherwise time.Duration, help string, of func(*network.Limits) *time.Duration) Option {
		return row(span("", otherwise, help, func(c *Config) *time.Duration { return of(&c.Network.Limits) }), key)
	}
	type limits = network.Limits
	return []Option{
		number("message_bytes", d.Message, "bytes of a consensus message", func(l *limits) *int { return &l.Message }),
		number("part_bytes", d.Part, "bytes of a part of a body or an answer", func(l *limits) *int { return &l.Part }),
		number("body_bytes", d.Body, "bytes of a body, and of a block that a peer sends", func(l *limits) *int { return &l.Body }),
		number("bodies_bytes", d.Bodies, "bytes of bodies that are held; a peer may fill its share", func(l *limits) *int { return &l.Bodies }),
		number("queue_bytes", d.Queue, "bytes that wait to be sent to a peer", func(l *limits) *int { return &l.Queue }),
		number("inbound_bytes", d.Inbound, "bytes of transactions of a peer that wait for admission", func(l *limits) *int { return &l.Inbound }),
		number("batch_bytes", d.BatchBytes, "bytes of a batch of transactions", func(l *limits) *int { return &l.BatchBytes }),
		number("batch_count", d.BatchCount, "transactions of a batch", func(l *limits) *int { return &l.BatchCount }),
		number("ahead", d.Ahead, "heights above a peer's head for which its consensus messages are taken", func(l *limits) *int { return &l.Ahead }),
		number("blocks_per_request", d.Serve, "blocks in one request of a node that catches up", func(l *limits) *int { return &l.Serve }),
		number("max_connections", d.Connections, "open connections of all peers and strangers", func(l *limits) *int { return &l.Connections }),
		rate("peer_messages", d.Messages, "control frames of a peer, a second", func(l *limits) *float64 { return &l.Messages }),
		rate("peer_bytes", d.Bytes, "bytes of a peer that were not asked for, a second", func(l *limits) *float64 { return &l.Bytes }),
		rate("peer_useless", d.Useless, "frames of a peer without effect, a second", func(l *limits) *float64 { return &l.Useless }),
		rate("peer_requests", d.Requests, "requests of a peer for bodies and blocks, a second", func(l *limits) *float64 { return &l.Requests }),
		rate("peer_invalid", d.Invalid, "invalid transactions of a peer, a second", func(l *limits) *float64 { return &l.Invalid }),
		span("peer_burst", d.Burst, "how much of these a peer may spend at once, in seconds of it", func(l *limits) *time.Duration { return &l.Burst }),
		span("ban", d.Ban, "how long a peer that misbehaved is refused; it doubles up to 32 times with each repetition", func(l *limits) *time.Duration { return &l.Ban }),
		span("handshake_timeout", d.Handshake, "for the handshake with a peer", func(l *limits) *time.Duration { return &l.Handshake }),
		span("heartbeat", d.Heartbeat, "between two heads that are sent to a peer", func(l *limits) *time.Duration { return &l.Heartbeat }),
		span("silence_timeout", d.Silence, "without a frame of a peer, after which its link is closed", func(l *limits) *time.Duration { return &l.Silence }),
		span("fetch_timeout", d.Fetch, "for the next piece of an answer of a peer", func(l *limits) *time.Duration { return &l.Fetch }),
		span("redial", d.Redial, "the first pause before a peer is dialed again; it doubles", func(l *limits) *time.Duration { return &l.Redial }),
		span("redial_max", d.RedialMax, "the longest such pause", func(l *limits) *time.Duration { return &l.RedialMax }),
	}
}

func parsePeers(text string) (all []string, err error) {
	for _, word := range strings.Split(text, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		if _, err := peer.ParseAddress(word); err != nil {
			return nil, err
		}
		all = append(all, word)
	}
	return all, nil
}

func checkFollow(text string) error {
	if text != "peers" && !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		return fmt.Errorf("%q: choose the URL of a node, or peers", text)
	}
	return nil
}

// Validators is a network file: what all nodes of a network have alike.
type Validators struct {
	ChainID     string
	GenesisTime uint64 // seconds since 1970
	Execution   string // ExecutionEager or ExecutionLazy
	Members     []*ordov1.Validator
}

// networkFile is its form on disk.
type networkFile struct {
	ChainID     string `toml:"chain_id"`
	GenesisTime uint64 `toml:"genesis_time"`
	Execution   string `toml:"execution"` // eager when it is missing
	Validators  []struct {
		Key     string `toml:"key"`
		Power   uint64 `toml:"power"`
		Address string `toml:"address"`
	} `toml:"validators"`
}

// Bounds of a network. Powers are bounded so that sums of them fit everywhere.
const (
	maxValidators = 1000
	maxPower      = 1 << 40
)

// ReadNetwork reads a network file.
func ReadNetwork(path string) (*Validators, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("network.file: %w", err)
	}
	v, err := parseNetwork(raw)
	if err != nil {
		return nil, fmt.Errorf("network.file: %s: %w", path, err)
	}
	return v, nil
}

func parseNetwork(raw []byte) (*Validators, error) {
	var f networkFile
	if err := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields().Decode(&f); err != nil {
		if strict := (*toml.StrictMissingError)(nil); errors.As(err, &strict) && len(strict.Errors) > 0 {
			row, _ := strict.Errors[0].Position()
			return nil, fmt.Errorf("line %d: unknown key %s", row, strings.Join(strict.Errors[0].Key(), "."))
		}
		if at := (*toml.DecodeError)(nil); errors.As(err, &at) {
			row, column := at.Position()
			return nil, fmt.Errorf("line %d, column %d: %s", row, column, strings.TrimPrefix(err.Error(), "toml: "))
		}
		return nil, err
	}
	v := &Validators{ChainID: f.ChainID, GenesisTime: f.GenesisTime, Execution: cmp.Or(f.Execution, ExecutionEager)}
	switch _, err := parseExecution(v.Execution); {
	case err != nil:
		return nil, fmt.Errorf("execution: %w", err)
	case f.ChainID == "":
		return nil, errors.New("chain_id is missing")
	case f.GenesisTime == 0 || f.GenesisTime > 253402300799:
		return nil, errors.New("genesis_time: write seconds since 1970: all nodes begin with the same block 0")
	case len(f.Validators) == 0 || len(f.Validators) > maxValidators:
		return nil, fmt.Errorf("%d validators: write 1 to %d tables [[validators]]", len(f.Validators), maxValidators)
	}
	for n, one := range f.Validators {
		key, err := hex.DecodeString(one.Key)
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("validator %d: key %q: write an ed25519 key as %d hexadecimal digits", n+1, one.Key, 2*ed25519.PublicKeySize)
		}
		if one.Power == 0 || one.Power > maxPower {
			return nil, fmt.Errorf("validator %d: power %d: choose a number from 1 to %d", n+1, one.Power, uint64(maxPower))
		}
		address, err := felt.ParseHex(one.Address)
		if err != nil {
			return nil, fmt.Errorf("validator %d: address %q: %w", n+1, one.Address, err)
		}
		v.Members = append(v.Members, &ordov1.Validator{Key: key, Power: one.Power, Address: address.Append(nil)})
	}
	slices.SortFunc(v.Members, func(a, b *ordov1.Validator) int { return bytes.Compare(a.Key, b.Key) })
	for i, m := range v.Members[1:] {
		if bytes.Equal(m.Key, v.Members[i].Key) {
			return nil, fmt.Errorf("the key %x is there twice", m.Key)
		}
	}
	return v, nil
}

// Format writes a network file.
func (v *Validators) Format() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# What all nodes of this network have alike. A node with another file has another block 0, or takes other blocks.\nchain_id = %q\ngenesis_time = %d\n", v.ChainID, v.GenesisTime)
	if v.Execution == ExecutionLazy {
		fmt.Fprintf(&b, "execution = %q\n", v.Execution)
	}
	members := slices.Clone(v.Members)
	slices.SortStableFunc(members, func(a, b *ordov1.Validator) int { return cmp.Compare(b.Power, a.Power) })
	for _, m := range members {
		fmt.Fprintf(&b, "\n[[validators]]\nkey = \"%x\"\npower = %d\naddress = %q\n", m.Key, m.Power, felt.Reduce(m.Address).Hex())
	}
	return b.Bytes()
}
