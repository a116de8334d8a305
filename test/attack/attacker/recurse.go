package attacker

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func number(n uint64) felt.Felt { return felt.FromUint64(n) }

// depths are those that the gas of a call allows and that took more stack than a thread had: 344 bytes a level of recurse, 14 to 16
// KB of recurse_big.
var (
	depths    = []uint64{1000, 200_000, 400_000, 690_000}
	bigDepths = []uint64{100, 4_000, 6_500, 8_000}
)

func pick(r *rand.Rand, list []uint64) uint64 { return list[r.IntN(len(list))] }

// recurseView asks for deep recursions, which are machine code after the first few calls.
type recurseView struct{}

func (recurseView) Name() string { return "recursion in views" }

func (recurseView) Run(ctx context.Context, c *Client) {
	for ctx.Err() == nil {
		if c.Random.IntN(3) == 0 {
			c.view(ctx, "recurse_big", number(pick(c.Random, bigDepths)))
		} else {
			depth := pick(c.Random, depths)
			raw, _ := c.view(ctx, "recurse", number(depth))
			if raw == nil {
				continue
			}
			// The sum is known: a run that lost its way on the stack would give another.
			var list []felt.Felt
			want := number(depth * (depth + 1) / 2)
			if json.Unmarshal(raw, &list) != nil || len(list) != 1 || list[0] != want {
				c.fault("recurse(%d) is %s, want %s", depth, raw, want)
			}
		}
		pause(ctx, 50*time.Millisecond)
	}
}

func (recurseView) Judge(t *Tally) error { return t.happened("result", left) }

// recurseValidate sends transactions whose validation recurses, which costs their account nothing when they are refused.
type recurseValidate struct{}

func (recurseValidate) Name() string { return "recursion in __validate__" }

func (recurseValidate) Run(ctx context.Context, c *Client) {
	for ctx.Err() == nil {
		signature := []felt.Felt{number(2), number(6_500)} // 92M of the 100M gas that a validation has
		if c.Random.IntN(2) == 0 {
			signature = []felt.Felt{number(1), number(60_000)}
		}
		c.send(ctx, signature)
		pause(ctx, 3*time.Second) // what is taken is paid for, and time in blocks is what gas buys
	}
}

func (recurseValidate) Judge(t *Tally) error { return t.happened("result", "error 55", left) }

// recurseTransaction has deep recursions in a block. They are paid for and take the blocks' time, so it is one a turn: what is
// tried is whether they end the node.
type recurseTransaction struct{}

func (recurseTransaction) Name() string { return "recursion in transactions" }

func (recurseTransaction) Run(ctx context.Context, c *Client) {
	if c.Random.IntN(2) == 0 {
		c.send(ctx, nil, c.on("recurse", number(pick(c.Random, depths[2:]))))
	} else {
		c.send(ctx, nil, c.on("recurse_big", number(pick(c.Random, bigDepths[1:]))))
	}
}

func (recurseTransaction) Judge(t *Tally) error { return t.happened("acknowledged", left) }
