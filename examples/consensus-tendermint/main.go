// Command consensus-tendermint is the Tendermint algorithm (arXiv 1807.04938) as a hosted protocol, for reading and changing.
package main

import (
	"encoding/json"
	"errors"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/vote"
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

// certificates checks what a decision proves: precommits of more than 2/3 of the power, for one block in one round.
type certificates struct{}

func (certificates) Verify(q *ordov1.VerifyRequest) error {
	list, err := vote.Read(q.GetCertificate())
	if err != nil {
		return err
	}
	set := vote.Set{Chain: q.GetChainId(), Scheme: q.GetScheme(), Validators: q.GetValidators()}
	id, err := set.Certifies(list, precommit, q.GetHeight())
	if err == nil && (len(id) != idLength || id[:32] != string(q.GetValue())) {
		err = errors.New("the precommits are for another value")
	}
	return err
}

func service() *sdk.Service {
	d := sdk.Description{Name: "tendermint-teaching", Version: "0.1.0", Capabilities: []string{sdk.CapNetwork}, ConfigSchema: schema}
	return sdk.ServeProtocol(d, certificates{}, func() sdk.Protocol { return newTendermint(inTurn) })
}

func main() { sdk.Serve(service()) }
