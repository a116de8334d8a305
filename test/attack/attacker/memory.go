package attacker

import (
	"context"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
)

// nothing is a selector that no contract has: the call fails, and what was copied for it is kept.
var nothing = keccak.Selector("no such entry point")

// bombView calls with 200,000 felts of calldata again and again: a copy is kept of each, and gas does not price it. 400 calls took
// 3.5 GB.
type bombView struct{}

func (bombView) Name() string { return "memory of views" }

func (bombView) Run(ctx context.Context, c *Client) {
	for ctx.Err() == nil {
		calls := []uint64{100, 400, 2000}[c.Random.IntN(3)]
		_, e := c.view(ctx, "call_bomb", number(200_000), number(calls), c.Contract, nothing)
		c.refusedByName(e)
		pause(ctx, 200*time.Millisecond)
	}
}

// refusedByName counts answers that tell the operator which setting bounds the memory.
func (c *Client) refusedByName(e *client.Error) {
	if e != nil && strings.Contains(e.Error(), "view_mib") {
		c.got("named limits.view_mib")
	}
}

func (bombView) Judge(t *Tally) error { return t.happened("result", "error 40", "error -32005", left) }

// bombTransaction is the same in a transaction, which a block would hold for ever, and which every client could have traced.
type bombTransaction struct{}

func (bombTransaction) Name() string { return "memory of transactions" }

func (bombTransaction) Run(ctx context.Context, c *Client) {
	calls := []uint64{500, 2000}[c.Random.IntN(2)]
	c.send(ctx, nil, c.on("call_bomb", number(100_000), number(calls), c.Contract, nothing)) // one a turn, as recurseTransaction
}

func (bombTransaction) Judge(t *Tally) error { return t.happened("acknowledged", "error", left) }

// infoEstimate estimates a transaction of 4,000 felts of signature that asks for itself 80,000 times: machine code kept 125 KB each
// time. Validation is skipped, so it may be in the name of any account.
type infoEstimate struct{}

func (infoEstimate) Name() string { return "get_execution_info in estimates" }

func (infoEstimate) Run(ctx context.Context, c *Client) {
	stranger := *c
	account := *c.Account
	account.Address = c.Stranger
	stranger.Account = &account
	signature := make([]felt.Felt, 4000)
	for i := range signature {
		signature[i] = number(uint64(i))
	}
	for ctx.Err() == nil {
		nonce, err := c.Node.Nonce(ctx, "latest", c.Stranger)
		if err != nil {
			pause(ctx, 200*time.Millisecond)
			continue
		}
		loops := []uint64{1000, 10_000, 80_000}[c.Random.IntN(3)]
		_, e := c.call(ctx, "starknet_estimateFee", map[string]any{
			"request":          []any{stranger.invoke(nonce, signature, c.on("info_loop", number(loops)))},
			"simulation_flags": []string{"SKIP_VALIDATE"}, "block_id": "latest",
		})
		c.refusedByName(e)
		pause(ctx, 200*time.Millisecond)
	}
}

func (infoEstimate) Judge(t *Tally) error {
	return t.happened("result", "error 41", "error -32005", left)
}

// heavyTrace has blocks traced whose trace is large: what each call was given is in it.
type heavyTrace struct{}

func (heavyTrace) Name() string { return "traces of heavy blocks" }

func (heavyTrace) Run(ctx context.Context, c *Client) {
	for ctx.Err() == nil {
		if c.Random.IntN(3) == 0 {
			c.call(ctx, "starknet_traceTransaction", []any{c.Hash})
		} else {
			c.call(ctx, "starknet_traceBlockTransactions", []any{block(c.Heavy[c.Random.IntN(len(c.Heavy))])})
		}
		pause(ctx, 200*time.Millisecond)
	}
}

func (heavyTrace) Judge(t *Tally) error { return t.happened("result", "error", left) }

func block(n uint64) map[string]any { return map[string]any{"block_number": n} }
