package solo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/ordo-sequencer/ordo/sdk"
)

// Mode says what makes a block.
type Mode string

const (
	Transaction Mode = "transaction" // a block as soon as there are transactions
	Interval    Mode = "interval"    // a block on a timer
	Demand      Mode = "demand"      // a block when the operator asks
)

// Config is the plugin's section of the node's configuration.
type Config struct {
	Mode        Mode   `json:"mode"`
	IntervalMs  uint32 `json:"interval_ms"`
	EmptyBlocks bool   `json:"empty_blocks"`
	IdleMs      uint32 `json:"idle_ms"`
}

// Schema describes Config to the operator and to the check of the configuration.
const Schema = `{
  "type": "object",
  "properties": {
    "mode": {
      "type": "string", "enum": ["transaction", "interval", "demand"], "default": "transaction",
      "description": "what makes a block: waiting transactions, a timer, or the operator"
    },
    "interval_ms": {
      "type": "integer", "minimum": 1, "maximum": 86400000,
      "description": "interval: time between blocks, default 1000; transaction: longest time that a block stays open, default 1000"
    },
    "empty_blocks": {
      "type": "boolean", "default": false,
      "description": "interval: make a block even if there is nothing to put in it"
    },
    "idle_ms": {
      "type": "integer", "minimum": 1, "maximum": 60000, "default": 5,
      "description": "transaction: seal the block when no transaction came for so long"
    }
  }
}`

// ParseConfig reads a configuration and fills in the defaults. Empty input is all defaults.
func ParseConfig(text []byte) (Config, error) {
	c := Config{Mode: Transaction}
	if len(bytes.TrimSpace(text)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&c); err != nil {
			return Config{}, fmt.Errorf("solo: configuration: %w", err)
		}
	}
	switch c.Mode {
	case Transaction, Interval, Demand:
	default:
		return Config{}, fmt.Errorf("solo: mode %q: want transaction, interval or demand", c.Mode)
	}
	if c.IntervalMs == 0 {
		c.IntervalMs = 1000
	}
	if c.IdleMs == 0 {
		// Long enough to catch a burst that one client sends, short enough that no client notices the wait.
		c.IdleMs = 5
	}
	return c, nil
}

// Service is the consensus plugin solo.
func Service() *sdk.Service {
	p := &part{}
	d := sdk.Description{Name: "solo", Version: "0.1.0", ConfigSchema: Schema}
	return sdk.ServeProtocol(d, p, func() sdk.Protocol { return New(p.config()) })
}

// part keeps what Configure brought for the streams that follow.
type part struct{ configured atomic.Pointer[Config] }

func (p *part) config() Config {
	if c := p.configured.Load(); c != nil {
		return *c
	}
	c, _ := ParseConfig(nil) // the defaults are valid
	return c
}

func (p *part) Configure(_ context.Context, setup *sdk.Setup) error {
	c, err := ParseConfig(setup.Config)
	if err != nil {
		return err
	}
	if c.EmptyBlocks && c.Mode != Interval {
		setup.Warn(sdk.Problem{
			Path:    "empty_blocks",
			Summary: fmt.Sprintf("has no effect in mode %q", c.Mode),
			Detail:  "set mode to \"interval\", or leave it out",
		})
	}
	p.configured.Store(&c)
	return nil
}
