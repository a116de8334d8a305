package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/contracts"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// TestRefusals on a running node: a clear error for each bad input, nothing stuck, and the node serves on.
func TestRefusals(t *testing.T) {
	n := start(t)
	all := accounts(0, 10)
	to := felt.FromUint64(1234)
	serves := uint64(0)
	check := func(t *testing.T) {
		t.Helper()
		hash := n.submit(t, all[9].Invoke(serves, client.Transfer(strk(), to, 1)))
		serves++
		if s := n.accepted(t, hash); s.Execution != "SUCCEEDED" {
			t.Fatalf("afterwards: %+v", s)
		}
	}
	for _, c := range []struct {
		name string
		body string
		want string
	}{
		{"not json", `{"jsonrpc": "2.0", "id": 1, "method"`, "-32700"},
		{"empty", ``, "-32700"},
		{"not a request", `[1, 2]`, "-32600"},
		{"unknown method", `{"jsonrpc":"2.0","id":1,"method":"starknet_nothing","params":[]}`, "-32601"},
		{"wrong type", `{"jsonrpc":"2.0","id":1,"method":"starknet_getNonce","params":{"block_id":"latest","contract_address":7}}`, "-32602"},
		{"not a felt", `{"jsonrpc":"2.0","id":1,"method":"starknet_getNonce","params":{"block_id":"latest","contract_address":"0xzz"}}`, "-32602"},
		{"missing parameter", `{"jsonrpc":"2.0","id":1,"method":"starknet_getNonce","params":{"block_id":"latest"}}`, "-32602"},
		{"unknown block", `{"jsonrpc":"2.0","id":1,"method":"starknet_getNonce","params":[{"block_number":99999},"0x1"]}`, `"code":24`},
		{"unknown class", `{"jsonrpc":"2.0","id":1,"method":"starknet_getClass","params":["latest","0x1"]}`, `"code":28`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, answer, err := n.Post(within(t, patient), []byte(c.body))
			if err != nil || !strings.Contains(compact(answer), c.want) {
				t.Errorf("%s answered %s, %v; want %s", c.body, answer, err, c.want)
			}
		})
	}
	t.Run("body over 5 MiB", func(t *testing.T) {
		body := append([]byte(`{"jsonrpc":"2.0","id":1,"method":"starknet_chainId","params":["`), bytes.Repeat([]byte("a"), 5<<20)...)
		status, answer, err := n.Post(within(t, patient), append(body, `"]}`...))
		// The server may cut the connection while the rest is still on its way.
		if err == nil && (status != 413 || !strings.Contains(string(answer), "over")) {
			t.Errorf("status %d: %.200s", status, answer)
		}
	})
	check(t)

	t.Run("transactions", func(t *testing.T) { refusedTransactions(t, n, all, to) })
	check(t)
	t.Run("classes", func(t *testing.T) { refusedClasses(t, n, all[1]) })
	check(t)
	t.Run("out of gas", func(t *testing.T) { outOfGas(t, n, all[2]) })
	check(t)
}

func compact(raw []byte) string {
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return string(raw)
	}
	return out.String()
}

func refusedTransactions(t *testing.T, n *node, all []*client.Account, to felt.Felt) {
	a := all[0]
	transfer := client.Transfer(strk(), to, 1)
	poor := client.NewAccountAt(a, felt.MustHex("0x5b4b537eaa2399e3aa99c4e2e0208ebd6c71bc1467938cd52c798c601e43564"), felt.One(), felt.FromUint64(77))
	wrongKey, wrongChain, tooDear, tooLow, free := *a, *a, *a, *a, *a
	wrongKey.Key = felt.FromUint64(4711)
	wrongChain.Chain = felt.MustShortString("SN_MAIN")
	tooDear.Bounds.L2Gas.MaxAmount = 1 << 60
	tooLow.Bounds.L2Gas.MaxAmount = 10
	free.Bounds.L2Gas.MaxPrice = starknet.Uint128{Lo: 1}
	// What is judged after the balance needs one.
	noAccount := *a
	noAccount.Address = genesis.UDCAddress()
	classless := client.NewAccountAt(a, felt.MustHex("0xc1a55"), felt.One(), felt.FromUint64(78))
	n.accepted(t, n.submit(t, all[8].Invoke(0, client.Transfer(strk(), noAccount.Address, 1e19), client.Transfer(strk(), classless.Address, 1e19))))
	for _, c := range []struct {
		name string
		tx   *client.Tx
		code int
	}{
		{"bad signature", wrongKey.Invoke(0, transfer), 55},
		{"wrong chain id", wrongChain.Invoke(0, transfer), 55},
		{"low balance", tooDear.Invoke(0, transfer), 54},
		{"low bounds", tooLow.Invoke(0, transfer), 53},
		{"price below the block's", free.Invoke(0, transfer), 65},
		{"nonce far ahead", a.Invoke(1_000_000, transfer), 52},
		{"not an account", noAccount.Invoke(0, transfer), 58},
		{"undeployed account without balance", poor.DeployAccount(felt.MustHex("0x5b4b537eaa2399e3aa99c4e2e0208ebd6c71bc1467938cd52c798c601e43564"), felt.One()), 54},
		{"account of an unknown class", classless.DeployAccount(felt.MustHex("0xc1a55"), felt.One()), 28},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := n.Submit(within(t, patient), c.tx)
			wantCode(t, err, c.code)
		})
	}
	t.Run("version 1", func(t *testing.T) {
		tx := a.Invoke(0, transfer).JSON()
		tx["version"] = "0x1"
		_, err := n.SubmitJSON(within(t, patient), ordov1.TransactionType_INVOKE, tx)
		if e := new(client.Error); !errors.As(err, &e) || e.Code != 61 && e.Code != -32602 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nonce is no felt", func(t *testing.T) {
		tx := a.Invoke(0, transfer).JSON()
		tx["nonce"] = "zero"
		_, err := n.SubmitJSON(within(t, patient), ordov1.TransactionType_INVOKE, tx)
		wantCode(t, err, -32602)
	})
	t.Run("the same again", func(t *testing.T) {
		early := a.Invoke(3, transfer) // waits for its nonce
		n.submit(t, early)
		_, err := n.Submit(within(t, patient), early)
		wantCode(t, err, 59)
		cheap := a.Invoke(3, client.Transfer(strk(), to, 2))
		_, err = n.Submit(within(t, patient), cheap)
		wantCode(t, err, 64)
	})
}

func wantCode(t *testing.T, err error, code int) {
	t.Helper()
	var e *client.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want code %d", err, code)
		return
	}
	t.Log(e)
}

func refusedClasses(t *testing.T, n *node, a *client.Account) {
	dir := filepath.Join(need.Binaries(t), "contracts")
	hello, err := contracts.Read(dir, contracts.Hello)
	if err != nil {
		t.Fatal(err)
	}
	account, err := contracts.Read(dir, contracts.OpenZeppelinAccount)
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(change func(program []string) []string) map[string]any {
		var definition map[string]any
		if err := json.Unmarshal(hello.Definition, &definition); err != nil {
			t.Fatal(err)
		}
		var program []string
		for _, f := range definition["sierra_program"].([]any) {
			program = append(program, f.(string))
		}
		definition["sierra_program"] = change(program)
		return definition
	}
	for _, c := range []struct {
		name  string
		class map[string]any
		codes []int
	}{
		{"a program that ends early", damaged(func(p []string) []string { return p[:len(p)/2] }), []int{56}},
		{"a program of noise", damaged(func(p []string) []string {
			for i := 6; i < len(p); i++ {
				p[i] = fmt.Sprintf("%#x", i*i)
			}
			return p
		}), []int{56}},
		{"a Sierra version of the future", damaged(func(p []string) []string { p[0], p[1] = "0x63", "0x63"; return p }), []int{56, 62}},
		{"an empty program", damaged(func([]string) []string { return []string{} }), []int{56, -32602}},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw, err := json.Marshal(c.class)
			if err != nil {
				t.Fatal(err)
			}
			// Signed well: a class is looked at when its account has nothing against it.
			class := &ordov1.Class{Hash: hello.Hash, Definition: raw, CompiledClassHash: hello.CompiledClassHash}
			if read, err := gateway.DecodeClass(raw); err == nil {
				class.Hash = read.Hash
			}
			_, err = n.Submit(within(t, patient), a.Declare(0, class))
			var e *client.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			for _, code := range c.codes {
				if e.Code == code {
					t.Log(e)
					return
				}
			}
			t.Errorf("got %v, want one of %v", e, c.codes)
		})
	}
	t.Run("declared before", func(t *testing.T) {
		_, err := n.Submit(within(t, patient), a.Declare(0, account))
		wantCode(t, err, 51)
	})
	t.Run("another compiled class hash", func(t *testing.T) {
		other := &ordov1.Class{Hash: hello.Hash, Kind: hello.Kind, Definition: hello.Definition, CompiledClassHash: account.CompiledClassHash}
		_, err := n.Submit(within(t, patient), a.Declare(0, other))
		wantCode(t, err, 60)
	})
}

// outOfGas sends a contract that never ends by itself: as a transaction, as a call, and as an estimate.
func outOfGas(t *testing.T, n *node, a *client.Account) {
	class, err := client.CairoClass(need.Binaries(t), need.Env(t, "ORDO_E2E_CAIRO"), t.TempDir(), "spinner")
	if err != nil {
		t.Fatal(err)
	}
	hash := client.Felt(class.Hash)
	n.accepted(t, n.submit(t, a.Declare(0, class)))
	if s := n.accepted(t, n.submit(t, a.Invoke(1, client.Deploy(hash, felt.One())))); s.Execution != "SUCCEEDED" {
		t.Fatalf("deploy: %+v", s)
	}
	spinner := starknet.ContractAddress(felt.Zero(), felt.One(), hash, nil)
	spin := client.Call{To: spinner, Selector: keccak.Selector("spin")}
	began := time.Now()
	s := n.accepted(t, n.submit(t, a.Invoke(2, spin)))
	if s.Execution != "REVERTED" || !strings.Contains(s.Reason, "RunResources has no remaining steps") {
		t.Errorf("transaction: %+v", s)
	}
	t.Logf("the transaction took %s", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	_, err = n.View(within(t, patient), "latest", spinner, "spin")
	var e *client.Error
	if !errors.As(err, &e) || e.Code != 40 {
		t.Errorf("call: %v", err)
	}
	t.Logf("the call took %s", time.Since(began).Round(time.Millisecond))
	err = n.Call(within(t, patient), "starknet_estimateFee", map[string]any{
		"request": []any{a.Invoke(3, spin).JSON()}, "simulation_flags": []string{}, "block_id": "latest",
	}, nil)
	if !errors.As(err, &e) || e.Code != 41 {
		t.Errorf("estimate: %v", err)
	}
}

// TestBadStart before the node runs: it ends at once, with a reason and what to do.
func TestBadStart(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fee := filepath.Join(need.Binaries(t), "plugins", "ordo-ordering-fee")
	plain := write("plain", "no program\n")
	if err := os.Chmod(plain, 0o644); err != nil {
		t.Fatal(err)
	}
	busy := start(t)
	port := busy.URL[strings.LastIndexByte(busy.URL, ':')+1:]
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"unknown key", []string{"run", "--config", write("typo.toml", "[rpc]\n\nprot = 1\n")}, []string{"typo.toml:3", "rpc.prot", "did you mean rpc.port"}},
		{"no such file", []string{"run", "--config", filepath.Join(dir, "none.toml")}, []string{"none.toml"}},
		{"not a plugin", []string{"dev", "--port", "0", "--ordering", "/bin/cat"}, []string{"ordering", "/bin/cat", "not a plugin"}},
		{"a script that prints", []string{"dev", "--port", "0", "--ordering", write("hello", "#!/bin/sh\necho hello\nsleep 60\n")}, []string{"no handshake", "hello"}},
		{"not executable", []string{"dev", "--port", "0", "--ordering", plain}, []string{"not executable"}},
		{"no such plugin", []string{"dev", "--port", "0", "--ordering", "nothing"}, []string{"nothing", "fifo"}},
		{"no such path", []string{"dev", "--port", "0", "--ordering", "./nothing"}, []string{"no such file"}},
		{"another stage's plugin", []string{"dev", "--port", "0", "--storage", fee}, []string{"ordering", "not storage"}},
		{"a setting the plugin does not know", []string{"run", "--config", write("plugin.toml", "[rpc]\nport = 0\n[consensus.config]\nintervall = 1\n")}, []string{"intervall"}},
		{"port in use", []string{"dev", "--port", port}, []string{port, "in use", "--port"}},
		{"bad flag value", []string{"dev", "--accounts", "many"}, []string{"--accounts", "many"}},
		{"unknown flag", []string{"dev", "--prot", "1"}, []string{"--prot"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patient)
			defer cancel()
			cmd := exec.CommandContext(ctx, ordo(t), c.args...)
			cmd.Env = nodetest.Environment()
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("ended with %v", err)
			}
			for _, word := range c.want {
				if !strings.Contains(string(out), word) {
					t.Errorf("does not say %q:\n%s", word, out)
				}
			}
		})
	}
}
