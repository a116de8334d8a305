package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
)

// TestLiveAnswers reads all of a running node's chain and checks every answer against the specification's schema:
//
//	ORDO_LIVE=http://127.0.0.1:5050 go test ./core/rpc -run Live
func TestLiveAnswers(t *testing.T) {
	url := os.Getenv("ORDO_LIVE")
	if url == "" {
		t.Skip("ORDO_LIVE is not set: it names a running node")
	}
	spec := loadSpec(t)
	ask := func(method string, params ...any) json.RawMessage {
		t.Helper()
		body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": append([]any{}, params...)})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.Post(url, "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		var answer struct {
			Result, Error json.RawMessage
		}
		if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		if answer.Error != nil {
			t.Errorf("%s %v: %s", method, params, answer.Error)
			return nil
		}
		checkAnswer(t, spec, method, answer.Result, nil)
		return answer.Result
	}
	var head uint64
	if err := json.Unmarshal(ask("starknet_blockNumber"), &head); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"starknet_specVersion", "starknet_chainId", "starknet_syncing", "starknet_blockHashAndNumber"} {
		ask(method)
	}
	for n := uint64(0); n <= head+1; n++ {
		var id any = map[string]any{"block_number": n}
		if n > head {
			id = "pre_confirmed"
		} else {
			ask("starknet_traceBlockTransactions", id)
			ask("starknet_traceBlockTransactions", id, []string{"RETURN_INITIAL_READS"})
		}
		ask("starknet_getBlockWithTxs", id)
		ask("starknet_getBlockWithReceipts", id)
		ask("starknet_getBlockTransactionCount", id)
		readState(t, ask, id)
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
	for pages := 0; ; pages++ {
		var page struct {
			Token string `json:"continuation_token"`
		}
		if err := json.Unmarshal(ask("starknet_getEvents", filter), &page); err != nil {
			t.Fatal(err)
		}
		if page.Token == "" {
			t.Logf("%d blocks, %d pages of events", head+1, pages+1)
			return
		}
		filter["continuation_token"] = page.Token
	}
}

// readState reads back, at the block, what its state update says.
func readState(t *testing.T, ask func(string, ...any) json.RawMessage, id any) {
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
			ask("starknet_getStorageAt", c.Address, e.Key, id, []string{"INCLUDE_LAST_UPDATE_BLOCK"})
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
