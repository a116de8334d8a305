package attacker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// mintNumbers asks devnet_mint for amounts that are long or have large exponents: a number of ten bytes took 20 ms, one of five
// million digits half a minute.
type mintNumbers struct{}

func (mintNumbers) Name() string { return "numbers of devnet_mint" }

func (mintNumbers) Run(ctx context.Context, c *Client) {
	mint := func(amount string) []byte {
		return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":"devnet_mint","params":[%q,%s,"FRI"]}`, c.Account.Address.Hex(), amount)
	}
	bodies := [][]byte{
		batch(400, mint("1e-1000000")), batch(400, mint("1e1000000")), batch(1000, mint("1e-999999999999")),
		mint(strings.Repeat("9", 1_000_000)), mint(strings.Repeat("9", 4_000_000)), mint("0." + strings.Repeat("0", 1_000_000) + "1"),
	}
	for ctx.Err() == nil {
		status, raw, err := c.raw(ctx, bodies[c.Random.IntN(len(bodies))])
		if err == nil {
			c.answers(status, raw)
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// answers counts each answer of a body, which may be a batch.
func (c *Client) answers(status int, raw []byte) {
	var list []answer
	if json.Unmarshal(raw, &list) != nil {
		list = make([]answer, 1)
		if err := json.Unmarshal(raw, &list[0]); err != nil {
			c.fault("status %d, no JSON: %.100s", status, raw)
			return
		}
	}
	for _, a := range list {
		c.got(outcome(status, a))
		c.named("in a batch", a.Error)
	}
}

// A sum beyond what a balance may be is refused by the token, so 63 is an answer too.
func (mintNumbers) Judge(t *Tally) error {
	if n := t.count("result"); n > 0 {
		return fmt.Errorf("%d amounts that are no amounts were minted", n)
	}
	return t.happened("error -32602", "error 63", left)
}
