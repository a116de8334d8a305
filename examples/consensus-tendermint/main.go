// Command consensus-tendermint is the Tendermint algorithm (arXiv 1807.04938) as a hosted protocol, for reading and changing.
package main

import (
	"encoding/json"

	"github.com/ordo-sequencer/ordo/sdk"
)

// config is what an operator may set.
type config struct {
	BlockMs   uint32 `json:"block_ms"`
	TimeoutMs uint32 `json:"timeout_ms"`
	DeltaMs   uint32 `json:"delta_ms"`
	ResendMs  uint32 `json:"resend_ms"`
}

const schema = `{
  "type": "object",
  "properties": {
    "block_ms":   {"type": "integer", "minimum": 1, "maximum": 3600000, "default": 1000, "description": "longest time that a block stays open; then it may be empty"},
    "timeout_ms": {"type": "integer", "minimum": 1, "maximum": 3600000, "default": 500, "description": "how long a step of round 0 waits for the others"},
    "delta_ms":   {"type": "integer", "minimum": 1, "maximum": 3600000, "default": 250, "description": "how much longer in each further round"},
    "resend_ms":  {"type": "integer", "minimum": 1, "maximum": 3600000, "default": 250, "description": "time between two sends of what the others may have missed"}
  }
}`

// parse reads a configuration; what it lacks keeps its default.
func parse(text []byte) config {
	c := config{BlockMs: 1000, TimeoutMs: 500, DeltaMs: 250, ResendMs: 250}
	_ = json.Unmarshal(text, &c) // the host has checked it against the schema
	return c
}

func service() *sdk.Service {
	d := sdk.Description{Name: "tendermint-teaching", Version: "0.1.0", Capabilities: []string{sdk.CapNetwork}, ConfigSchema: schema}
	return sdk.ServeProtocol(d, certificates{}, func() sdk.Protocol { return newTendermint(inTurn) })
}

func main() { sdk.Serve(service()) }
