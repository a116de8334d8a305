package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/coder/websocket"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/rpc/socket"
	"github.com/ordo-sequencer/ordo/core/subscriptions"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/openrpc"
)

// TestSocketTranscripts plays each file of testdata/sockets against real sockets; -rewrite writes them anew. Answers and notifications
// are checked against the specification. The commands:
//
//	open NAME [path=/ws]   opens a socket
//	call NAME METHOD       sends a request with the parameters below and prints its answer
//	send NAME              sends the text below and prints the answer
//	chain                  changes the chain, a line for each change, and prints what every socket reads of it
//	close NAME             ends a socket
//
// Ids of subscriptions are written as #1, #2 and so on.
func TestSocketTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/sockets", func(t *testing.T, path string) {
		p := newSocketPlay(t)
		datadriven.RunTest(t, path, p.run)
	})
}

// socketPlay is a world with sockets.
type socketPlay struct {
	*world
	address string
	names   []string
	sockets map[string]*websocket.Conn
	checks  map[string]*openrpc.Checker // by socket: of the version of its path
	ids     []string
	build   uint64
}

func newSocketPlay(t *testing.T) *socketPlay {
	w := newWorld(t)
	return &socketPlay{world: w, address: serve(t, w.server), sockets: map[string]*websocket.Conn{}, checks: map[string]*openrpc.Checker{}, build: 1}
}

func (p *socketPlay) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "open":
		name, path := d.CmdArgs[0].Key, "/ws"
		if d.HasArg("path") {
			d.ScanArgs(t, "path", &path)
		}
		p.sockets[name], p.checks[name] = dialSocket(t, p.address, path), checker(t, versionAt(path))
		p.names = append(p.names, name)
		return ""
	case "call":
		name, method, params := d.CmdArgs[0].Key, d.CmdArgs[1].Key, d.Input
		if params == "" {
			params = "[]"
		}
		for i, id := range p.ids {
			params = strings.ReplaceAll(params, fmt.Sprintf("#%d", i+1), id)
		}
		sendText(t, p.sockets[name], `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+params+`}`)
		text := readText(t, p.sockets[name])
		var answer struct{ Result, Error json.RawMessage }
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatal(err)
		}
		if err := p.checks[name].Answer(method, answer.Result, answer.Error); err != nil {
			t.Error(err)
		}
		var id string
		if strings.HasPrefix(method, "starknet_subscribe") && json.Unmarshal(answer.Result, &id) == nil && id != "" {
			p.ids = append(p.ids, id)
		}
		p.settle(t)
		return p.shown(text) + p.told(t)
	case "send":
		sendText(t, p.sockets[d.CmdArgs[0].Key], d.Input)
		return p.shown(readText(t, p.sockets[d.CmdArgs[0].Key]))
	case "chain":
		for line := range strings.Lines(d.Input) {
			p.change(t, strings.Fields(line))
			p.settle(t)
		}
		return p.told(t)
	case "close":
		p.sockets[d.CmdArgs[0].Key].Close(websocket.StatusNormalClosure, "")
		delete(p.sockets, d.CmdArgs[0].Key)
		waitFor(t, func() bool { return p.server.SocketStats().Open == len(p.sockets) })
		return fmt.Sprintf("%d subscriptions\n", p.server.SocketStats().Subscriptions)
	}
	t.Fatalf("unknown command %s", d.Cmd)
	return ""
}

// change is one line of the command chain. A block that is decided has what the open one has.
func (p *socketPlay) change(t *testing.T, words []string) {
	number := func(i int) (n uint64) {
		if _, err := fmt.Sscan(words[i], &n); err != nil {
			t.Fatal(words, err)
		}
		return n
	}
	txs := func(i int) (list []*ordov1.Transaction) {
		for ; i < len(words); i++ {
			list = append(list, account(ordov1.TransactionType_INVOKE, number(i), number(i)&0xff))
		}
		return list
	}
	switch words[0] {
	case "received":
		for _, tx := range txs(1) {
			p.chain.Received(tx)
		}
	case "open":
		p.build++
		p.chain.Open(p.build, blockContext(number(1)))
	case "candidates":
		p.chain.Candidates(p.build, txs(1), nil)
	case "ran": // each emits one event of 0x99
		var results []*ordov1.TransactionResult
		for i := range txs(1) {
			results = append(results, result(number(1+i), emitted(0x99, fes(0xe1, number(1+i)), fes(7))))
		}
		p.chain.Preconfirm(p.build, results, nil)
	case "dropped":
		p.chain.ResetPreconfirmed(p.build)
	case "expired":
		p.chain.Drop(Key(fe(number(1))), mempool.ErrExpired)
	case "decided":
		open := p.chain.Snapshot().Open()
		header := &ordov1.BlockHeader{Context: open.Context}
		p.chain.Closed(p.build)
		p.chain.Decide(chainview.NewBlock(header, open.Transactions[:len(open.Results)], open.Results, &ordov1.StateDiff{}, nil))
	case "accepted":
		n := number(1)
		b := p.chain.Unaccepted(n)
		stored := accepted(n, b.Transactions, b.Results, &ordov1.StateDiff{})
		p.storage.Stored = append(p.storage.Stored, stored)
		p.storage.trueRoots()
		p.chain.Accept(stored.Header)
	default:
		t.Fatalf("unknown change %v", words)
	}
}

// settle waits until all that happened is told and sent.
func (p *socketPlay) settle(t *testing.T) { settled(t, p.server) }

func settled(t *testing.T, s *Server) {
	t.Helper()
	waitFor(t, func() bool {
		b := &s.broker
		b.mu.Lock()
		defer b.mu.Unlock()
		live := true
		if b.hub != nil {
			b.hub.Each(func(sub *subscriptions.Subscription) { live = live && sub.State() == subscriptions.Live })
		}
		return live && (b.hub == nil || b.seen == s.Chain.Seq())
	})
	s.sockets.Each(func(c *socket.Conn) { _ = c.Drained(t.Context(), 0) })
}

// told reads from every socket what it was told: a request shows where that ends.
func (p *socketPlay) told(t *testing.T) string {
	var out strings.Builder
	for _, name := range p.names {
		ws := p.sockets[name]
		if ws == nil {
			continue
		}
		for _, text := range readTo(t, ws) {
			var n struct {
				Method string
				Params struct{ Result json.RawMessage }
			}
			if err := json.Unmarshal(text, &n); err != nil {
				t.Fatal(err)
			}
			if err := p.checks[name].CheckParam(n.Method, "result", n.Params.Result); err != nil {
				t.Errorf("%s: %v\n%s", n.Method, err, text)
			}
			fmt.Fprintf(&out, "%s <- %s", name, p.shown(text))
		}
	}
	return out.String()
}

var felt64 = regexp.MustCompile(`"0x[0-9a-f]{50,}"`)

// shown writes ids as the transcript has them, and roots without their digits.
func (p *socketPlay) shown(text []byte) string {
	out := string(text)
	for i, id := range p.ids {
		out = strings.ReplaceAll(out, id, fmt.Sprintf("#%d", i+1))
	}
	return felt64.ReplaceAllString(out, `"0x..."`) + "\n"
}

func dialSocket(t testing.TB, address, path string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), "ws://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	t.Cleanup(func() { ws.CloseNow() })
	return ws
}

func sendText(t testing.TB, ws *websocket.Conn, text string) {
	t.Helper()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func readText(t testing.TB, ws *websocket.Conn) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, text, err := ws.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// readTo reads what was sent up to now.
func readTo(t testing.TB, ws *websocket.Conn) (list [][]byte) {
	t.Helper()
	sendText(t, ws, `{"jsonrpc":"2.0","id":"mark","method":"starknet_chainId"}`)
	for {
		text := readText(t, ws)
		if strings.Contains(string(text), `"id":"mark"`) {
			return list
		}
		list = append(list, text)
	}
}
