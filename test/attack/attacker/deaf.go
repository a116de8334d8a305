package attacker

import (
	"context"
	"io"
	"time"
)

// window is a small receive buffer: what the client does not read stays with the node.
const window = 4 << 10

// deafClasses asks for 110 classes a socket and reads nothing: thirty such sockets took 3 GB.
type deafClasses struct{}

func (deafClasses) Name() string { return "class readers that do not read" }

func (deafClasses) Run(ctx context.Context, c *Client) {
	c.deaf(ctx, 60, func(s *socket, i int) error {
		return s.write(batch(110, request(1, "starknet_getClass", []any{"latest", c.Classes[i%len(c.Classes)].Hex()})))
	})
}

func (deafClasses) Judge(t *Tally) error {
	return t.happened("held to the end", "no answer: ", "http 503", "http 200")
}

// holdFor is how long sockets are held that are not read: longer than a turn, and than a node may wait for a reader of such an
// answer (limits.send_timeout and its size by limits.send_rate).
const holdFor = 100 * time.Second

// deaf opens up to n sockets, sends a request on each, reads nothing, and looks a good while later what is there. The client goes
// on with other attacks meanwhile.
func (c *Client) deaf(ctx context.Context, n int, ask func(s *socket, i int) error) {
	holding, enough := context.WithTimeout(c.whole, holdFor)
	var open []*socket
	for i := 0; i < n && ctx.Err() == nil; i++ {
		s, err := c.dial(context.WithoutCancel(ctx), window) // the end of the turn must not close it before it was looked at
		if err != nil {
			c.got(noAnswer(ctx, err))
			pause(ctx, 100*time.Millisecond)
			continue
		}
		c.sent(1)
		_ = s.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if err := ask(s, i); err != nil {
			c.got(noAnswer(ctx, err))
		}
		open = append(open, s)
		pause(ctx, 50*time.Millisecond)
	}
	c.held.Go(func() {
		defer enough()
		<-holding.Done()
		for _, s := range open {
			c.look(s)
			s.close()
		}
	})
	<-ctx.Done()
}

// look counts what is there on a socket that was not read.
func (c *Client) look(s *socket) {
	one := make([]byte, 12)
	_ = s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	switch n, err := io.ReadFull(s.in, one); {
	case n == 12:
		c.got("http " + string(one[9:12]))
	case err != nil && noAnswer(context.Background(), err) == "no answer: timeout":
		c.got("held to the end")
	default:
		c.got(noAnswer(context.Background(), err))
	}
}

// slowReader asks for events, blocks and traces and reads a few bytes at a time, below limits.send_rate.
type slowReader struct{}

func (slowReader) Name() string { return "slow readers" }

func (slowReader) Run(ctx context.Context, c *Client) {
	asks := [][]byte{
		batch(50, request(1, "starknet_getEvents", []any{map[string]any{"from_block": block(0), "to_block": "latest", "chunk_size": 1000}})),
		batch(50, request(1, "starknet_getBlockWithReceipts", []any{block(c.Heavy[0])})),
		batch(50, request(1, "starknet_getBlockWithTxs", []any{block(c.Heavy[0])})),
		batch(4, request(1, "starknet_traceBlockTransactions", []any{block(c.Heavy[len(c.Heavy)-1])})),
		batch(200, request(1, "starknet_getCompiledCasm", []any{c.Classes[0].Hex()})),
	}
	var open []*socket
	defer func() {
		for _, s := range open {
			s.close()
		}
	}()
	for i := 0; ctx.Err() == nil; i++ {
		if len(open) < 30 {
			if s, err := c.dial(ctx, window); err == nil {
				c.sent(1)
				_ = s.SetWriteDeadline(time.Now().Add(10 * time.Second))
				if s.write(asks[i%len(asks)]) == nil {
					open = append(open, s)
				} else {
					s.close()
				}
			}
		}
		some := make([]byte, 64)
		for at := 0; at < len(open); at++ {
			_ = open[at].SetReadDeadline(time.Now().Add(time.Millisecond))
			n, err := open[at].Read(some)
			if n > 0 {
				c.got("bytes were read")
			}
			if err != nil && noAnswer(ctx, err) != "no answer: timeout" {
				c.got(noAnswer(ctx, err))
				open[at].close()
				open = append(open[:at], open[at+1:]...)
				at--
			}
		}
		pause(ctx, 200*time.Millisecond)
	}
}

func (slowReader) Judge(t *Tally) error { return t.happened("bytes were read", left) }
