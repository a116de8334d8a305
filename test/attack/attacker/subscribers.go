package attacker

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"time"
)

// upgrade asks for a WebSocket.
const upgrade = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: b3JkbyBpcyBhdHRhY2tlZA==\r\n\r\n"

// Opcodes of frames.
const (
	textFrame  = 0x81
	binaryData = 0x82
	pingFrame  = 0x89
	moreText   = 0x01 // the first of several
)

// frame is what a client sends, masked with zeros.
func frame(kind byte, payload []byte) []byte {
	out := []byte{kind}
	switch n := len(payload); {
	case n < 126:
		out = append(out, 0x80|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 0x80|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 0x80|127), uint64(n))
	}
	return append(append(out, 0, 0, 0, 0), payload...)
}

// subscriptions asks for everything there is, n times.
func subscriptions(n int) (out []byte) {
	for i := range n {
		out = append(out, frame(textFrame, request(i, "starknet_subscribeEvents", map[string]any{"finality_status": "PRE_CONFIRMED"}))...)
		out = append(out, frame(textFrame, request(i, "starknet_subscribeNewTransactions", []any{[]string{"RECEIVED", "CANDIDATE", "PRE_CONFIRMED", "ACCEPTED_ON_L2"}}))...)
	}
	return out
}

// deafSubscriber has dozens of subscriptions on each socket, and reads none of what it is told.
type deafSubscriber struct{}

func (deafSubscriber) Name() string { return "subscribers that do not read" }

func (deafSubscriber) Run(ctx context.Context, c *Client) {
	all := append([]byte(upgrade), subscriptions(30)...)
	c.deaf(ctx, 60, func(s *socket, _ int) error {
		_, err := s.Write(all)
		return err
	})
}

func (deafSubscriber) Judge(t *Tally) error { return t.happened("http 101", "http 503") }

// damagedSocket sends what is no message: frames that are cut short, not masked, too large, of no kind, without an end; and leaves.
type damagedSocket struct{}

func (damagedSocket) Name() string { return "damaged messages over sockets" }

func (damagedSocket) Run(ctx context.Context, c *Client) {
	ask := request(1, "starknet_subscribeNewHeads", []any{block(0)})
	shapes := [][]byte{
		frame(textFrame, ask),
		frame(textFrame, ask)[:20],
		frame(textFrame, []byte("{")),
		frame(textFrame, batch(1000, request(1, "starknet_subscribeTransactionStatus", []any{"0x1"}))),
		frame(textFrame, bytes.Repeat([]byte{0xff}, 100)),
		frame(binaryData, ask),
		append([]byte{textFrame, byte(len(ask))}, ask...),                            // not masked
		append([]byte{textFrame, 0x80 | 127, 0x7f}, bytes.Repeat([]byte{1}, 200)...), // of 2^62 bytes
		{0xff, 0x80, 0, 0, 0, 0},                                                     // of no kind
		bytes.Repeat(frame(moreText, []byte("[")), 100),
		bytes.Repeat(frame(pingFrame, []byte("ping")), 1000),
		subscriptions(600), // beyond limits.subscriptions
	}
	for ctx.Err() == nil {
		s, err := c.dial(ctx, 0)
		if err != nil {
			c.got(noAnswer(ctx, err))
			pause(ctx, 100*time.Millisecond)
			continue
		}
		c.sent(1)
		_ = s.SetDeadline(time.Now().Add(2 * time.Second))
		_, _ = s.Write([]byte(upgrade))
		response, err := http.ReadResponse(s.in, nil)
		if err != nil {
			c.got(noAnswer(ctx, err))
			s.close()
			continue
		}
		c.got(fmt.Sprintf("http %d", response.StatusCode))
		response.Body.Close()
		for range 1 + c.Random.IntN(3) {
			_, _ = s.Write(shapes[c.Random.IntN(len(shapes))])
		}
		some := make([]byte, 4<<10)
		for c.Random.IntN(4) > 0 {
			if _, err := s.in.Read(some); err != nil {
				c.got(noAnswer(ctx, err))
				break
			}
		}
		s.close()
		pause(ctx, 5*time.Millisecond)
	}
}

func (damagedSocket) Judge(t *Tally) error { return t.happened("http 101", "http 503") }
