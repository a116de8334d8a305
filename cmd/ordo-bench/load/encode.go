package load

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// encoder writes requests. What is the same in all of them is written once.
type encoder struct {
	bounds []byte
}

func newEncoder(b starknet.ResourceBounds) (*encoder, error) {
	bound := func(b starknet.Bound) map[string]string {
		price := felt.FromUint128(b.MaxPrice.Hi, b.MaxPrice.Lo)
		return map[string]string{"max_amount": fmt.Sprintf("%#x", b.MaxAmount), "max_price_per_unit": price.Hex()}
	}
	raw, err := json.Marshal(map[string]any{"l1_gas": bound(b.L1Gas), "l2_gas": bound(b.L2Gas), "l1_data_gas": bound(*b.L1DataGas)})
	return &encoder{bounds: raw}, err
}

// invoke appends the request that sends a transaction.
func (e *encoder) invoke(dst []byte, id int, tx *unsigned, s *signed) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = strconv.AppendInt(dst, int64(id), 10)
	dst = append(dst, `,"method":"starknet_addInvokeTransaction","params":{"invoke_transaction":{"type":"INVOKE","version":"0x3","sender_address":`...)
	dst = appendFelt(dst, tx.sender)
	dst = append(dst, `,"nonce":"0x`...)
	dst = strconv.AppendUint(dst, tx.nonce, 16)
	dst = append(dst, `","tip":"0x0","signature":[`...)
	dst = appendFelt(dst, s.r)
	dst = append(dst, ',')
	dst = appendFelt(dst, s.s)
	dst = append(dst, `],"calldata":[`...)
	for i, f := range tx.calldata {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendFelt(dst, f)
	}
	dst = append(dst, `],"resource_bounds":`...)
	dst = append(dst, e.bounds...)
	return append(dst, `,"paymaster_data":[],"account_deployment_data":[],"nonce_data_availability_mode":"L1","fee_data_availability_mode":"L1"}}}`...)
}

const digits = "0123456789abcdef"

// appendFelt writes a felt in quotes.
func appendFelt(dst []byte, f felt.Felt) []byte {
	dst = append(dst, `"0x`...)
	b := f.Bytes()
	begun := false
	for i, c := range b {
		if begun || c>>4 > 0 {
			dst, begun = append(dst, digits[c>>4]), true
		}
		if begun || c&15 > 0 || i == len(b)-1 {
			dst, begun = append(dst, digits[c&15]), true
		}
	}
	return append(dst, '"')
}

// answered is what a node says to one request.
type answered struct {
	ID     int `json:"id"`
	Result struct {
		Hash string `json:"transaction_hash"`
	} `json:"result"`
	Error *client.Error `json:"error"`
}

// readAnswers puts the answers to requests 0 to n-1 in their order. A node may answer a batch in any order, and with one
// error for all of it.
func readAnswers(raw []byte, n int) ([]answered, error) {
	if n == 1 && raw[0] == '{' {
		var a answered
		if err := json.Unmarshal(raw, &a); err != nil {
			return nil, notUnderstood(raw)
		}
		return []answered{a}, nil
	}
	if raw[0] == '{' {
		var a answered
		if err := json.Unmarshal(raw, &a); err != nil || a.Error == nil {
			return nil, notUnderstood(raw)
		}
		return nil, a.Error
	}
	var list []answered
	if err := json.Unmarshal(raw, &list); err != nil || len(list) != n {
		return nil, notUnderstood(raw)
	}
	out := make([]answered, n)
	seen := make([]bool, n)
	for _, a := range list {
		if a.ID < 0 || a.ID >= n || seen[a.ID] {
			return nil, notUnderstood(raw)
		}
		out[a.ID], seen[a.ID] = a, true
	}
	return out, nil
}

func notUnderstood(raw []byte) error {
	return fmt.Errorf("the answer is not what json-rpc asks for: %.200s", raw)
}
