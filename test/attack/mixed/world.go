package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/contracts"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/test/attack/attacker"
)

// The contracts of the attackers, in contracts/cairo.
const (
	contractName = "attack"
	accountName  = "attack_account"
)

func artifact(dir, name string) string { return filepath.Join(dir, name+".contract_class.json") }

// compile gives a class its compiled class hash, by the execution plugin's own command.
func compile(o options, work, name string) (*ordov1.Class, error) {
	raw, err := os.ReadFile(artifact(o.cairo, name))
	if err != nil {
		return nil, err
	}
	definition, err := contracts.Definition(ordov1.Class_SIERRA, raw)
	if err != nil {
		return nil, err
	}
	in := filepath.Join(work, name+".json")
	if err := os.WriteFile(in, definition, 0o600); err != nil {
		return nil, err
	}
	compiler := filepath.Join(o.bin, "plugins", "ordo-execution-blockifier")
	if out, err := exec.Command(compiler, "compile", in, "--out", work).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile %s: %w: %s", name, err, clip(string(out), 600))
	}
	return contracts.Read(work, name)
}

// settler brings the attackers' world to the chain: their contract, an account of each client with money, and blocks that are
// heavy to trace. It uses the last of the node's own accounts.
type settler struct {
	*node
	account *client.Account
	nonce   uint64
}

func settle(ctx context.Context, o options, n *node, work string) (*attacker.World, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	var chain felt.Felt
	if err := n.Call(ctx, "starknet_chainId", []any{}, &chain); err != nil {
		return nil, err
	}
	var own []struct {
		Address felt.Felt `json:"address"`
		Private felt.Felt `json:"private_key"`
	}
	if err := n.Call(ctx, "devnet_getPredeployedAccounts", []any{}, &own); err != nil {
		return nil, err
	}
	last := own[len(own)-1]
	s := &settler{node: n, account: client.NewAccount(genesis.Account{Address: last.Address, PrivateKey: last.Private}, "")}
	s.account.Chain = chain
	w := &attacker.World{
		URL: n.URL, Chain: chain, Bounds: client.WideBounds(), Stranger: own[0].Address, Token: genesis.STRKAddress(),
	}
	classes := make(map[string]felt.Felt)
	for _, name := range []string{contractName, accountName} {
		class, err := compile(o, work, name)
		if err != nil {
			return nil, err
		}
		if err := s.declare(ctx, class); err != nil {
			return nil, fmt.Errorf("declare %s: %w", name, err)
		}
		classes[name], w.Class = client.Felt(class.Hash), class.Definition
	}
	var calls []client.Call
	calls = append(calls, client.Deploy(classes[contractName], felt.One()))
	w.Contract = starknet.ContractAddress(felt.Zero(), felt.One(), classes[contractName], nil)
	for i := range o.clients {
		salt := felt.FromUint64(uint64(1000 + i))
		calls = append(calls, client.Deploy(classes[accountName], salt))
		w.Accounts = append(w.Accounts, starknet.ContractAddress(felt.Zero(), salt, classes[accountName], nil))
	}
	if _, err := s.invoke(ctx, calls...); err != nil {
		return nil, fmt.Errorf("deploy: %w", err)
	}
	for _, a := range w.Accounts {
		if err := n.Call(ctx, "devnet_mint", []any{a.Hex(), json.RawMessage("1000000000000000000000000"), "FRI"}, nil); err != nil {
			return nil, fmt.Errorf("mint: %w", err)
		}
	}
	if err := s.heavy(ctx, w); err != nil {
		return nil, fmt.Errorf("heavy blocks: %w", err)
	}
	for _, address := range []felt.Felt{own[0].Address, w.Token, w.Contract} {
		var hash felt.Felt
		if err := n.Call(ctx, "starknet_getClassHashAt", []any{"latest", address.Hex()}, &hash); err != nil {
			return nil, err
		}
		w.Classes = append(w.Classes, hash)
	}
	return w, nil
}

// heavy makes a block with wide calls, one with many events, and one with as much calldata as a transaction may have.
func (s *settler) heavy(ctx context.Context, w *attacker.World) error {
	on := func(function string, data ...felt.Felt) client.Call {
		return client.Call{To: w.Contract, Selector: keccak.Selector(function), Calldata: data}
	}
	number := felt.FromUint64
	wide := make([]felt.Felt, 4000)
	for i := range wide {
		wide[i] = number(uint64(i))
	}
	transfers := make([]client.Call, 200)
	for i := range transfers {
		transfers[i] = client.Transfer(w.Token, w.Accounts[i%len(w.Accounts)], 1)
	}
	for _, calls := range [][]client.Call{
		{on("call_bomb", number(20_000), number(50), w.Contract, keccak.Selector("no such entry point"))},
		transfers,
		{on("sink", append([]felt.Felt{number(uint64(len(wide)))}, wide...)...)},
	} {
		hash, err := s.invoke(ctx, calls...)
		if err != nil {
			return err
		}
		var receipt struct {
			Number uint64 `json:"block_number"`
		}
		if err := s.Call(ctx, "starknet_getTransactionReceipt", []any{hash}, &receipt); err != nil {
			return err
		}
		if w.Heavy = append(w.Heavy, receipt.Number); w.Hash == "" {
			w.Hash = hash
		}
	}
	return nil
}

func (s *settler) declare(ctx context.Context, class *ordov1.Class) error {
	return s.done(ctx, s.account.Declare(s.nonce, class))
}

func (s *settler) invoke(ctx context.Context, calls ...client.Call) (string, error) {
	tx := s.account.Invoke(s.nonce, calls...)
	return tx.ID(), s.done(ctx, tx)
}

func (s *settler) done(ctx context.Context, tx *client.Tx) error {
	hash, err := s.Submit(ctx, tx)
	if err != nil {
		return err
	}
	s.nonce++
	status, err := s.Wait(ctx, hash, "ACCEPTED_ON_L2")
	if err == nil && status.Execution != "SUCCEEDED" {
		err = fmt.Errorf("%s: %.600s", status.Execution, status.Reason)
	}
	return err
}
