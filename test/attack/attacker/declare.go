package attacker

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// declareFlood declares ever new classes in the name of accounts that do not exist, with signatures of nothing: each cost a
// second of compiler.
type declareFlood struct{}

func (declareFlood) Name() string { return "declarations of strangers" }

func (declareFlood) Run(ctx context.Context, c *Client) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(c.Class, &fields); err != nil {
		panic(err) // the driver has made it
	}
	template := c.Account.Invoke(0).JSON()
	delete(template, "calldata")
	template["type"], template["compiled_class_hash"] = "DECLARE", "0x1234"
	template["signature"] = []string{"0x1", "0x2"}
	for ctx.Err() == nil {
		abi, _ := json.Marshal(fmt.Sprintf(`[{"type": "struct", "name": "n%d", "members": []}]`, c.Random.Uint64()))
		fields["abi"] = abi
		sender := number(0x5555 + c.Random.Uint64N(1000))
		if c.Random.IntN(4) == 0 {
			sender = c.Stranger // an account with money, and another signature
		}
		template["sender_address"], template["contract_class"] = sender.Hex(), fields
		template["nonce"] = felt.FromUint64(c.Random.Uint64N(2)).Hex()
		c.call(ctx, "starknet_addDeclareTransaction", map[string]any{"declare_transaction": template})
		pause(ctx, 50*time.Millisecond)
	}
}

func (declareFlood) Judge(t *Tally) error {
	if n := t.count("result"); n > 0 {
		return fmt.Errorf("%d classes were taken from strangers", n)
	}
	return t.happened("error", left)
}
