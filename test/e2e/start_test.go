package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/core/genesis"
)

// TestBanner: the start-up print holds all that a developer copies from it.
func TestBanner(t *testing.T) {
	n := start(t, "--seed", "42", "--accounts", "3", "--chain-id", "MY_CHAIN")
	text := n.out.String()
	for _, a := range genesis.Accounts(42, 3) {
		for _, word := range []string{a.Address.PaddedHex(), a.PrivateKey.Hex(), a.PublicKey.Hex()} {
			if !strings.Contains(text, word) {
				t.Errorf("no %s", word)
			}
		}
	}
	for _, word := range []string{genesis.STRKAddress().PaddedHex(), genesis.ETHAddress().PaddedHex(), genesis.UDCAddress().PaddedHex(),
		genesis.LegacyUDCAddress().PaddedHex(), "MY_CHAIN", "42", "1000000000000000000000"} {
		if !strings.Contains(text, word) {
			t.Errorf("no %s", word)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	var id string
	n.call(t, "starknet_chainId", []any{}, &id)
	if want := fmt.Sprintf("%#x", "MY_CHAIN"); id != want {
		t.Errorf("chain id %s, want %s", id, want)
	}
	answer, err := http.Get(n.URL + "/is_alive")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != 200 || string(body) != "Alive!!!" {
		t.Errorf("/is_alive: %d %s", answer.StatusCode, body)
	}
}

// TestConfigFile: what --print-config prints is a file that starts the same node.
func TestConfigFile(t *testing.T) {
	cmd := exec.Command(ordo(t), "run", "--print-config", "--port", "0", "--seed", "7", "--accounts", "2", "--ordering", "fee")
	cmd.Env = environment()
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ordo.toml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	n := run(t, "run", "--config", file)
	var accounts []struct{ Address string }
	n.call(t, "devnet_getPredeployedAccounts", map[string]any{}, &accounts)
	if len(accounts) != 2 || accounts[0].Address != genesis.Accounts(7, 1)[0].Address.Hex() {
		t.Errorf("got %v", accounts)
	}
	if !strings.Contains(n.out.String(), "ordering/fee") {
		t.Errorf("another ordering plugin:\n%s", n.out)
	}
}

// TestNothingStays: an ephemeral node leaves neither processes (every stop checks that) nor files.
func TestNothingStays(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	n := start(t)
	if left, _ := os.ReadDir(tmp); len(left) == 0 {
		t.Error("no private folder while it runs")
	}
	n.stop(t)
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("%s is left behind", left[0].Name())
	}
}
