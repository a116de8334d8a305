package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// faucet signs with the hash itself, so that a test can check what was signed.
type faucet struct{}

func (faucet) Address() felt.Felt                       { return felt.FromUint64(0x77) }
func (faucet) Sign(hash felt.Felt) ([]felt.Felt, error) { return []felt.Felt{hash, felt.One()}, nil }

// devnetWorld is the small chain on a dev node. Its execution answers balanceOf with (address of the token, account).
func devnetWorld(t testing.TB) *world {
	w := newWorld(t)
	o := w.server.Options
	o.Devnet = &Devnet{
		Config:   DevnetConfig{Seed: 7, TotalAccounts: 1, AccountClassHash: felt.FromUint64(0xc1), InitialBalance: "1000", ChainID: "SN_SEPOLIA", StateArchive: "full", BlockGeneration: "transaction"},
		Accounts: []DevnetAccount{{InitialBalance: "1000", Address: felt.FromUint64(0x77), PublicKey: felt.FromUint64(1), PrivateKey: felt.FromUint64(2)}},
		STRK:     felt.FromUint64(0x57), ETH: felt.FromUint64(0xe7), Faucet: faucet{},
		CreateBlock: func(context.Context) ([]byte, error) { return fe(0xb10c9), nil }, Clock: &clockwork{},
	}
	o.Plugins = func(context.Context) []PluginInfo {
		return []PluginInfo{{Stage: "ordering", Name: "fifo", Version: "1.0.0", PID: 7, Capabilities: []string{sdk.CapArrival}, Calls: 3, P50: 0.5}}
	}
	w.server = New(o)
	return w
}

func call(t *testing.T, w *world, name, params string) string {
	t.Helper()
	result, failed := w.server.Call(t.Context(), name, json.RawMessage(params))
	var v any = result
	if failed != nil {
		v = failed
	}
	raw, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestDevnet(t *testing.T) {
	w := devnetWorld(t)
	for _, c := range []struct{ method, params, want string }{
		{"devnet_getPredeployedAccounts", `[]`, `[{"initial_balance":"1000","address":"0x77","public_key":"0x1","private_key":"0x2"}]`},
		{"devnet_getPredeployedAccounts", `{"with_balance":true}`,
			`[{"initial_balance":"1000","address":"0x77","public_key":"0x1","private_key":"0x2","balance":{"eth":{"amount":"40493601663591677152141578284380417163495","unit":"WEI"},"strk":{"amount":"40493601663591677152141578284380417163351","unit":"FRI"}}}]`},
		{"devnet_getAccountBalance", `{"address":"0x77"}`, `{"amount":"40493601663591677152141578284380417163351","unit":"FRI"}`},
		{"devnet_getAccountBalance", `{"address":"0x77","unit":"WEI","block_tag":"latest"}`, `{"amount":"40493601663591677152141578284380417163495","unit":"WEI"}`},
		{"devnet_getAccountBalance", `{"address":"0x77","block_id":{"block_number":1}}`, `{"amount":"40493601663591677152141578284380417163351","unit":"FRI"}`},
		{"devnet_createBlock", `[]`, `{"block_hash":"0xb10c9"}`},
		{"ordo_plugins", ``, `[{"stage":"ordering","name":"fifo","version":"1.0.0","pid":7,"generation":0,"capabilities":["arrival"],"calls":3,"p50_ms":0.5,"p99_ms":0,"errors":0,"late":0,"api_minor":0}]`},
	} {
		if got := call(t, w, c.method, c.params); got != c.want {
			t.Errorf("%s %s\n got %s\nwant %s", c.method, c.params, got, c.want)
		}
	}
	for _, field := range []string{`"seed":7`, `"account_contract_class_hash":"0xc1"`, `"total_accounts":1`, `"chain_id":"SN_SEPOLIA"`} {
		if got := call(t, w, "devnet_getConfig", ``); !strings.Contains(got, field) {
			t.Errorf("devnet_getConfig lacks %s: %s", field, got)
		}
	}
}

// TestMint: the faucet's transaction calls the token, pays for itself and is signed; two in a row have two nonces.
func TestMint(t *testing.T) {
	w := devnetWorld(t)
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
	tx := w.chain.Status(Key(wire.FromFelt(a.Hash))).Tx
	want := felt.Pack([]felt.Felt{felt.One(), felt.FromUint64(0xe7), keccak.Selector("permissioned_mint"), felt.FromUint64(3), felt.FromUint64(0x66), felt.One(), felt.One()})
	if tx == nil || !bytes.Equal(tx.Calldata, want) || !bytes.Equal(tx.Signature, append(fe2(a.Hash), fe(1)...)) {
		t.Errorf("the first mint is %v", tx)
	}
	if hash, err := wire.TransactionHash(tx, w.server.ChainID); err != nil || hash != a.Hash {
		t.Errorf("hash %s, %v", hash, err)
	}
	next := w.chain.Status(Key(wire.FromFelt(b.Hash))).Tx
	if next == nil || new(big.Int).SetBytes(next.Nonce).Uint64() != new(big.Int).SetBytes(tx.Nonce).Uint64()+1 {
		t.Errorf("nonces %x and %x", tx.Nonce, next.GetNonce())
	}
}

func fe2(f felt.Felt) []byte { return f.Append(nil) }

// TestMintWaitsOnAnInstantNode until the block of the mint is accepted, and says what became of it otherwise.
func TestMintWaitsOnAnInstantNode(t *testing.T) {
	w := devnetWorld(t)
	w.server.Devnet.Instant = true
	answers := make(chan string, 1)
	go func() { answers <- call(t, w, "devnet_mint", `["0x66", 5]`) }()
	var hash Key
	deadline := time.Now().Add(5 * time.Second)
	for {
		done, err := w.server.mint.turn.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if w.server.mint.last != nil {
			hash = Key(w.server.mint.last)
		}
		done()
		if w.chain.Status(hash).Status == chainview.Received {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the mint was not submitted")
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case got := <-answers:
		t.Fatal("it did not wait:", got)
	case <-time.After(20 * time.Millisecond):
	}
	w.chain.Drop(hash, errors.New("no luck"))
	if got := <-answers; !strings.Contains(got, "the mint was dropped: no luck") {
		t.Error(got)
	}
}

// TestHiddenAndForbidden: a node that hides its devnet methods has none of them, and forbidden ones do nothing.
func TestHiddenAndForbidden(t *testing.T) {
	w := devnetWorld(t)
	made := 0
	w.server.Devnet.CreateBlock = func(context.Context) ([]byte, error) { made++; return fe(1), nil }
	w.server.Devnet.Forbidden = []string{"devnet_createBlock", "devnet_dump"}
	w.server = New(w.server.Options)
	if got := call(t, w, "devnet_createBlock", `[]`); !strings.Contains(got, "-32604") || made != 0 {
		t.Error(got, made)
	}
	if got := call(t, w, "devnet_dump", `[]`); !strings.Contains(got, "-32601") {
		t.Error(got)
	}
	w.server.Devnet.Hidden = true
	w.server = New(w.server.Options)
	for name := range w.server.methods {
		if strings.HasPrefix(name, "devnet_") {
			t.Errorf("%s is served", name)
		}
	}
}

// TestDevnetOnlyOnDevNodes: without `ordo dev` the devnet methods do not exist; plugins are served to whoever has them.
func TestDevnetOnlyOnDevNodes(t *testing.T) {
	w := newWorld(t)
	for name := range w.server.methods {
		if !strings.HasPrefix(name, "starknet_") {
			t.Errorf("%s is served without a dev node", name)
		}
	}
}
