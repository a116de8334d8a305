package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
)

// Node is a node's JSON-RPC.
type Node struct {
	URL  string
	HTTP *http.Client // nil: the default one, which keeps two connections open
}

// Error is what the node answered instead of a result.
type Error struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s %s", e.Code, e.Message, e.Data) }

// Call sends one request with named or positional parameters.
func (n Node) Call(ctx context.Context, method string, params, result any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	status, raw, err := n.Post(ctx, body)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *Error          `json:"error"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("%s: status %d, not JSON: %.200s", method, status, raw)
	}
	if answer.Error != nil {
		return answer.Error
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

// Post sends a body as it is.
func (n Node) Post(ctx context.Context, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URL, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	transport := n.HTTP
	if transport == nil {
		transport = http.DefaultClient
	}
	response, err := transport.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// Submit sends a transaction and returns the hash that the node gave it.
func (n Node) Submit(ctx context.Context, tx *Tx) (string, error) {
	return n.SubmitJSON(ctx, tx.Type, tx.JSON())
}

// SubmitJSON sends a transaction that the test may have damaged.
func (n Node) SubmitJSON(ctx context.Context, kind ordov1.TransactionType, tx any) (string, error) {
	var method, name string
	switch kind {
	case ordov1.TransactionType_DECLARE:
		method, name = "starknet_addDeclareTransaction", "declare_transaction"
	case ordov1.TransactionType_DEPLOY_ACCOUNT:
		method, name = "starknet_addDeployAccountTransaction", "deploy_account_transaction"
	default:
		method, name = "starknet_addInvokeTransaction", "invoke_transaction"
	}
	var answer struct {
		Hash string `json:"transaction_hash"`
	}
	err := n.Call(ctx, method, map[string]any{name: tx}, &answer)
	return answer.Hash, err
}

// Status is a transaction's status.
type Status struct {
	Finality  string `json:"finality_status"`
	Execution string `json:"execution_status"`
	Reason    string `json:"failure_reason"`
}

// Status asks for a transaction's status.
func (n Node) Status(ctx context.Context, hash string) (s Status, err error) {
	err = n.Call(ctx, "starknet_getTransactionStatus", []any{hash}, &s)
	return s, err
}

// Wait polls until a transaction has the finality, or one beyond it.
func (n Node) Wait(ctx context.Context, hash, finality string) (Status, error) {
	order := map[string]int{"RECEIVED": 1, "CANDIDATE": 2, "PRE_CONFIRMED": 3, "ACCEPTED_ON_L2": 4, "ACCEPTED_ON_L1": 5}
	for {
		s, err := n.Status(ctx, hash)
		if err != nil || order[s.Finality] >= order[finality] {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("%s is still %s: %w", hash, s.Finality, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Nonce asks for an account's nonce at a block tag.
func (n Node) Nonce(ctx context.Context, tag string, account felt.Felt) (uint64, error) {
	var answer string
	if err := n.Call(ctx, "starknet_getNonce", map[string]any{"block_id": tag, "contract_address": account.Hex()}, &answer); err != nil {
		return 0, err
	}
	f, err := felt.FromHex(answer)
	if err != nil {
		return 0, err
	}
	nonce, _ := f.Uint64()
	return nonce, nil
}

// View calls a function.
func (n Node) View(ctx context.Context, tag string, contract felt.Felt, function string, calldata ...felt.Felt) ([]felt.Felt, error) {
	data := make([]string, len(calldata))
	for i, f := range calldata {
		data[i] = f.Hex()
	}
	var answer []felt.Felt
	err := n.Call(ctx, "starknet_call", map[string]any{"block_id": tag, "request": map[string]any{
		"contract_address": contract.Hex(), "entry_point_selector": keccak.Selector(function).Hex(), "calldata": data,
	}}, &answer)
	return answer, err
}

// Balance asks a token for a balance.
func (n Node) Balance(ctx context.Context, tag string, token, account felt.Felt) (*big.Int, error) {
	answer, err := n.View(ctx, tag, token, "balance_of", account)
	if err != nil {
		return nil, err
	}
	if len(answer) != 2 {
		return nil, fmt.Errorf("balance_of answered %d felts, want 2", len(answer))
	}
	high := answer[1].Big()
	return high.Lsh(high, 128).Add(high, answer[0].Big()), nil
}

// Block is what tests look at in a block.
type Block struct {
	Status       string   `json:"status"`
	Number       uint64   `json:"block_number"`
	Hash         string   `json:"block_hash"`
	Parent       string   `json:"parent_hash"`
	Root         string   `json:"new_root"`
	Timestamp    uint64   `json:"timestamp"`
	Sequencer    string   `json:"sequencer_address"`
	Transactions []string `json:"transactions"`
}

// Block asks for a block by tag or number.
func (n Node) Block(ctx context.Context, id any) (b Block, err error) {
	if number, ok := id.(uint64); ok {
		id = map[string]any{"block_number": number}
	}
	err = n.Call(ctx, "starknet_getBlockWithTxHashes", map[string]any{"block_id": id}, &b)
	return b, err
}
