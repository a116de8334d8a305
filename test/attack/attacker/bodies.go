package attacker

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// bodyFlood sends large bodies: valid ones that mean nothing, and those beyond limits.body_kib.
type bodyFlood struct{}

func (bodyFlood) Name() string { return "floods of large bodies" }

func (bodyFlood) Run(ctx context.Context, c *Client) {
	numbers := append(append([]byte("["), bytes.Repeat([]byte("1,"), 2<<20)...), "1]"...) // 4 MiB
	beyond := bytes.Repeat([]byte("x"), 6<<20)
	brackets := bytes.Repeat([]byte("["), 4<<20)
	for ctx.Err() == nil {
		body := [][]byte{numbers, beyond, brackets}[c.Random.IntN(3)]
		s, err := c.dial(ctx, 0)
		if err != nil {
			c.got(noAnswer(ctx, err))
			pause(ctx, 100*time.Millisecond)
			continue
		}
		c.sent(1)
		_ = s.SetWriteDeadline(time.Now().Add(30 * time.Second))
		wrote := s.write(body)
		status, _, err := s.read(30 * time.Second)
		switch {
		case err == nil:
			c.got(fmt.Sprintf("http %d", status))
		case wrote != nil:
			c.got(noAnswer(ctx, wrote))
		default:
			c.got(noAnswer(ctx, err))
		}
		s.close()
		pause(ctx, 100*time.Millisecond)
	}
}

func (bodyFlood) Judge(t *Tally) error { return t.happened("http 413", "http 200") }

// slowBody announces bodies and sends them a few bytes at a time, on many connections.
type slowBody struct{}

func (slowBody) Name() string { return "slow heads and bodies" }

func (slowBody) Run(ctx context.Context, c *Client) {
	const most = 200
	var open []*socket
	defer func() {
		for _, s := range open {
			s.close()
		}
	}()
	for ctx.Err() == nil {
		for len(open) < most && ctx.Err() == nil {
			s, err := c.dial(ctx, 0)
			if err != nil {
				c.got(noAnswer(ctx, err))
				break
			}
			c.sent(1)
			begin := "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-"
			if len(open)%2 == 0 {
				begin = fmt.Sprintf("%s%d\r\n\r\n{", head, 4<<20)
			}
			if _, err := s.Write([]byte(begin)); err != nil {
				c.got(noAnswer(ctx, err))
			}
			open = append(open, s)
		}
		c.add("bytes that trickled", len(open))
		for at := 0; at < len(open); at++ {
			_ = open[at].SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err := open[at].Write([]byte("1")); err != nil {
				c.got("ended by the node")
				open[at].close()
				open = append(open[:at], open[at+1:]...)
				at--
			}
		}
		pause(ctx, 500*time.Millisecond)
	}
}

func (slowBody) Judge(t *Tally) error { return t.happened("bytes that trickled") }
