package attacker

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func world(url string) *World {
	return &World{
		URL: url, Bounds: client.WideBounds(), Contract: number(1), Accounts: []felt.Felt{number(2)}, Stranger: number(3), Token: number(4),
		Classes: []felt.Felt{number(5)}, Class: []byte(`{"sierra_program":["0x1"],"abi":""}`), Heavy: []uint64{1}, Hash: "0x7",
	}
}

// once gives an attack one short turn.
func once(t *testing.T, a Attacker, w *World) *Tally {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	c := NewClient(ctx, w, 0, 1)
	tally := NewTally(a.Name())
	tally.Turn()
	a.Run(ctx, c.For(tally)) // one that does not end fails by the test's own limit
	c.Close()
	return tally
}

// TestNothingReached: an attack on an address where nothing listens is no attack that was withstood.
func TestNothingReached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	l.Close()
	for _, a := range All() {
		t.Run(a.Name(), func(t *testing.T) {
			t.Parallel()
			if tally := once(t, a, world(url)); a.Judge(tally) == nil {
				t.Errorf("sent %d, %s: judged as withstood", tally.Sent, tally.Summary())
			}
		})
	}
}

// TestServerThatGivesAll: a server that answers everything with a result, as a node does that refuses nothing, is told from one
// that refuses what it must; and every attack sends something and ends with its turn.
func TestServerThatGivesAll(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var asked struct {
			Method string `json:"method"`
		}
		_ = json.Unmarshal(body, &asked)
		switch {
		case asked.Method == "starknet_blockHashAndNumber":
			io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"block_hash":"0x1"}}`)
		case asked.Method == "starknet_call":
			io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":["0x1"]}`)
		default:
			io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":"0x1"}`)
		}
	}))
	t.Cleanup(server.Close)
	mustRefuse := map[string]string{
		foreignPage{}.Name(): "is given a result", mintNumbers{}.Name(): "were minted", declareFlood{}.Name(): "were taken from strangers",
		recurseView{}.Name(): "want",
	}
	for _, a := range All() {
		t.Run(a.Name(), func(t *testing.T) {
			t.Parallel()
			words := mustRefuse[a.Name()]
			for try := 1; ; try++ { // a slow machine may not get through a request in one turn
				tally := once(t, a, world(server.URL))
				err := a.Judge(tally)
				if tally.Sent > 0 && (words == "" || err != nil && strings.Contains(err.Error(), words)) {
					return
				}
				if try == 50 {
					t.Fatalf("sent %d, %s: %v, want an error with %q", tally.Sent, tally.Summary(), err, words)
				}
			}
		})
	}
}

// TestTally: faults are kept and bounded, and decide.
func TestTally(t *testing.T) {
	y := NewTally("x")
	y.Turn()
	y.sent(1)
	y.got("result")
	if err := y.happened("result"); err != nil {
		t.Error(err)
	}
	if y.happened("error") == nil {
		t.Error("what did not come back has come back")
	}
	for range 100 {
		y.fault("wrong %s", strings.Repeat("x", 5000))
	}
	if err := y.happened("result"); err == nil || !strings.Contains(err.Error(), "100 answers") || len(y.Faults) > faultsKept || len(y.Faults[0]) > 600 {
		t.Errorf("%v, %d kept", err, len(y.Faults))
	}
}
