package attacker

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/mutate"
)

// Subject is what the requests of a corpus are about.
type Subject struct {
	Account felt.Felt // a sender
	Token   felt.Felt
	Class   felt.Felt
	Hash    string                 // of a transaction in a block
	Nonce   uint64                 // the sender's next one
	Invoke  func(nonce uint64) any // a transaction of the sender
	Deploy  any                    // a deployment of an account; nil: the corpus has none
}

// Corpus are valid requests of each method, about a chain that has some of everything.
func Corpus(ctx context.Context, n client.Node, s Subject) (map[string][][]byte, error) {
	var latest struct {
		Hash string `json:"block_hash"`
	}
	if err := n.Call(ctx, "starknet_blockHashAndNumber", []any{}, &latest); err != nil {
		return nil, err
	}
	text := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			panic(err) // only a wrong corpus is no JSON
		}
		return string(raw)
	}
	all := map[string][][]byte{}
	add := func(method string, params ...any) {
		list := make([]string, len(params))
		for i, p := range params {
			list[i] = text(p)
		}
		all[method] = append(all[method], mutate.Request(method, "["+strings.Join(list, ",")+"]"))
	}
	account, token, class := s.Account.Hex(), s.Token.Hex(), s.Class.Hex()
	call := functionCall(s.Token, "balance_of", s.Account)
	message := map[string]any{"from_address": "0x8888888888888888888888888888888888888888", "to_address": token, "entry_point_selector": "0x1", "payload": []string{"0x1"}}
	for _, id := range []any{"latest", "pre_confirmed", block(1), map[string]string{"block_hash": latest.Hash}} {
		for _, method := range []string{"getBlockWithTxHashes", "getBlockWithTxs", "getBlockWithReceipts", "getBlockTransactionCount", "getStateUpdate", "traceBlockTransactions"} {
			add("starknet_"+method, id)
		}
		add("starknet_getTransactionByBlockIdAndIndex", id, 0)
		add("starknet_getNonce", id, account)
		add("starknet_getClassHashAt", id, account)
		add("starknet_getClassAt", id, account)
		add("starknet_getClass", id, class)
		add("starknet_getStorageAt", token, "0x1", id)
		add("starknet_getStorageAt", token, "0x1", id, []string{"INCLUDE_LAST_UPDATE_BLOCK"})
		add("starknet_getStorageProof", id, []string{class}, []string{account, token}, []any{map[string]any{"contract_address": token, "storage_keys": []string{"0x1", "0x2"}}})
		add("starknet_call", call, id)
		add("starknet_estimateFee", []any{s.Invoke(s.Nonce)}, []string{"SKIP_VALIDATE"}, id)
		add("starknet_estimateMessageFee", message, id)
		add("starknet_simulateTransactions", id, []any{s.Invoke(s.Nonce), s.Invoke(s.Nonce + 1)}, []string{"SKIP_VALIDATE", "SKIP_FEE_CHARGE"})
		add("starknet_getEvents", map[string]any{"from_block": id, "to_block": "pre_confirmed", "address": token, "keys": [][]string{{}, {"0x1"}}, "chunk_size": 5})
		add("devnet_getAccountBalance", account, "FRI", id)
	}
	for _, method := range []string{"getTransactionStatus", "getTransactionByHash", "getTransactionReceipt", "traceTransaction"} {
		add("starknet_"+method, s.Hash)
	}
	add("starknet_getMessagesStatus", s.Hash)
	for _, method := range []string{"starknet_specVersion", "starknet_chainId", "starknet_syncing", "starknet_blockNumber", "starknet_blockHashAndNumber",
		"devnet_getConfig", "devnet_createBlock", "ordo_plugins"} {
		add(method)
	}
	var declare map[string]any
	if err := json.Unmarshal([]byte(text(s.Invoke(s.Nonce+2))), &declare); err != nil {
		return nil, err
	}
	delete(declare, "calldata")
	declare["type"], declare["compiled_class_hash"] = "DECLARE", "0x1"
	declare["contract_class"] = json.RawMessage(`{"sierra_program":["0x1","0x7","0x0","0x2","0x1","0x0","0x5","0x6","0x7"],"contract_class_version":"0.1.0","entry_points_by_type":{"CONSTRUCTOR":[],"EXTERNAL":[{"selector":"0x5","function_idx":0}],"L1_HANDLER":[]},"abi":"[]"}`)
	add("starknet_getCompiledCasm", class)
	add("starknet_addInvokeTransaction", s.Invoke(s.Nonce))
	add("starknet_addInvokeTransaction", s.Invoke(s.Nonce+6))
	if s.Deploy != nil {
		add("starknet_addDeployAccountTransaction", s.Deploy)
	}
	add("starknet_addDeclareTransaction", declare)
	add("devnet_getPredeployedAccounts", true)
	add("devnet_mint", account, 1000, "WEI")
	add("devnet_setTime", 3000000000, false)
	add("devnet_increaseTime", 1)
	return all, nil
}
