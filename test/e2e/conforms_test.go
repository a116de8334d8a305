package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/test/attack/attacker"
	"github.com/ordo-sequencer/ordo/test/mutate"
	"github.com/ordo-sequencer/ordo/test/openrpc"
)

// versionPaths are where each version of the specification is answered.
var versionPaths = map[string]string{"0.10.2": "", "0.9.0": "/rpc/v0_9"}

// neverHere are the answers that a running node does not give, beside those that no node gives; transcripts of core/rpc have them.
var neverHere = openrpc.Reasons{
	"starknet_blockNumber":        {32: "block 0 is made before the node serves"},
	"starknet_blockHashAndNumber": {32: "block 0 is made before the node serves"},
}

// checked is the node by a path of a version; every answer that passes is compared with the table of that version.
func (n *node) checked(t *testing.T, version string) (*node, *openrpc.Checker) {
	t.Helper()
	table, err := openrpc.Load(version)
	if err != nil {
		t.Fatal(err)
	}
	check := &openrpc.Checker{Table: table, Beside: mutate.Beside}
	process := *n.Process
	process.Node = client.Node{URL: n.URL + versionPaths[version], HTTP: &http.Client{Transport: &openrpc.Transport{Checker: check, Wrong: func(err error) { t.Error(err) }}}}
	return &node{&process}, check
}

// TestAnswersFitTheSpecification: in every version, under a mixed load, each answer fits the table, and each that the table lists is given,
// but for those that cannot be.
func TestAnswersFitTheSpecification(t *testing.T) {
	for _, version := range openrpc.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			whole := start(t, "--plugin-health-timeout", "0", "--plugin-call-timeout", "0") // a plugin that is stopped is not killed
			n, check := whole.checked(t, version)
			mixedLoad(t, n)
			provoke(t, whole, n, version)
			readChain(t, n, version)
			for _, missing := range check.Missing(check.Table, both(openrpc.Never, neverHere)) {
				t.Error(missing)
			}
		})
	}
}

func both(a, b openrpc.Reasons) openrpc.Reasons {
	sum := openrpc.Reasons{}
	for _, r := range []openrpc.Reasons{a, b} {
		for method, codes := range r {
			for code, why := range codes {
				if sum[method] == nil {
					sum[method] = map[int]string{}
				}
				sum[method][code] = why
			}
		}
	}
	return sum
}

// mixedLoad runs transactions of four accounts beside requests of every method, as they are and damaged.
func mixedLoad(t *testing.T, n *node) {
	t.Helper()
	senders := accounts(0, 4)
	first := senders[0]
	hash := n.submit(t, first.Invoke(0, client.Transfer(strk(), senders[1].Address, 1)))
	n.accepted(t, hash)
	corpus, err := attacker.Corpus(within(t, patient), n.Node, attacker.Subject{
		Account: first.Address, Token: strk(), Class: openZeppelin(), Hash: hash, Nonce: 1,
		Invoke: func(nonce uint64) any {
			return first.Invoke(nonce, client.Transfer(strk(), senders[1].Address, 1)).JSON()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i, a := range senders[1:] {
		all.Go(func() {
			for nonce := range uint64(10) {
				if _, err := n.Submit(within(t, patient), a.Invoke(nonce, client.Transfer(strk(), senders[i].Address, 1+nonce))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for at := range 2 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(at)))
			for method, list := range corpus {
				if method == "devnet_setTime" || method == "devnet_increaseTime" { // transactions of this test expire otherwise
					continue
				}
				for _, body := range list {
					for _, sent := range [][]byte{body, mutate.Body(r, body), mutate.Body(r, body)} {
						if _, _, err := n.Post(within(t, patient), sent); err != nil {
							t.Errorf("%.200s: %v", sent, err)
						}
					}
				}
			}
		})
	}
	all.Wait()
}

// readChain reads all of a chain, and compares what its parts say of each other.
func readChain(t *testing.T, n *node, version string) {
	t.Helper()
	newest := version == openrpc.Versions[0]
	ask := func(method string, params ...any) (result json.RawMessage) {
		t.Helper()
		if err := n.Call(within(t, patient), method, append([]any{}, params...), &result); err != nil {
			t.Errorf("%s %v: %v", method, params, err)
		}
		return result
	}
	var head uint64
	if err := json.Unmarshal(ask("starknet_blockNumber"), &head); err != nil {
		t.Fatal(err)
	}
	if said := string(ask("starknet_specVersion")); said != fmt.Sprintf("%q", version) {
		t.Errorf("version %s answers %s", version, said)
	}
	for _, method := range []string{"starknet_chainId", "starknet_syncing", "starknet_blockHashAndNumber"} {
		ask(method)
	}
	for number := uint64(0); number <= head+1; number++ {
		var id any = map[string]any{"block_number": number}
		if number > head {
			id = "pre_confirmed"
		} else {
			ask("starknet_traceBlockTransactions", id)
			if newest {
				ask("starknet_traceBlockTransactions", id, []string{"RETURN_INITIAL_READS"})
			}
		}
		ask("starknet_getBlockWithTxs", id)
		ask("starknet_getBlockWithReceipts", id)
		if newest {
			ask("starknet_getBlockWithTxs", id, []string{"INCLUDE_PROOF_FACTS"})
			ask("starknet_getBlockWithReceipts", id, []string{"INCLUDE_PROOF_FACTS"})
			ask("starknet_getStateUpdate", id, []string{strk().Hex()})
		}
		ask("starknet_getBlockTransactionCount", id)
		readState(t, ask, id, newest)
		var block struct{ Transactions []string }
		if err := json.Unmarshal(ask("starknet_getBlockWithTxHashes", id), &block); err != nil {
			t.Fatal(err)
		}
		for i, hash := range block.Transactions {
			ask("starknet_getTransactionByBlockIdAndIndex", id, i)
			for _, method := range []string{"starknet_getTransactionByHash", "starknet_getTransactionStatus", "starknet_getTransactionReceipt", "starknet_traceTransaction"} {
				ask(method, hash)
			}
		}
	}
	filter := map[string]any{"chunk_size": 7, "to_block": "pre_confirmed"}
	for pages := 1; ; pages++ {
		var page struct {
			Token string `json:"continuation_token"`
		}
		if err := json.Unmarshal(ask("starknet_getEvents", filter), &page); err != nil {
			t.Fatal(err)
		}
		if page.Token == "" {
			t.Logf("version %s: %d blocks, %d pages of events", version, head+1, pages)
			return
		}
		filter["continuation_token"] = page.Token
	}
}

// readState reads back, at the block, what its state update says.
func readState(t *testing.T, ask func(string, ...any) json.RawMessage, id any, newest bool) {
	t.Helper()
	var update struct {
		Diff struct {
			Storage []struct {
				Address string
				Entries []struct{ Key, Value string } `json:"storage_entries"`
			} `json:"storage_diffs"`
			Declared []struct {
				Class string `json:"class_hash"`
			} `json:"declared_classes"`
			Deployed []struct {
				Address string
				Class   string `json:"class_hash"`
			} `json:"deployed_contracts"`
			Nonces []struct {
				Contract string `json:"contract_address"`
				Nonce    string
			}
		} `json:"state_diff"`
	}
	if err := json.Unmarshal(ask("starknet_getStateUpdate", id), &update); err != nil {
		t.Fatal(err)
	}
	same := func(method, want string, params ...any) {
		t.Helper()
		if got := string(ask(method, params...)); got != fmt.Sprintf("%q", want) {
			t.Errorf("%s %v: %s, the state update says %s", method, params, got, want)
		}
	}
	for _, c := range update.Diff.Storage {
		for _, e := range c.Entries {
			same("starknet_getStorageAt", e.Value, c.Address, e.Key, id)
			if newest {
				ask("starknet_getStorageAt", c.Address, e.Key, id, []string{"INCLUDE_LAST_UPDATE_BLOCK"})
			}
		}
	}
	for _, n := range update.Diff.Nonces {
		same("starknet_getNonce", n.Nonce, id, n.Contract)
	}
	for _, d := range update.Diff.Deployed {
		same("starknet_getClassHashAt", d.Class, id, d.Address)
		ask("starknet_getClassAt", id, d.Address)
	}
	for _, d := range update.Diff.Declared {
		ask("starknet_getClass", id, d.Class)
		ask("starknet_getCompiledCasm", d.Class)
	}
}
