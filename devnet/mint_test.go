package devnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/rpc"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// TestDecimal: amounts are whole numbers below 2^256 in any notation of JSON, and what is refused costs nothing to refuse.
func TestDecimal(t *testing.T) {
	most := "115792089237316195423570985008687907853269984665640564039457584007913129639935"
	for text, want := range map[string]string{
		"0": "0", "7": "7", "1000": "1000", "1e+21": "1000000000000000000000", "1E2": "100", "1.5e1": "15", "12.50e2": "1250", "100e-2": "1", "0e9": "0", "0.0": "0", "3.0": "3",
		"0e-1000": "0", most: most, "1e77": "1" + strings.Repeat("0", 77), strings.Repeat("1", 78): strings.Repeat("1", 78)[:78],
		"-1": "", "-0": "", "1.5": "", "1e-1": "", "1e78": "", "": "", "e5": "", ".5": "", "1e": "", "1e+": "", "1e+-5": "", "1e--5": "", `"5"`: "", "0x10": "", "null": "", "1_000": "", "[1]": "",
		"115792089237316195423570985008687907853269984665640564039457584007913129639936": "",
		"1e-1000000": "", "1e1000000": "", "1e99999999999999999999": "", strings.Repeat("9", 1_000_000): "", "1." + strings.Repeat("0", 1_000_000): "",
		"0." + strings.Repeat("0", 1_000_000) + "1e1000001": "",
	} {
		n, err := decimal(json.RawMessage(text))
		switch {
		case want == "" && err == nil:
			t.Errorf("%.40s is %.80s", text, n)
		case want != "" && (err != nil || n.String() != want):
			t.Errorf("%.40s: %v %v, want %s", text, n, err, want)
		}
	}
	// The work is bounded by what is refused before anything is calculated: no digits come out of it.
	for _, text := range []string{"1e-1000000", strings.Repeat("9", 5_000_000)} {
		if digits, ok := wholeDigits(text); ok || digits != "" {
			t.Errorf("%.20s: %d digits to calculate with", text, len(digits))
		}
	}
}

// TestMintOfABadNumber is the smallest case of an attack: ten bytes a request that took 21 ms of a processor.
func TestMintOfABadNumber(t *testing.T) {
	w := newWorld(t)
	var batch []string
	for i := range 400 {
		batch = append(batch, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"devnet_mint","params":["0x66",1e-1000000]}`, i))
	}
	got := postBody(w.server, "["+strings.Join(batch, ",")+"]")
	if n := strings.Count(got, "amount: want a whole number from 0 to 2^256-1"); n != 400 {
		t.Errorf("%d of 400 are refused: %.300s", n, got)
	}
}

// postBody posts a body without a connection and returns the answer.
func postBody(s *rpc.Server, body string) string {
	r := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	request.Host, request.Header = "127.0.0.1", http.Header{"Content-Type": {"application/json"}}
	s.ServeHTTP(r, request)
	return r.Body.String()
}

// TestMint: the faucet's transaction calls the token, pays for itself and is signed; two in a row have two nonces.
func TestMint(t *testing.T) {
	w := newWorld(t)
	amount := "340282366920938463463374607431768211457" // 2^128+1
	first := call(t, w, "devnet_mint", `{"address":"0x66","amount":`+amount+`,"unit":"WEI"}`)
	second := call(t, w, "devnet_mint", `{"address":"0x66","amount":1e+21}`)
	var a, b struct {
		Hash    felt.Felt `json:"tx_hash"`
		Balance string    `json:"new_balance"`
		Unit    string
	}
	if json.Unmarshal([]byte(first), &a) != nil || json.Unmarshal([]byte(second), &b) != nil || a.Unit != "WEI" || b.Unit != "FRI" || a.Balance == "" {
		t.Fatal(first, second)
	}
	tx := w.chain.Status(chainview.Key(wire.FromFelt(a.Hash))).Tx
	want := felt.Pack([]felt.Felt{felt.One(), felt.FromUint64(0xe7), keccak.Selector("permissioned_mint"), felt.FromUint64(3), felt.FromUint64(0x66), felt.One(), felt.One()})
	if tx == nil || !bytes.Equal(tx.Calldata, want) || !bytes.Equal(tx.Signature, append(a.Hash.Append(nil), fe(1)...)) {
		t.Errorf("the first mint is %v", tx)
	}
	if hash, err := wire.TransactionHash(tx, w.options.ChainID); err != nil || hash != a.Hash {
		t.Errorf("hash %s, %v", hash, err)
	}
	next := w.chain.Status(chainview.Key(wire.FromFelt(b.Hash))).Tx
	if next == nil || new(big.Int).SetBytes(next.Nonce).Uint64() != new(big.Int).SetBytes(tx.Nonce).Uint64()+1 {
		t.Errorf("nonces %x and %x", tx.Nonce, next.GetNonce())
	}
}

// admitted hands the transactions of the faucet on, and tells the test.
type admitted struct {
	Gateway
	txs chan *ordov1.Transaction
}

func (a *admitted) Admit(ctx context.Context, b *gateway.Broadcast) error {
	err := a.Gateway.Admit(ctx, b)
	a.txs <- b.Transaction
	return err
}

// TestMintWaitsForItsBlock on a node that makes a block for every transaction, and says what became of the transaction.
func TestMintWaitsForItsBlock(t *testing.T) {
	w := newWorld(t)
	in := &admitted{w.options.Gateway, make(chan *ordov1.Transaction, 1)}
	w.options.Gateway = in
	w.serve(WhenAccepted(w.chain))
	answers := make(chan string, 1)
	go func() { answers <- call(t, w, "devnet_mint", `["0x66", 5]`) }()
	w.chain.Drop(chainview.Key((<-in.txs).Hash), errors.New("no luck"))
	if got := <-answers; !strings.Contains(got, "the mint was dropped: no luck") {
		t.Error(got)
	}
}

// TestMintsOfTwoNodes: another node of the network has minted with the nonce that this one took, so this one takes the next.
func TestMintsOfTwoNodes(t *testing.T) {
	w := newWorld(t)
	in := &admitted{w.options.Gateway, make(chan *ordov1.Transaction, 1)}
	w.options.Gateway = in
	w.serve(WhenAccepted(w.chain))
	answers := make(chan string, 1)
	go func() { answers <- call(t, w, "devnet_mint", `["0x66", 5]`) }()
	for range 3 {
		w.chain.Drop(chainview.Key((<-in.txs).Hash), fmt.Errorf("dropped: %w", mempool.ErrNonceTooOld))
	}
	w.chain.Drop(chainview.Key((<-in.txs).Hash), errors.New("no luck"))
	if got := <-answers; !strings.Contains(got, "the mint was dropped: no luck") {
		t.Error(got)
	}
}

// TestAMintThatWaitsForItsTurn ends with its client.
func TestAMintThatWaitsForItsTurn(t *testing.T) {
	w := newWorld(t)
	leave, err := w.devnet.mint.turns.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	gone, cancel := context.WithCancel(t.Context())
	ended := make(chan *rpc.Error)
	go func() {
		_, failed := w.server.Call(gone, "devnet_mint", json.RawMessage(`["0x66",5]`))
		ended <- failed
	}()
	cancel()
	if failed := <-ended; failed == nil {
		t.Error("it was sent while another one had the turn")
	}
	if n := w.devnet.mint.turns.Inside(); n != 1 {
		t.Errorf("%d inside", n)
	}
}
