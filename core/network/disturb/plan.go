// Package disturb loses, repeats, delays and changes messages of consensus on purpose, for experiments on a localnet.
//
// A Plan says what happens to what a node sends; Link applies it to the messages for one receiver, without I/O and without a clock. Of the same
// plan the k-th message from one node to another always meets the same: each rule draws from a sequence of its own, which depends on its seed
// and on the two keys.
package disturb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/identity"
)

// Bounds of a plan.
const (
	MaxRules = 256
	MaxDelay = 10 * time.Second
	maxFile  = 1 << 20
)

// Plan is what happens to the messages that a node sends. A message meets every rule that is for its receiver.
type Plan struct {
	Rules []Rule `json:"rules"`
}

// Rule is one kind of trouble. A rate is the part of the messages that meet it, from 0 to 1.
type Rule struct {
	Seed      uint64        `json:"seed"`
	To        []identity.ID `json:"to,omitempty"` // receivers; empty: all
	Drop      float64       `json:"drop,omitempty"`
	Duplicate float64       `json:"duplicate,omitempty"`
	Corrupt   float64       `json:"corrupt,omitempty"` // one bit of the message is another
	Delay     Span          `json:"delay"`
	Reorder   bool          `json:"reorder,omitempty"` // messages need not keep their order
}

// Span is a time that is drawn from between two.
type Span struct {
	Low  time.Duration `json:"low_ns,omitempty"`
	High time.Duration `json:"high_ns,omitempty"`
}

// Check says what is wrong with a rule.
func (r *Rule) Check() error {
	for name, rate := range map[string]float64{"drop": r.Drop, "duplicate": r.Duplicate, "corrupt": r.Corrupt} {
		if !(rate >= 0 && rate <= 1) {
			return fmt.Errorf("%s %v: choose a part of the messages, from 0 to 1", name, rate)
		}
	}
	if r.Delay.Low < 0 || r.Delay.High < r.Delay.Low || r.Delay.High > MaxDelay {
		return fmt.Errorf("delay %v..%v: choose a duration from 0 to %v, or two, the shorter one first: 50ms..200ms", r.Delay.Low, r.Delay.High, MaxDelay)
	}
	return nil
}

// Write is the plan as its file has it.
func (p Plan) Write() []byte {
	b, _ := json.MarshalIndent(p, "", "  ") // numbers and texts alone
	return append(b, '\n')
}

// Read reads the file of a plan. A file that is missing is a plan without rules.
func Read(path string) (p Plan, raw []byte, err error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return p, nil, nil
	case err != nil:
		return p, nil, err
	case info.Size() > maxFile:
		return p, nil, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	if raw, err = os.ReadFile(path); err != nil {
		return p, nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Plan{}, raw, fmt.Errorf("%s: %w", path, err)
	}
	if len(p.Rules) > MaxRules {
		return Plan{}, raw, fmt.Errorf("%s: %d rules, at most %d are read", path, len(p.Rules), MaxRules)
	}
	for i := range p.Rules {
		if err := p.Rules[i].Check(); err != nil {
			return Plan{}, raw, fmt.Errorf("%s: rule %d: %w", path, i+1, err)
		}
	}
	return p, raw, nil
}
