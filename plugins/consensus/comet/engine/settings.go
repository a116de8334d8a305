// Package engine runs CometBFT in this process: its configuration, its stores, the application that it calls, and the Run stream of the
// core that the application hands everything on to.
package engine

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/cometbft/cometbft/config"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/bridge"
)

// Settings are what an engine runs with.
type Settings struct {
	ChainID string
	Dir     string // durable; of this engine alone
	Key     ed25519.PrivateKey
	NodeKey ed25519.PrivateKey // its connections; the same as Key unless two nodes share one

	Listen        string // host:port
	Peers         []Peer
	AcceptUnknown bool // connections of nodes that are not among Peers
	MaxPeers      int

	TimeoutPropose, TimeoutPrevote, TimeoutPrecommit time.Duration
	TimeoutValidate                                  time.Duration // of ProcessProposal
	Bridge                                           bridge.Options
	MaxBlockBytes                                    int64
	GenesisTime                                      time.Time

	Log      hclog.Logger
	CometLog hclog.Level // what of CometBFT's own log is shown
}

// Peer is another node of the network.
type Peer struct {
	Key  ed25519.PublicKey // of its connections
	Addr string            // host:port
}

// ParsePeer reads key@host:port.
func ParsePeer(text string) (Peer, error) {
	name, addr, ok := strings.Cut(text, "@")
	key, err := hex.DecodeString(name)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize {
		return Peer{}, fmt.Errorf("%q: want key@host:port, the key as %d hexadecimal digits", text, 2*ed25519.PublicKeySize)
	}
	if _, err := p2p.NewNetAddressString(p2p.IDAddressString(nodeID(key), "127.0.0.1:1")); err != nil {
		return Peer{}, fmt.Errorf("%q: %w", text, err)
	}
	return Peer{Key: key, Addr: addr}, nil
}

// nodeID is CometBFT's name of a node: it follows from its public key.
func nodeID(key ed25519.PublicKey) p2p.ID { return p2p.PubKeyToID(cmted25519.PubKey(key)) }

// others are the peers without this node itself: one list may be given to all nodes.
func (s *Settings) others() (list []Peer) {
	self := nodeID(s.NodeKey.Public().(ed25519.PublicKey))
	for _, p := range s.Peers {
		if nodeID(p.Key) != self {
			list = append(list, p)
		}
	}
	return list
}

// Folders and files below Settings.Dir.
func (s *Settings) databases() string { return filepath.Join(s.Dir, "data") }
func (s *Settings) wal() string       { return filepath.Join(s.databases(), "cs.wal") }
func (s *Settings) guard() string     { return filepath.Join(s.Dir, "guard.json") }

// prepareLimit is how long PrepareProposal waits for the core: the block has to reach the others within timeout_propose.
func (s *Settings) prepareLimit() time.Duration {
	build := time.Duration(s.Bridge.BuildMs) * time.Millisecond
	return build + (s.TimeoutPropose-build)/2
}

// Config is the configuration of CometBFT.
func (s *Settings) Config(moniker string) (*config.Config, error) {
	c := config.DefaultConfig()
	c.SetRoot(s.Dir)
	c.Moniker = moniker
	c.DBPath = "data"
	c.FilterPeers = true // the application is asked: App.Query

	c.RPC.ListenAddress = ""
	c.TxIndex.Indexer = "null"
	c.Storage.DiscardABCIResponses = true
	c.Instrumentation.Prometheus = false

	c.P2P.ListenAddress = "tcp://" + s.Listen
	var peers []string
	for _, p := range s.others() {
		peers = append(peers, p2p.IDAddressString(nodeID(p.Key), p.Addr))
	}
	c.P2P.PersistentPeers = strings.Join(peers, ",")
	c.P2P.PersistentPeersMaxDialPeriod = time.Second
	c.P2P.MaxNumInboundPeers = s.MaxPeers
	c.P2P.MaxNumOutboundPeers = s.MaxPeers
	c.P2P.PexReactor = false
	c.P2P.AddrBookStrict, c.P2P.AddrBook = false, "data/addrbook.json"
	c.P2P.AllowDuplicateIP = true
	c.P2P.HandshakeTimeout = 5 * time.Second
	c.P2P.FlushThrottleTimeout = time.Millisecond
	c.P2P.MaxPacketMsgPayloadSize = 65536
	c.P2P.SendRate, c.P2P.RecvRate = 500_000_000, 500_000_000

	// The mempool has bells only, see bell.go.
	c.Mempool.Type = config.MempoolTypeFlood
	c.Mempool.MaxTxBytes = bellSize
	c.Mempool.Size, c.Mempool.CacheSize = 100, 1000

	c.Consensus.TimeoutPropose, c.Consensus.TimeoutProposeDelta = s.TimeoutPropose, s.TimeoutPropose/2
	c.Consensus.TimeoutPrevote, c.Consensus.TimeoutPrevoteDelta = s.TimeoutPrevote, s.TimeoutPrevote/2
	c.Consensus.TimeoutPrecommit, c.Consensus.TimeoutPrecommitDelta = s.TimeoutPrecommit, s.TimeoutPrecommit/2
	c.Consensus.TimeoutCommit, c.Consensus.SkipTimeoutCommit = 0, true
	c.Consensus.CreateEmptyBlocks, c.Consensus.CreateEmptyBlocksInterval = false, 0
	c.Consensus.PeerGossipSleepDuration = time.Millisecond
	c.Consensus.PeerQueryMaj23SleepDuration = 250 * time.Millisecond
	c.Consensus.DoubleSignCheckHeight = 0 // Guard does it, and this would refuse a quick restart
	if err := c.ValidateBasic(); err != nil {
		return nil, fmt.Errorf("configuration of CometBFT: %w", err)
	}
	return c, nil
}
