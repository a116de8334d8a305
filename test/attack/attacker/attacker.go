// Package attacker holds what clients may do to a node, one attack a file: each counts what it sent and what came back.
// So a run that did not reach the node cannot pass for one that the node has withstood.
package attacker

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Attacker is one kind of attack. A value has no state: several clients may run it at the same time.
type Attacker interface {
	Name() string
	// Run attacks until the context ends, and counts in c. It is bounded by itself in what it sends and what it holds.
	Run(ctx context.Context, c *Client)
	// Judge looks at the sum of all runs: nil when the attack took place and nothing came back that must not.
	Judge(t *Tally) error
}

// All lists every attack.
func All() []Attacker {
	return []Attacker{
		recurseView{}, recurseValidate{}, recurseTransaction{}, bombView{}, bombTransaction{}, infoEstimate{}, heavyTrace{},
		deafClasses{}, slowReader{}, bodyFlood{}, slowBody{}, mintNumbers{}, foreignPage{}, declareFlood{}, pipelined{},
		batchFlood{}, callFlood{}, connectionFlood{}, damagedJSON{}, damagedHTTP{}, nonceSpam{}, simulateFlood{}, leaver{},
		deafSubscriber{}, damagedSocket{},
	}
}

// World is what the attackers know of the node and have on its chain.
type World struct {
	URL      string                  `json:"url"`
	Chain    felt.Felt               `json:"chain"`
	Bounds   starknet.ResourceBounds `json:"bounds"`
	Contract felt.Felt               `json:"contract"` // of contracts/cairo/attack.cairo
	Accounts []felt.Felt             `json:"accounts"` // of contracts/cairo/attack_account.cairo, which take any signature; one a client
	Stranger felt.Felt               `json:"stranger"` // a funded account whose key the attackers do not have
	Token    felt.Felt               `json:"token"`
	Classes  []felt.Felt             `json:"classes"` // declared ones
	Class    []byte                  `json:"class"`   // a class definition, in the shape of the JSON-RPC
	Heavy    []uint64                `json:"heavy"`   // numbers of blocks that are costly to trace and to read
	Hash     string                  `json:"hash"`    // of a transaction in the first of them
}

// Client is one attacking client: an address of its own on the loopback network, and an account of its own.
type Client struct {
	*World
	*Tally
	Node    client.Node
	Account *client.Account
	Random  *rand.Rand
	dialer  *net.Dialer
	http    *http.Transport
	whole   context.Context // of all turns
	held    *sync.WaitGroup // what goes on behind a turn
}

// requestTimeout is beyond what the node may take for a body: limits.request_timeout and the time to send.
const requestTimeout = 4 * time.Minute

// NewClient is the client of a number; two of the same seed and number do the same. The context is that of all its turns.
func NewClient(whole context.Context, w *World, number int, seed uint64) *Client {
	c := &Client{World: w, Random: rand.New(rand.NewPCG(seed, uint64(number))), whole: whole, held: new(sync.WaitGroup)}
	// 127.0.0.2 and up: limits by address then see a dozen clients, and the honest one at 127.0.0.1 is none of them.
	c.dialer = &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+number%250))}, Timeout: 20 * time.Second}
	c.http = &http.Transport{DialContext: c.dialer.DialContext, MaxIdleConnsPerHost: 16, MaxConnsPerHost: 700}
	c.Node = client.Node{URL: w.URL, HTTP: &http.Client{Transport: c.http, Timeout: requestTimeout}}
	if len(w.Accounts) > 0 {
		c.Account = &client.Account{Address: w.Accounts[number%len(w.Accounts)], Key: felt.FromUint64(uint64(number) + 1), Chain: w.Chain, Bounds: w.Bounds}
	}
	return c
}

// For is the client with the counters of one attack.
func (c *Client) For(t *Tally) *Client {
	d := *c
	d.Tally = t
	return &d
}

// Close waits for what goes on behind the turns, which ends with the context of all, and ends its connections.
func (c *Client) Close() {
	c.held.Wait()
	c.http.CloseIdleConnections()
}

// Tally counts what one attack sent and what came back. Safe for concurrent use.
type Tally struct {
	mu       sync.Mutex
	Name     string         `json:"name"`
	Turns    int            `json:"turns"`
	Sent     int            `json:"sent"`     // requests, or connections where those are the attack
	Outcomes map[string]int `json:"outcomes"` // "result", "error -32005", "http 503", "no answer: ...", and the attack's own words
	Faults   []string       `json:"faults"`   // answers that no node may give
	faults   int
}

// NewTally begins at zero.
func NewTally(name string) *Tally { return &Tally{Name: name, Outcomes: map[string]int{}} }

// Turn counts a run.
func (t *Tally) Turn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Turns++
}

// sent counts requests.
func (t *Tally) sent(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Sent += n
}

// got counts an outcome.
func (t *Tally) got(outcome string) { t.add(outcome, 1) }

func (t *Tally) add(outcome string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Outcomes[outcome] += n
}

// faultsKept bounds the list of faults: the first ones tell enough.
const faultsKept = 8

// fault keeps an answer that no node may give.
func (t *Tally) fault(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.faults++; len(t.Faults) < faultsKept {
		text := fmt.Sprintf(format, args...)
		t.Faults = append(t.Faults, text[:min(len(text), 600)])
	}
}

// count is the number of outcomes that begin with one of the words.
func (t *Tally) count(prefixes ...string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for outcome, times := range t.Outcomes {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(outcome, p) }) {
			n += times
		}
	}
	return n
}

// Summary lists the outcomes, the most frequent first.
func (t *Tally) Summary() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(t.Outcomes), func(a, b string) int {
		if d := t.Outcomes[b] - t.Outcomes[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var list []string
	for _, key := range keys {
		list = append(list, fmt.Sprintf("%s %d", key, t.Outcomes[key]))
	}
	return strings.Join(list, ", ")
}

// left is the outcome of a request whose answer did not come within the turn: the node was at work on it.
const left = "left at the end of the turn"

// happened is the judgement that all attacks share: it ran, the node was reached, and no answer was one of those that a node may
// not give. reached are the outcomes that prove it.
func (t *Tally) happened(reached ...string) error {
	switch {
	case len(t.Faults) > 0:
		return fmt.Errorf("%d answers that must not be, such as: %s", max(t.faults, len(t.Faults)), t.Faults[0])
	case t.Turns == 0:
		return fmt.Errorf("it had no turn: the run was too short")
	case t.Sent == 0:
		return fmt.Errorf("nothing was sent")
	case t.count(reached...) == 0:
		return fmt.Errorf("none of %d requests was answered with %s, but: %s", t.Sent, strings.Join(reached, " or "), t.Summary())
	}
	return nil
}

// pause waits a moment; false when the context has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
