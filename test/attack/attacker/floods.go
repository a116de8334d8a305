package attacker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
)

// pipelined writes 10,000 requests into one socket and reads their answers meanwhile.
type pipelined struct{}

func (pipelined) Name() string { return "10,000 pipelined requests" }

func (pipelined) Run(ctx context.Context, c *Client) {
	const n = 10_000
	body := request(1, "starknet_chainId", []any{})
	for ctx.Err() == nil {
		s, err := c.dial(ctx, 0)
		if err != nil {
			c.got(noAnswer(ctx, err))
			pause(ctx, 100*time.Millisecond)
			continue
		}
		var wrote sync.WaitGroup
		wrote.Go(func() {
			for range n {
				if s.write(body) != nil {
					return
				}
			}
		})
		c.sent(n)
		answered := 0
		for ; answered < n; answered++ {
			if _, _, err = s.read(30 * time.Second); err != nil {
				c.got(noAnswer(ctx, err))
				break
			}
		}
		c.add("answers", answered)
		s.close()
		wrote.Wait()
		pause(ctx, time.Second)
	}
}

func (pipelined) Judge(t *Tally) error { return t.happened("answers") }

// batchFlood sends batches of a thousand: estimates, reads, notifications.
type batchFlood struct{}

func (batchFlood) Name() string { return "batches of 1,000" }

func (batchFlood) Run(ctx context.Context, c *Client) {
	balance := functionCall(c.Token, "balance_of", c.Stranger)
	asks := [][]byte{
		batch(1000, request(1, "starknet_call", map[string]any{"request": balance, "block_id": "latest"})),
		batch(1000, request(1, "starknet_getStorageAt", []any{c.Token.Hex(), "0x1", "latest"})),
		batch(1000, request(1, "starknet_getBlockWithTxs", []any{block(c.Heavy[0])})),
		batch(1000, []byte(`{"jsonrpc":"2.0","method":"starknet_chainId","params":[]}`)),
		batch(1001, request(1, "starknet_chainId", []any{})),
	}
	for ctx.Err() == nil {
		status, raw, err := c.raw(ctx, asks[c.Random.IntN(len(asks))])
		switch {
		case err != nil:
		case status == http.StatusNoContent:
			c.got("http 204")
		default:
			c.answers(status, raw)
		}
		pause(ctx, 200*time.Millisecond)
	}
}

func (batchFlood) Judge(t *Tally) error { return t.happened("result", "error", left) }

// callFlood is ordinary test code that calls 600 views at once.
type callFlood struct{}

func (callFlood) Name() string { return "600 calls at once" }

func (callFlood) Run(ctx context.Context, c *Client) {
	for ctx.Err() == nil {
		var all sync.WaitGroup
		for range 600 {
			all.Go(func() {
				c.call(ctx, "starknet_call", map[string]any{"request": functionCall(c.Token, "balance_of", c.Stranger), "block_id": "latest"})
			})
		}
		all.Wait()
		pause(ctx, time.Second)
	}
}

func (callFlood) Judge(t *Tally) error { return t.happened("result") }

// simulateFlood simulates as many transactions in a request as a node takes.
type simulateFlood struct{}

func (simulateFlood) Name() string { return "simulations of 128" }

func (simulateFlood) Run(ctx context.Context, c *Client) {
	for ctx.Err() == nil {
		nonce, err := c.Node.Nonce(ctx, "latest", c.Account.Address)
		if err != nil {
			pause(ctx, 200*time.Millisecond)
			continue
		}
		list := make([]any, 128)
		for i := range list {
			call := client.Call{To: c.Token, Selector: keccak.Selector("transfer"), Calldata: client.Transfer(c.Token, c.Stranger, 1).Calldata}
			list[i] = c.invoke(nonce+uint64(i), nil, call, call, call)
		}
		body := request(1, "starknet_simulateTransactions", []any{"latest", list, []string{"SKIP_VALIDATE", "SKIP_FEE_CHARGE"}})
		c.post(ctx, "starknet_simulateTransactions", body)
		pause(ctx, 100*time.Millisecond)
	}
}

func (simulateFlood) Judge(t *Tally) error { return t.happened("result", "error -32005", left) }

// connectionFlood opens 1,200 connections, asks once on each, and keeps them open.
type connectionFlood struct{}

func (connectionFlood) Name() string { return "1,200 connections" }

func (connectionFlood) Run(ctx context.Context, c *Client) {
	const n = 1200
	body := request(1, "starknet_chainId", []any{})
	for ctx.Err() == nil {
		var mu sync.Mutex
		var open []*socket
		var all sync.WaitGroup
		next := make(chan struct{}, n)
		for range n {
			next <- struct{}{}
		}
		close(next)
		for range 100 {
			all.Go(func() {
				for range next {
					if ctx.Err() != nil {
						return
					}
					c.sent(1)
					s, err := c.dial(ctx, 0)
					if err != nil {
						c.got("not connected, " + noAnswer(ctx, err))
						continue
					}
					mu.Lock()
					open = append(open, s)
					mu.Unlock()
					wrote := s.write(body)
					status, _, err := s.read(30 * time.Second)
					if err = errors.Join(err, wrote); err != nil && status == 0 {
						c.got(noAnswer(ctx, err))
						continue
					}
					c.got(fmt.Sprintf("http %d", status))
				}
			})
		}
		all.Wait()
		pause(ctx, 2*time.Second)
		for _, s := range open {
			s.close()
		}
	}
}

func (connectionFlood) Judge(t *Tally) error { return t.happened("http 200") }
