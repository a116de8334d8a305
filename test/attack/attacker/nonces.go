package attacker

import (
	"context"
	"time"
)

// nonceSpam fills the pool with transactions that wait for a nonce, and replaces them by dearer ones.
type nonceSpam struct{}

func (nonceSpam) Name() string { return "nonce gaps and replacements" }

func (nonceSpam) Run(ctx context.Context, c *Client) {
	account := *c.Account
	spender := *c
	spender.Account = &account
	for ctx.Err() == nil {
		nonce, err := c.Node.Nonce(ctx, "pre_confirmed", c.Account.Address)
		if err != nil {
			pause(ctx, 200*time.Millisecond)
			continue
		}
		gap := nonce + 2 + c.Random.Uint64N(300) // limits.nonce_gap is 200
		account.Tip = c.Random.Uint64N(1 << 30)
		account.Bounds.L2Gas.MaxPrice.Lo += c.Random.Uint64N(1 << 30)
		c.call(ctx, "starknet_addInvokeTransaction", map[string]any{"invoke_transaction": spender.invoke(gap, nil)})
		if c.Random.IntN(50) == 0 { // the gap is closed and a part of them runs
			c.call(ctx, "starknet_addInvokeTransaction", map[string]any{"invoke_transaction": c.invoke(nonce, nil)})
		}
		pause(ctx, 10*time.Millisecond)
	}
}

func (nonceSpam) Judge(t *Tally) error { return t.happened("result") }

// leaver asks for something that takes long and leaves.
type leaver struct{}

func (leaver) Name() string { return "clients that leave" }

func (leaver) Run(ctx context.Context, c *Client) {
	stranger := request(1, "starknet_call", map[string]any{"request": functionCall(c.Contract, "info_loop", number(10_000_000)), "block_id": "latest"})
	trace := request(1, "starknet_traceBlockTransactions", []any{block(c.Heavy[0])})
	events := batch(100, request(1, "starknet_getEvents", []any{map[string]any{"from_block": block(0), "to_block": "latest", "chunk_size": 1000}}))
	for ctx.Err() == nil {
		s, err := c.dial(ctx, window)
		if err != nil {
			c.got(noAnswer(ctx, err))
			pause(ctx, 100*time.Millisecond)
			continue
		}
		c.sent(1)
		if s.write([][]byte{stranger, trace, events}[c.Random.IntN(3)]) == nil {
			c.got("left behind")
		}
		pause(ctx, 100*time.Millisecond)
		s.close()
	}
}

func (leaver) Judge(t *Tally) error { return t.happened("left behind") }
