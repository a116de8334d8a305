package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/contracts"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/need"
)

const (
	mixedSize   = 2000
	mixedSender = 40
	mixedBlocks = 8  // with the one before them below ten, where blocks begin to write old hashes into the state
	mixedFresh  = 60 // accounts to be deployed
	declarers   = 4  // a DECLARE must have the very nonce of its account, so each has one of its own
)

// TestExecutors: the same mixed transactions through the sequential and the concurrent executor, in one block
// and in many. Results and state are the same in all four, and the roots of both executors. The root of one block is not
// that of many: at the end of each block the protocol numbers the new addresses and keys that it met (contract 0x2), and
// the numbers depend on where blocks end. They are compared as sets.
func TestExecutors(t *testing.T) {
	setup, txs := mixture(t)
	type outcome struct {
		name           string
		blocks         int
		root           string
		results, state map[string]string
	}
	var all []outcome
	for _, executor := range []string{"sequential", "concurrent"} {
		for _, blocks := range []int{1, mixedBlocks} {
			name := fmt.Sprintf("%s, %d blocks", executor, blocks)
			root, results, state := execute(t, executor, blocks, setup, txs)
			t.Logf("%s: root %s, %d results", name, root, len(results))
			all = append(all, outcome{name, blocks, root, results, state})
		}
	}
	for i, o := range all {
		for _, other := range all[:i] {
			if o.blocks == other.blocks && o.root != other.root {
				t.Errorf("%s ends with root %s, %s with %s", o.name, o.root, other.name, other.root)
			}
		}
		sameEntries(t, all[0].name, o.name, all[0].results, o.results)
		sameEntries(t, all[0].name, o.name, all[0].state, o.state)
	}
	counts := make(map[string]int)
	for _, result := range all[0].results {
		for _, word := range []string{"SUCCEEDED", "REVERTED", "DECLARE", "DEPLOY_ACCOUNT"} {
			if strings.Contains(result, `"`+word+`"`) {
				counts[word]++
			}
		}
	}
	t.Logf("%v", counts)
	if len(all[0].results) < mixedSize*9/10 || counts["REVERTED"] < 50 || counts["DECLARE"] < 3 || counts["DEPLOY_ACCOUNT"] < 10 {
		t.Errorf("the mixture is not mixed: %d results, %v", len(all[0].results), counts)
	}
}

func sameEntries(t *testing.T, name, otherName string, a, b map[string]string) {
	t.Helper()
	if maps.Equal(a, b) {
		return
	}
	for key, value := range a {
		if b[key] != value {
			t.Errorf("%s and %s differ in %s:\n%s\n%s", name, otherName, key, value, b[key])
			return
		}
	}
	t.Errorf("%s has %d entries, %s has %d", name, len(a), otherName, len(b))
}

// execute runs the transactions in a fresh node and returns the final root, each receipt, and all that the state became.
func execute(t *testing.T, executor string, blocks int, setup, txs []*client.Tx) (root string, results, state map[string]string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ordo.toml")
	settings := fmt.Sprintf("[chain]\nblock_generation_on = \"demand\"\n[rpc]\nport = 0\ndevnet = true\n[genesis]\naccounts = %d\naccount_class = \"native\"\n"+
		"[execution.config]\nexecutor = %q\n", mixedSender+declarers, executor)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	n := run(t, "run", "--config", file)
	defer n.stop(t)
	seal := func(part []*client.Tx) {
		t.Helper()
		for _, tx := range part {
			n.submit(t, tx)
		}
		n.call(t, "devnet_createBlock", map[string]any{}, nil)
	}
	seal(setup)
	for i := range blocks {
		seal(txs[i*len(txs)/blocks : (i+1)*len(txs)/blocks])
	}
	head := n.rooted(t, uint64(blocks+1))
	if head.Number != uint64(blocks+1) {
		t.Fatalf("%d blocks, want %d", head.Number, blocks+1)
	}
	results = make(map[string]string)
	for number := 2; number <= blocks+1; number++ {
		var block struct {
			Transactions []struct {
				Receipt map[string]any `json:"receipt"`
			} `json:"transactions"`
		}
		n.call(t, "starknet_getBlockWithReceipts", map[string]any{"block_id": map[string]any{"block_number": number}}, &block)
		for _, tx := range block.Transactions {
			hash := tx.Receipt["transaction_hash"].(string)
			raw, err := json.Marshal(tx.Receipt)
			if err != nil {
				t.Fatal(err)
			}
			results[hash] = string(raw)
		}
	}
	state = make(map[string]string)
	for number := 1; number <= blocks+1; number++ {
		n.written(t, number, state)
	}
	return head.Root, results, state
}

// written puts into state what a block wrote.
func (n *node) written(t *testing.T, number int, state map[string]string) {
	t.Helper()
	var update struct {
		Diff struct {
			Storage []struct {
				Address string
				Entries []struct{ Key, Value string } `json:"storage_entries"`
			} `json:"storage_diffs"`
			Nonces []struct {
				Address string `json:"contract_address"`
				Nonce   string
			} `json:"nonces"`
			Deployed []struct {
				Address string
				Class   string `json:"class_hash"`
			} `json:"deployed_contracts"`
			Declared []struct {
				Class    string `json:"class_hash"`
				Compiled string `json:"compiled_class_hash"`
			} `json:"declared_classes"`
		} `json:"state_diff"`
	}
	n.call(t, "starknet_getStateUpdate", map[string]any{"block_id": map[string]any{"block_number": number}}, &update)
	for _, contract := range update.Diff.Storage {
		for _, e := range contract.Entries {
			if contract.Address == "0x2" {
				e.Value = "numbered"
			}
			state[contract.Address+" at "+e.Key] = e.Value
		}
	}
	for _, c := range update.Diff.Nonces {
		state[c.Address+" nonce"] = c.Nonce
	}
	for _, c := range update.Diff.Deployed {
		state[c.Address+" class"] = c.Class
	}
	for _, c := range update.Diff.Declared {
		state[c.Class+" declared"] = c.Compiled
	}
}

// mixture makes the transactions, always the same ones: setup funds the accounts that the others deploy. A nonce that comes too early is followed by the missing one
// within the same eighth, so that the order of execution does not depend on where blocks end.
func mixture(t *testing.T) (setup, list []*client.Tx) {
	t.Helper()
	m := &mixer{
		random:  rand.New(rand.NewPCG(5, 2000)),
		senders: accounts(0, mixedSender),
		authors: accounts(0, mixedSender+declarers)[mixedSender:],
		nonces:  make([]uint64, mixedSender),
		dir:     filepath.Join(need.Binaries(t), "contracts"),
	}
	m.token = m.class(t, contracts.ERC20)
	m.account = m.class(t, contracts.NativeAccount)
	m.classes = []*ordov1.Class{m.token, m.class(t, contracts.Hello), m.class(t, contracts.Bridge), m.class(t, contracts.Mintable)}
	for i := range mixedFresh {
		salt := felt.FromUint64(uint64(i))
		account := client.NewAccountAt(m.senders[0], client.Felt(m.account.Hash), salt, felt.FromUint64(uint64(1_000_000+i)))
		m.fresh = append(m.fresh, fresh{account, salt})
		call := client.Transfer(strk(), account.Address, 5_000_000_000_000_000_000)
		setup = append(setup, m.invoke(i%mixedSender, call))
	}
	for part := range mixedBlocks {
		from := len(list)
		for len(list) < (part+1)*mixedSize/mixedBlocks {
			list = append(list, m.next(len(list))...)
		}
		m.scatter(list[from:])
	}
	return setup, list
}

type mixer struct {
	random  *rand.Rand
	senders []*client.Account
	authors []*client.Account // each declares the class of the same place
	nonces  []uint64
	dir     string
	token   *ordov1.Class
	account *ordov1.Class
	classes []*ordov1.Class
	tokens  []deployed
	fresh   []fresh // funded, not deployed
	salt    uint64
}

type fresh struct {
	*client.Account
	salt felt.Felt
}

type deployed struct {
	address felt.Felt
	owner   int
}

func (m *mixer) class(t *testing.T, name string) *ordov1.Class {
	t.Helper()
	class, err := contracts.Read(m.dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return class
}

func (m *mixer) invoke(sender int, calls ...client.Call) *client.Tx {
	m.nonces[sender]++
	a := *m.senders[sender]
	a.Tip = m.random.Uint64N(3)
	return a.Invoke(m.nonces[sender]-1, calls...)
}

func (m *mixer) next(index int) []*client.Tx {
	sender := m.random.IntN(len(m.senders))
	other := m.senders[m.random.IntN(len(m.senders))].Address
	m.salt++
	salt := felt.FromUint64(m.salt)
	switch roll := m.random.IntN(100); {
	case index%500 == 0: // declares, the token's first
		return []*client.Tx{m.authors[index/500].Declare(0, m.classes[index/500])}
	case roll < 8: // a token of the sender's
		data := []felt.Felt{salt, salt, felt.FromUint64(18), felt.FromUint64(1000), felt.Zero(), m.senders[sender].Address}
		hash := client.Felt(m.token.Hash)
		m.tokens = append(m.tokens, deployed{starknet.ContractAddress(felt.Zero(), salt, hash, data), sender})
		return []*client.Tx{m.invoke(sender, client.Deploy(hash, salt, data...))}
	case roll < 20 && len(m.tokens) > 0: // it moves, or reverts once the owner has given it all away
		token := m.tokens[m.random.IntN(len(m.tokens))]
		return []*client.Tx{m.invoke(token.owner, client.Transfer(token.address, other, m.random.Uint64N(900)))}
	case roll < 24: // more than anyone has: reverts
		call := client.Transfer(strk(), other, 1)
		call.Calldata[2] = felt.One() // high half
		return []*client.Tx{m.invoke(sender, call)}
	case roll < 26: // no contract there: reverts
		return []*client.Tx{m.invoke(sender, client.Transfer(salt.Add(felt.MustHex("0xdead0000")), other, 1))}
	case roll < 28: // a class that was never declared
		return []*client.Tx{m.invoke(sender, client.Deploy(felt.MustHex("0xc1a55"), salt))}
	case roll < 33 && len(m.fresh) > 0: // an account is deployed, and used at once
		account := m.fresh[0]
		m.fresh = m.fresh[1:]
		deploy := account.DeployAccount(client.Felt(m.account.Hash), account.salt)
		return []*client.Tx{deploy, account.Invoke(1, client.Transfer(strk(), other, 5))}
	case roll < 40: // several calls
		return []*client.Tx{m.invoke(sender, client.Transfer(strk(), other, 1), client.Transfer(strk(), felt.FromUint64(m.salt), 2))}
	}
	return []*client.Tx{m.invoke(sender, client.Transfer(strk(), other, m.random.Uint64N(1000)))}
}

// scatter exchanges neighbours of one sender, which makes gaps in nonces.
func (m *mixer) scatter(part []*client.Tx) {
	last := make(map[string]int)
	for i, tx := range part {
		sender := string(tx.Sender)
		if j, ok := last[sender]; ok && m.random.IntN(12) == 0 && plain(part[i]) && plain(part[j]) {
			part[i], part[j] = part[j], part[i]
			delete(last, sender)
			continue
		}
		last[sender] = i
	}
}

func plain(tx *client.Tx) bool {
	return tx.Type == ordov1.TransactionType_INVOKE
}
