package comet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/bridge"
	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/engine"
	"github.com/ordo-sequencer/ordo/sdk"
)

// Config is the plugin's section of the node's configuration.
type Config struct {
	Listen             string   `json:"listen"`
	Peers              []string `json:"peers"`
	KeyFile            string   `json:"key_file"`
	NodeKeyFile        string   `json:"node_key_file"`
	AcceptUnknownPeers bool     `json:"accept_unknown_peers"`
	MaxPeers           int      `json:"max_peers"`

	TimeoutProposeMs   uint32 `json:"timeout_propose_ms"`
	TimeoutPrevoteMs   uint32 `json:"timeout_prevote_ms"`
	TimeoutPrecommitMs uint32 `json:"timeout_precommit_ms"`
	TimeoutValidateMs  uint32 `json:"timeout_validate_ms"`
	BuildMs            uint32 `json:"build_ms"`
	IdleMs             uint32 `json:"idle_ms"`
	WaitMs             uint32 `json:"wait_ms"`

	MaxBlockBytes int64  `json:"max_block_bytes"`
	GenesisTime   string `json:"genesis_time"`
	LogLevel      string `json:"log_level"`
}

// Schema describes Config to the operator and to the check of the configuration.
const Schema = `{
  "type": "object",
  "properties": {
    "listen": {
      "type": "string", "examples": ["0.0.0.0:26656"],
      "description": "host:port for connections of other nodes' CometBFT; without listen and key_file the plugin verifies certificates and takes no part"
    },
    "peers": {
      "type": "array", "items": {"type": "string"}, "default": [],
      "description": "the other nodes, each as key@host:port, the key as 64 hexadecimal digits; one of this node itself is left out, so all nodes may have the same list"
    },
    "key_file": {
      "type": "string", "description": "the node's ed25519 key in PEM (PKCS #8), readable for its owner only: the same file as the node's own"
    },
    "node_key_file": {
      "type": "string",
      "description": "another ed25519 key for connections, when two nodes run with one key_file (an experiment: that is a double vote); default key_file"
    },
    "accept_unknown_peers": {
      "type": "boolean", "default": false, "description": "take connections of nodes that are not in peers"
    },
    "max_peers": {
      "type": "integer", "minimum": 1, "maximum": 1000, "default": 200, "description": "connections in each direction"
    },
    "timeout_propose_ms": {
      "type": "integer", "minimum": 20, "maximum": 60000, "default": 500,
      "description": "how long the others wait for a proposal before they go on without it; half of it more in each round; across hosts 1000"
    },
    "timeout_prevote_ms": {
      "type": "integer", "minimum": 1, "maximum": 60000, "default": 200, "description": "how long to wait for more prevotes; half of it more in each round"
    },
    "timeout_precommit_ms": {
      "type": "integer", "minimum": 1, "maximum": 60000, "default": 100, "description": "how long to wait for more precommits; half of it more in each round"
    },
    "timeout_validate_ms": {
      "type": "integer", "minimum": 100, "maximum": 60000, "default": 10000,
      "description": "how long the execution of a proposal may take before this node votes against it"
    },
    "build_ms": {
      "type": "integer", "minimum": 1, "maximum": 60000, "default": 250,
      "description": "how long a block may stay open; less than timeout_propose_ms, for it has to reach the others too"
    },
    "idle_ms": {
      "type": "integer", "minimum": 1, "maximum": 60000, "default": 5, "description": "close the block when no transaction came for so long"
    },
    "wait_ms": {
      "type": "integer", "minimum": 1, "maximum": 60000, "default": 50,
      "description": "a proposer without transactions waits so long for those that another node has told of"
    },
    "max_block_bytes": {
      "type": "integer", "minimum": 65536, "maximum": 104857600, "default": 22020096,
      "description": "the largest block, the same on all nodes from the first block on; a proposal that is larger is cut"
    },
    "genesis_time": {
      "type": "string", "default": "2025-01-01T00:00:00Z", "description": "RFC 3339: the time of CometBFT's first block, the same on all nodes from the first block on"
    },
    "log_level": {
      "type": "string", "enum": ["debug", "info", "error", "off"], "default": "off",
      "description": "what of CometBFT's own log is shown; the plugin's is shown always"
    }
  }
}`

// part says whether the configuration is that of a node that takes part.
func (c *Config) part() bool { return c.Listen != "" || c.KeyFile != "" }

// settings checks a configuration and makes an engine's settings of it.
func (c *Config) settings(setup *sdk.Setup) (engine.Settings, error) {
	var problems []error
	wrong := func(path, detail, format string, args ...any) {
		problems = append(problems, &sdk.Problem{Path: path, Summary: fmt.Sprintf(format, args...), Detail: detail})
	}
	ms := func(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }
	s := engine.Settings{
		ChainID: setup.Chain.GetChainId(), Dir: filepath.Join(setup.DataDir, "comet"), Listen: c.Listen,
		AcceptUnknown: c.AcceptUnknownPeers, MaxPeers: c.MaxPeers,
		TimeoutPropose: ms(c.TimeoutProposeMs), TimeoutPrevote: ms(c.TimeoutPrevoteMs), TimeoutPrecommit: ms(c.TimeoutPrecommitMs),
		TimeoutValidate: ms(c.TimeoutValidateMs), Bridge: bridge.Options{BuildMs: c.BuildMs, IdleMs: c.IdleMs, WaitMs: c.WaitMs},
		MaxBlockBytes: c.MaxBlockBytes, Log: setup.Logger, CometLog: hclog.LevelFromString(c.LogLevel),
	}
	if setup.DataDir == "" {
		wrong("", "start the node with a data directory", "comet keeps its votes and blocks on disk, and this node keeps nothing")
	}
	if err := listenable(c.Listen); err != nil {
		wrong("listen", "choose a host:port of this machine that is free", "%v", err)
	}
	var err error
	if s.Key, err = loadKey(c.KeyFile); err != nil {
		wrong("key_file", "give the path of the node's own key file", "%v", err)
	}
	if s.NodeKey = s.Key; c.NodeKeyFile != "" {
		if s.NodeKey, err = loadKey(c.NodeKeyFile); err != nil {
			wrong("node_key_file", "give the path of a key file, or leave it out", "%v", err)
		}
	}
	seen := map[string]bool{}
	for i, text := range c.Peers {
		path := "peers[" + strconv.Itoa(i) + "]"
		p, err := engine.ParsePeer(text)
		host, _, split := net.SplitHostPort(p.Addr)
		switch {
		case err != nil:
			wrong(path, "write key@host:port", "%v", err)
		case split != nil || host == "":
			wrong(path, "write key@host:port", "%q: the address %q is not host:port", text, p.Addr)
		case seen[string(p.Key)]:
			wrong(path, "name each node once", "%q: the key is in the list already", text)
		default:
			if _, err := net.LookupHost(host); err != nil {
				setup.Warn(sdk.Problem{Path: path, Summary: err.Error(), Detail: "this node does not dial it before its next start; it may dial this node"})
			}
			s.Peers = append(s.Peers, p)
		}
		seen[string(p.Key)] = true
	}
	if c.BuildMs >= c.TimeoutProposeMs {
		wrong("build_ms", "half of timeout_propose_ms is a good start", "%d is not less than timeout_propose_ms, %d: no proposal would be in time", c.BuildMs, c.TimeoutProposeMs)
	}
	if s.GenesisTime, err = time.Parse(time.RFC3339Nano, c.GenesisTime); err != nil {
		wrong("genesis_time", "write it as 2025-01-01T00:00:00Z", "%v", err)
	} else if time.Now().Before(s.GenesisTime) {
		wrong("genesis_time", "give a time that has been", "%s is in the future: CometBFT would sleep until then", c.GenesisTime)
	}
	if len(problems) == 0 {
		if _, err := s.Config("ordo"); err != nil {
			wrong("", "", "%v", err)
		}
	}
	return s, errors.Join(problems...)
}

// listenable says why no connection could be taken at an address.
func listenable(address string) error {
	if host, _, err := net.SplitHostPort(address); err != nil || host == "" {
		return fmt.Errorf("%q is not host:port", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

// parse reads a configuration that has its defaults.
func parse(text []byte) (c Config, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return c, &sdk.Problem{Summary: "configuration: " + err.Error()}
	}
	return c, nil
}
