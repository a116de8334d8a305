package attacker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// foreignPage sends what a page of another site may send from a browser without asking first: a form, or text. Methods that change
// or reveal must refuse it.
type foreignPage struct{}

func (foreignPage) Name() string { return "requests of foreign pages" }

func (foreignPage) Run(ctx context.Context, c *Client) {
	asks := [][]byte{
		request(1, "devnet_getPredeployedAccounts", []any{}),
		request(1, "devnet_mint", []any{c.Account.Address.Hex(), 1000, "FRI"}),
		request(1, "devnet_setTime", []any{253402300799}),
		request(1, "devnet_increaseTime", []any{1}),
		request(1, "devnet_createBlock", []any{}),
		batch(100, request(1, "devnet_createBlock", []any{})),
	}
	shapes := []http.Header{
		{"Content-Type": {"text/plain"}, "Origin": {"https://evil.example"}},
		{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {"https://evil.example"}},
		{"Content-Type": {"text/plain;charset=UTF-8"}},
		{"Origin": {"null"}},
		{"Content-Type": {"application/json"}, "Origin": {"https://evil.example"}}, // after a preflight that a node must not grant
		{"Content-Type": {"multipart/form-data; boundary=x"}, "Referer": {"https://evil.example/"}},
	}
	for ctx.Err() == nil {
		ask, shape := asks[c.Random.IntN(len(asks))], shapes[c.Random.IntN(len(shapes))]
		c.sent(1)
		post, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(ask))
		if err != nil {
			panic(err)
		}
		post.Header = shape.Clone()
		response, err := c.Node.HTTP.Do(post)
		if err != nil {
			c.got(noAnswer(ctx, err))
			continue
		}
		raw, err := io.ReadAll(response.Body)
		response.Body.Close()
		switch {
		case err != nil:
			c.got(noAnswer(ctx, err))
		case bytes.Contains(raw, []byte(`"result"`)):
			c.fault("%v is given a result: %.80s: %.200s", shape, ask, raw)
		default:
			c.got(fmt.Sprintf("refused, http %d", response.StatusCode))
		}
		pause(ctx, 50*time.Millisecond)
	}
}

func (foreignPage) Judge(t *Tally) error { return t.happened("refused") }
