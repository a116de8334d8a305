package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// TestRestart: the same head, root and balances after a stop, after a kill, and in a node that re-executes the
// stored chain from genesis.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--data-dir", dir, "--accounts", "3"}
	senders := accounts(0, 3)
	n := start(t, args...)
	nonce := uint64(0)
	grow := func(n *node) {
		t.Helper()
		for range 4 {
			var hashes []string
			for i, a := range senders {
				hashes = append(hashes, n.submit(t, a.Invoke(nonce, client.Transfer(strk(), felt.FromUint64(uint64(500+i)), 3))))
			}
			nonce++
			for _, hash := range hashes {
				n.accepted(t, hash)
			}
		}
	}
	grow(n)
	before := look(t, n, senders)
	n.stop(t)

	again := start(t, args...)
	if after := look(t, again, senders); after != before {
		t.Fatalf("after a restart:\n%s\nbefore:\n%s", after, before)
	}
	grow(again)
	before = look(t, again, senders)
	again.kill(t)

	third := start(t, args...)
	if after := look(t, third, senders); after != before {
		t.Fatalf("after a kill:\n%s\nbefore:\n%s", after, before)
	}
	grow(third)
	head := third.block(t, "latest")
	third.stop(t)

	out, err := exec.Command(ordo(t), "replay", "--data-dir", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("ordo replay: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), head.Root) || !strings.Contains(string(out), fmt.Sprint(head.Number)) {
		t.Errorf("ordo replay does not reach block %d with root %s:\n%s", head.Number, head.Root, out)
	}

	// Another genesis than the one in the folder is refused rather than mixed.
	other := launch(t, "dev", "--port", "0", "--data-dir", dir, "--accounts", "4")
	if err := other.Err(); err == nil || !strings.Contains(other.Out.String(), "genesis") {
		t.Errorf("with another genesis: %v\n%s", err, other.Out)
	}
}

// look describes the head and the balances.
func look(t *testing.T, n *node, senders []*client.Account) string {
	t.Helper()
	var out strings.Builder
	b := n.block(t, "latest")
	fmt.Fprintf(&out, "head %d %s root %s\n", b.Number, b.Hash, b.Root)
	for _, a := range senders {
		balance, err := n.Balance(within(t, patient), "latest", strk(), a.Address)
		if err != nil {
			t.Fatal(err)
		}
		nonce, err := n.Nonce(within(t, patient), "latest", a.Address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s has %s, nonce %d\n", a.Address, balance, nonce)
	}
	return out.String()
}

// TestGenesisTokens asks the tokens through the real execution what genesis wrote into their storage.
func TestGenesisTokens(t *testing.T) {
	n := start(t, "--accounts", "2", "--initial-balance", "12345")
	for _, token := range []struct {
		address      felt.Felt
		name, symbol string
	}{{genesis.STRKAddress(), "StarkNet Token", "STRK"}, {genesis.ETHAddress(), "Ether", "ETH"}} {
		view := func(function string) []felt.Felt {
			t.Helper()
			out, err := n.View(within(t, patient), "latest", token.address, function)
			if err != nil {
				t.Fatalf("%s of %s: %v", function, token.symbol, err)
			}
			return out
		}
		text := func(s string) string { // a ByteArray without whole chunks
			return fmt.Sprint([]felt.Felt{felt.Zero(), felt.MustShortString(s), felt.FromUint64(uint64(len(s)))})
		}
		if got := fmt.Sprint(view("name")); got != text(token.name) {
			t.Errorf("name of %s: %s, want %s", token.symbol, got, text(token.name))
		}
		if got := fmt.Sprint(view("symbol")); got != text(token.symbol) {
			t.Errorf("symbol of %s: %s, want %s", token.symbol, got, text(token.symbol))
		}
		if got := view("decimals"); len(got) != 1 || got[0] != felt.FromUint64(18) {
			t.Errorf("decimals of %s: %v", token.symbol, got)
		}
		supply := view("total_supply") // 2^255 of the minter, and two accounts
		if want := fmt.Sprint([]felt.Felt{felt.FromUint64(2 * 12345), felt.FromUint128(1<<63, 0)}); fmt.Sprint(supply) != want {
			t.Errorf("supply of %s: %v, want %s", token.symbol, supply, want)
		}
		for _, a := range accounts(0, 2) {
			balance, err := n.Balance(within(t, patient), "latest", token.address, a.Address)
			if err != nil || balance.Int64() != 12345 {
				t.Errorf("%s of %s: %v, %v", token.symbol, a.Address, balance, err)
			}
		}
	}
}

// TestMint: devnet_mint pays from the account that may mint, in both tokens.
func TestMint(t *testing.T) {
	n := start(t)
	who := felt.MustHex("0xabc")
	for unit, token := range map[string]felt.Felt{"FRI": genesis.STRKAddress(), "WEI": genesis.ETHAddress()} {
		n.call(t, "devnet_mint", map[string]any{"address": who.Hex(), "amount": 77, "unit": unit}, nil)
		balance, err := n.Balance(within(t, patient), "pre_confirmed", token, who)
		if err != nil || balance.Int64() != 77 {
			t.Errorf("%s: %v, %v", unit, balance, err)
		}
	}
}

// TestTimeGoesOnAfterARestart: a chain whose newest block is far ahead of the clock is as usable as any, and a node that does not
// move its time says that it stands.
func TestTimeGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	far := uint64(time.Now().Unix()) + 99*365*86400
	n := start(t, "--data-dir", dir)
	n.call(t, "devnet_setTime", []any{far}, nil)
	n.stop(t)

	n = start(t, "--data-dir", dir)
	n.call(t, "devnet_increaseTime", []any{3600}, nil)
	if b := n.rooted(t, 2); b.Timestamp < far+3600 {
		t.Errorf("block time is %d after an hour more than %d", b.Timestamp, far)
	}
	n.call(t, "devnet_setTime", []any{far - 1000}, nil)
	n.call(t, "devnet_increaseTime", []any{3600}, nil)
	if b := n.rooted(t, 4); b.Timestamp < far+7200 {
		t.Errorf("block time is %d after two hours more than %d", b.Timestamp, far)
	}
	n.stop(t)

	file := filepath.Join(t.TempDir(), "ordo.toml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "[rpc]\nport = 0\n[node]\ndata_dir = %q\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	if n = run(t, "run", "--config", file); len(n.Out.Lines("block time stands still")) != 1 {
		t.Errorf("it does not say that time stands:\n%s", n.Out)
	}
}
