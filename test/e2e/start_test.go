package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// TestBanner: the start-up print holds all that a developer copies from it.
func TestBanner(t *testing.T) {
	n := start(t, "--seed", "42", "--accounts", "3", "--chain-id", "MY_CHAIN")
	text := n.Out.String()
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
	cmd.Env = nodetest.Environment()
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ordo.toml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	quiet := run(t, "run", "--config", file)
	for _, method := range []string{"devnet_getPredeployedAccounts", "devnet_mint", "devnet_setTime", "devnet_getConfig"} {
		var e *client.Error
		if err := quiet.Call(within(t, patient), method, []any{}, nil); !errors.As(err, &e) || e.Code != -32601 {
			t.Errorf("a node that is not told to serves %s: %v", method, err)
		}
	}
	if key := genesis.Accounts(7, 1)[0].PrivateKey.Hex(); strings.Contains(quiet.Out.String(), key) {
		t.Error("it prints a private key")
	}
	quiet.stop(t)

	n := run(t, "run", "--config", file, "--devnet")
	if len(n.Out.Lines("rpc.devnet = true")) != 1 {
		t.Errorf("it does not say that it serves devnet_*:\n%s", n.Out)
	}
	var accounts []struct{ Address string }
	n.call(t, "devnet_getPredeployedAccounts", map[string]any{}, &accounts)
	if len(accounts) != 2 || accounts[0].Address != genesis.Accounts(7, 1)[0].Address.Hex() {
		t.Errorf("got %v", accounts)
	}
	if !strings.Contains(n.Out.String(), "ordering/fee") {
		t.Errorf("another ordering plugin:\n%s", n.Out)
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

// TestScriptOfDevnet: a command line that was written for starknet-devnet starts the node, which says what it does not serve.
func TestScriptOfDevnet(t *testing.T) {
	n := start(t, "--start-time", "1000000000", "--timeout", "120", "--lite-mode", "--fork-network", "http://127.0.0.1:1", "--restrictive-mode", "devnet_mint")
	for _, flag := range []string{"--lite-mode", "--fork-network"} {
		if len(n.Out.Lines("ordo: "+flag+" is not served")) != 1 {
			t.Errorf("no word about %s:\n%s", flag, n.Out)
		}
	}
	if len(n.Out.Lines("ordo: --")) != 2 {
		t.Errorf("words about what is served:\n%s", n.Out)
	}
	n.call(t, "devnet_createBlock", []any{}, nil)
	for number, block := range []client.Block{n.block(t, uint64(0)), n.rooted(t, 1)} {
		if block.Timestamp < 1_000_000_000 || block.Timestamp > 1_000_100_000 {
			t.Errorf("the time of block %d is %d", number, block.Timestamp)
		}
	}
	var e *client.Error
	if err := n.Call(within(t, patient), "devnet_mint", []any{"0x1", 1}, nil); !errors.As(err, &e) || e.Code != -32604 {
		t.Errorf("a forbidden method: %v", err)
	}
	cmd := exec.Command(ordo(t), "dev", "--prot", "0")
	cmd.Env = nodetest.Environment()
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "did you mean --port?") {
		t.Errorf("an unknown flag: %v %s", err, out)
	}
}
