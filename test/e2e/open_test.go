package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/contracts"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/need"
)

// TestOpenBlocks: with open blocks too, what a transaction did can be read when it is answered for. A script that reads the
// nonce and sends is never refused.
func TestOpenBlocks(t *testing.T) {
	for _, mode := range []string{"demand", "600"} {
		t.Run(mode, func(t *testing.T) {
			n := start(t, "--block-generation-on", mode)
			a, to := accounts(0, 1)[0], felt.MustHex("0xabc1")
			for i := range uint64(40) {
				ctx := within(t, patient)
				nonce, err := n.Nonce(ctx, "pre_confirmed", a.Address)
				if err != nil || nonce != i {
					t.Fatalf("nonce %d, %v, after %d transactions", nonce, err, i)
				}
				hash := n.submit(t, a.Invoke(nonce, client.Transfer(strk(), to, 7)))
				var receipt struct {
					Finality string `json:"finality_status"`
				}
				n.call(t, "starknet_getTransactionReceipt", []any{hash}, &receipt)
				balance, err := n.Balance(ctx, "pre_confirmed", strk(), to)
				if err != nil || balance.Uint64() != 7*(i+1) || receipt.Finality != "PRE_CONFIRMED" {
					t.Fatalf("after %d transfers: balance %v, %v, the last is %s", i+1, balance, err, receipt.Finality)
				}
			}
			// One that waits for an earlier nonce is answered for, and runs when that comes.
			late := n.submit(t, a.Invoke(41, client.Transfer(strk(), to, 7)))
			if s, err := n.Status(within(t, patient), late); err != nil || s.Finality != "RECEIVED" {
				t.Errorf("%v, %v", s, err)
			}
			n.submit(t, a.Invoke(40, client.Transfer(strk(), to, 7)))
			if _, err := n.Wait(within(t, patient), late, "PRE_CONFIRMED"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAdmissionSeesTheOpenBlock: a mint, a deployment that it pays, a declaration and a transfer of the new account, all before
// the block closes.
func TestAdmissionSeesTheOpenBlock(t *testing.T) {
	n := start(t, "--block-generation-on", "600")
	class, err := contracts.Read(filepath.Join(need.Binaries(t), "contracts"), contracts.OpenZeppelinAccount)
	if err != nil {
		t.Fatal(err)
	}
	hello, err := contracts.Read(filepath.Join(need.Binaries(t), "contracts"), contracts.Hello)
	if err != nil {
		t.Fatal(err)
	}
	salt := felt.FromUint64(5)
	a := client.NewAccountAt(accounts(0, 1)[0], client.Felt(class.Hash), salt, felt.MustHex("0x1234567"))
	_, err = n.Submit(within(t, patient), a.DeployAccount(client.Felt(class.Hash), salt))
	wantCode(t, err, 54)
	n.call(t, "devnet_mint", map[string]any{"address": a.Address.Hex(), "amount": json.Number("1000000000000000000000")}, nil)
	for i, tx := range []*client.Tx{a.DeployAccount(client.Felt(class.Hash), salt), a.Declare(1, hello), a.Invoke(2, client.Transfer(strk(), a.Address, 1))} {
		hash := n.submit(t, tx)
		if s, err := n.Status(within(t, patient), hash); err != nil || s.Finality != "PRE_CONFIRMED" || s.Execution != "SUCCEEDED" {
			t.Errorf("transaction %d: %v, %v", i, s, err)
		}
	}
	// Its code is there, and so is its signature checked, though the deployment waits for its block.
	wrong := *a
	wrong.Key = felt.MustHex("0x7654321")
	_, err = n.Submit(within(t, patient), wrong.Invoke(3, client.Transfer(strk(), a.Address, 1)))
	wantCode(t, err, 55)
	if b := n.block(t, "latest"); b.Number != 0 {
		t.Errorf("block %d was made meanwhile", b.Number)
	}
}

// TestStrangersCompileNothing: declarations of classes that never were seen, by accounts that do not exist or did not sign, are
// refused before the compiler, which would take seconds for each.
func TestStrangersCompileNothing(t *testing.T) {
	n := start(t, "--limit-compiles-waiting", "1")
	a := accounts(0, 1)[0]
	hello, err := contracts.Read(filepath.Join(need.Binaries(t), "contracts"), contracts.Hello)
	if err != nil {
		t.Fatal(err)
	}
	another := func(i int) *ordov1.Class {
		var definition map[string]any
		if err := json.Unmarshal(hello.Definition, &definition); err != nil {
			t.Fatal(err)
		}
		definition["abi"] = fmt.Sprintf("[%s]", strings.Repeat(" ", i+1))
		raw, err := json.Marshal(definition)
		if err != nil {
			t.Fatal(err)
		}
		class, err := gateway.DecodeClass(raw)
		if err != nil {
			t.Fatal(err)
		}
		return &ordov1.Class{Kind: hello.Kind, Hash: class.Hash, Definition: raw, CompiledClassHash: hello.CompiledClassHash}
	}
	missing, forger := *a, *a
	missing.Address, forger.Key = felt.MustHex("0x5555"), felt.MustHex("0x99")
	answers := make(chan error, 24)
	for i := range cap(answers) {
		stranger := &missing
		if i%2 == 0 {
			stranger = &forger
		}
		tx := stranger.Declare(0, another(i))
		go func() {
			_, err := n.Submit(within(t, patient), tx)
			answers <- err
		}()
	}
	// With one place in the queue of the compiler, one of them there would be told that the node is busy.
	for range cap(answers) {
		var e *client.Error
		if err := <-answers; !errors.As(err, &e) || e.Code == 63 {
			t.Errorf("a stranger heard %v", err)
		}
	}
	n.submit(t, a.Declare(0, another(100)))
}

// TestEstimateOfATip: the sum of gas times price is the fee, whatever the sender offers on top.
func TestEstimateOfATip(t *testing.T) {
	n := start(t)
	a := accounts(0, 1)[0]
	a.Tip = 5_000_000_000
	var estimates []struct {
		L1     string `json:"l1_gas_consumed"`
		L1At   string `json:"l1_gas_price"`
		Data   string `json:"l1_data_gas_consumed"`
		DataAt string `json:"l1_data_gas_price"`
		L2     string `json:"l2_gas_consumed"`
		L2At   string `json:"l2_gas_price"`
		Fee    string `json:"overall_fee"`
	}
	tx := a.Invoke(0, client.Transfer(genesis.STRKAddress(), felt.MustHex("0xabc1"), 7)).JSON()
	n.call(t, "starknet_estimateFee", []any{[]any{tx}, []string{"SKIP_VALIDATE"}, "latest"}, &estimates)
	if len(estimates) != 1 {
		t.Fatal(estimates)
	}
	number := func(s string) *big.Int {
		v, ok := new(big.Int).SetString(s, 0)
		if !ok {
			t.Fatalf("%q is no number", s)
		}
		return v
	}
	e, sum := estimates[0], new(big.Int)
	for _, p := range [][2]string{{e.L1, e.L1At}, {e.Data, e.DataAt}, {e.L2, e.L2At}} {
		sum.Add(sum, new(big.Int).Mul(number(p[0]), number(p[1])))
	}
	if sum.Sign() == 0 || sum.Cmp(number(e.Fee)) != 0 {
		t.Errorf("overall_fee %s, the sum is %s", e.Fee, sum)
	}
}
