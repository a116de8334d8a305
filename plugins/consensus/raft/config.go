package raft

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
)

// Config is the plugin's section of the node's configuration.
type Config struct {
	HeartbeatMs   uint32 `json:"heartbeat_ms"`
	ElectionMs    uint32 `json:"election_ms"`
	BlockMs       uint32 `json:"block_ms"`
	IdleMs        uint32 `json:"idle_ms"`
	RetryMs       uint32 `json:"retry_ms"`
	InvalidHaltMs uint32 `json:"invalid_halt_ms"`
}

// Schema describes Config to the operator and to the check of the configuration.
const Schema = `{
  "type": "object",
  "properties": {
    "heartbeat_ms": {"type": "integer", "minimum": 1, "maximum": 60000, "default": 100,
      "description": "time between two heartbeats of the leader"},
    "election_ms": {"type": "integer", "minimum": 2, "maximum": 3600000, "default": 1000,
      "description": "how long a follower hears nothing of a leader before it stands for election: this time up to twice of it; at least 5 heartbeats"},
    "block_ms": {"type": "integer", "minimum": 1, "maximum": 3600000, "default": 1000,
      "description": "longest time that a block with transactions stays open"},
    "idle_ms": {"type": "integer", "minimum": 1, "maximum": 60000, "default": 5,
      "description": "the block is sealed when no transaction came for so long"},
    "retry_ms": {"type": "integer", "minimum": 1, "maximum": 60000, "default": 100,
      "description": "pause before a block is built or validated again that could not be"},
    "invalid_halt_ms": {"type": "integer", "minimum": 1, "maximum": 86400000, "default": 60000,
      "description": "the node stops when a block that the others committed is invalid here for so long"}
  }
}`

func defaults() Config {
	return Config{HeartbeatMs: 100, ElectionMs: 1000, BlockMs: 1000, IdleMs: 5, RetryMs: 100, InvalidHaltMs: 60_000}
}

// ParseConfig reads a configuration; what it lacks has its default.
func ParseConfig(text []byte) (Config, error) {
	c := defaults()
	if len(bytes.TrimSpace(text)) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&c); err != nil {
			return Config{}, fmt.Errorf("raft: configuration: %w", err)
		}
	}
	if c.ElectionMs < 5*c.HeartbeatMs {
		return Config{}, &sdk.Problem{Path: "election_ms", Summary: fmt.Sprintf("%d ms is less than 5 heartbeats of %d ms", c.ElectionMs, c.HeartbeatMs),
			Detail: "raise election_ms or lower heartbeat_ms: a late heartbeat would cost an election"}
	}
	for key, value := range map[string]uint32{"heartbeat_ms": c.HeartbeatMs, "block_ms": c.BlockMs, "idle_ms": c.IdleMs, "retry_ms": c.RetryMs, "invalid_halt_ms": c.InvalidHaltMs} {
		if value == 0 {
			return Config{}, &sdk.Problem{Path: key, Summary: "0 ms is no time", Detail: "leave it out for the default"}
		}
	}
	return c, nil
}

func ms(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }

// crashOnly is what an operator has to know before the first block.
const crashOnly = "raft survives validators that crash, not validators that lie: one false leader forks the chain, and its blocks carry no certificates"

// Service is the consensus plugin raft.
func Service() *sdk.Service {
	p := &part{}
	d := sdk.Description{Name: "raft", Version: "0.1.0", Capabilities: []string{sdk.CapNetwork}, ConfigSchema: Schema}
	return sdk.ServeProtocol(d, p, func() sdk.Protocol { return New(p.config()) })
}

// part keeps what Configure brought for the streams that follow.
type part struct{ configured atomic.Pointer[Config] }

func (p *part) config() Config {
	if c := p.configured.Load(); c != nil {
		return *c
	}
	return defaults()
}

// Configure implements sdk.Configurer.
func (p *part) Configure(_ context.Context, setup *sdk.Setup) error {
	c, err := ParseConfig(setup.Config)
	if err != nil {
		return err
	}
	p.configured.Store(&c)
	return nil
}
