package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/test/openrpc"
)

// blockMethods are the methods that take a block id, with the other parameters that they need.
var blockMethods = map[string]map[string]string{
	"starknet_getBlockWithTxHashes":            {},
	"starknet_getBlockWithTxs":                 {},
	"starknet_getBlockWithReceipts":            {},
	"starknet_getBlockTransactionCount":        {},
	"starknet_getStateUpdate":                  {},
	"starknet_traceBlockTransactions":          {},
	"starknet_getStorageProof":                 {},
	"starknet_getNonce":                        {"contract_address": `"0x77"`},
	"starknet_getClassHashAt":                  {"contract_address": `"0x77"`},
	"starknet_getClassAt":                      {"contract_address": `"0x77"`},
	"starknet_getClass":                        {"class_hash": `"0xc1"`},
	"starknet_getStorageAt":                    {"contract_address": `"0x99"`, "key": `"0x1"`},
	"starknet_getTransactionByBlockIdAndIndex": {"index": "0"},
	"starknet_call":                            {"request": `{"contract_address":"0x88","entry_point_selector":"0x1","calldata":[]}`},
	"starknet_estimateFee":                     {"request": "[]", "simulation_flags": "[]"},
	"starknet_simulateTransactions":            {"transactions": "[]", "simulation_flags": "[]"},
	"starknet_estimateMessageFee": {
		"message": `{"from_address":"0x8888888888888888888888888888888888888888","to_address":"0x88","entry_point_selector":"0x1","payload":[]}`,
	},
}

// withoutPreConfirmed are the methods whose block id the specification forbids to be pre_confirmed.
var withoutPreConfirmed = map[string]bool{"starknet_traceBlockTransactions": true, "starknet_getStorageProof": true}

// form is a way to write a block id, and what comes of it.
type form struct {
	id   string // "" leaves the parameter out
	code Code   // 0: a result
}

// blockForms are all forms, in a world whose latest block is 2.
var blockForms = []form{
	{`"latest"`, 0}, {`"pre_confirmed"`, 0}, {`{"block_number":2}`, 0}, {`{"block_number":1}`, 0}, {`{"block_hash":"0xb10c2"}`, 0}, {`{"block_hash":"0x00B10C2"}`, 0},
	{`"l1_accepted"`, 24}, // no block is accepted on an L1 that is not there
	{`{"block_number":9}`, 24}, {`{"block_number":18446744073709551615}`, 24}, {`{"block_hash":"0x1"}`, 24}, {`{"block_hash":"0x0"}`, 24},
	{`{"block_number":3}`, 24}, // decided, and its hash is not known
	{"", InvalidParams}, {`null`, InvalidParams}, {`"pending"`, InvalidParams}, {`"LATEST"`, InvalidParams}, {`""`, InvalidParams}, {`"0x1"`, InvalidParams}, {`2`, InvalidParams},
	{`true`, InvalidParams}, {`["latest"]`, InvalidParams}, {`{}`, InvalidParams}, {`{"block_number":"2"}`, InvalidParams}, {`{"block_number":"0x2"}`, InvalidParams},
	{`{"block_number":-1}`, InvalidParams}, {`{"block_number":1.5}`, InvalidParams}, {`{"block_number":18446744073709551616}`, InvalidParams}, {`{"block_number":null}`, InvalidParams},
	{`{"block_hash":2}`, InvalidParams}, {`{"block_hash":"b10c2"}`, InvalidParams}, {`{"block_hash":"0x"}`, InvalidParams}, {`{"block_hash":"0x` + strings.Repeat("f", 64) + `"}`, InvalidParams},
	{`{"block_number":2,"block_hash":"0xb10c2"}`, InvalidParams}, {`{"block_tag":"latest"}`, InvalidParams}, {`{"block_number":2,"more":1}`, InvalidParams},
}

// sameBlock are forms of one block: their answers are the same.
var sameBlock = []string{`"latest"`, `{"block_number":2}`, `{"block_hash":"0xb10c2"}`, `{"block_hash":"0x00B10C2"}`}

// TestEveryFormOfABlockID in every method that takes one, by position and by name, in every version. What is wrong is named.
func TestEveryFormOfABlockID(t *testing.T) {
	for _, v := range versions {
		check := checker(t, v)
		w := newWorld(t)
		w.storage.trueRoots()
		for name, m := range check.Methods {
			if m.WebSocket() || !takesBlock(m) {
				continue
			}
			others, ok := blockMethods[name]
			if !ok {
				t.Errorf("%s takes a block id and is not in the table of this test", name)
				continue
			}
			results := map[string]string{}
			for _, f := range blockForms {
				for _, params := range paramForms(m, others, "block_id", f.id) {
					result, failure := asked(t, w.server, v, name, params)
					if err := check.Answer(name, result, failure); err != nil {
						t.Error(err)
					}
					want := f.code
					if f.id == `"pre_confirmed"` && withoutPreConfirmed[name] {
						want = InvalidParams
					}
					if got := codeOf(failure); got != want {
						t.Errorf("%s %s %s: %s, want %d", v.Number, name, params, failure, want)
					}
					if want == InvalidParams && !bytes.Contains(failure, []byte("block_id")) {
						t.Errorf("%s %s: %s does not name the parameter", name, params, failure)
					}
					if known, ok := results[f.id]; ok && known != string(result) {
						t.Errorf("%s %s: by name and by position differ: %s %s", name, params, known, result)
					}
					results[f.id] = string(result)
				}
			}
			for _, id := range sameBlock {
				if results[id] != results[sameBlock[0]] {
					t.Errorf("%s: %s answers %s, and %s %s", name, id, results[id], sameBlock[0], results[sameBlock[0]])
				}
			}
		}
	}
}

// TestEveryFormOfABlockIDInAFilter of events.
func TestEveryFormOfABlockIDInAFilter(t *testing.T) {
	w, check := newWorld(t), checker(t, newest)
	for _, bound := range []string{"from_block", "to_block"} {
		for _, f := range blockForms {
			want := f.code
			switch {
			case f.id == "" || f.id == "null": // optional
				want = 0
			case f.id == `{"block_number":3}`, bound == "to_block" && want == 24 && strings.Contains(f.id, "number"): // a range may begin with the open block and end in the future
				want = 0
			}
			filter := `{"chunk_size":5}`
			if f.id != "" {
				filter = fmt.Sprintf(`{"chunk_size":5,"%s":%s}`, bound, f.id)
			}
			result, failure := asked(t, w.server, newest, "starknet_getEvents", "["+filter+"]")
			if err := check.Answer("starknet_getEvents", result, failure); err != nil {
				t.Error(err)
			}
			if got := codeOf(failure); got != want || want == InvalidParams && !bytes.Contains(failure, []byte("filter."+bound)) {
				t.Errorf("%s: %s, want %d", filter, failure, want)
			}
		}
	}
}

// optionals are the optional parameters, with values that ask for nothing beyond what is answered without them, and wrong ones.
var optionals = map[string]struct{ plain, wrong []string }{
	"response_flags":         {[]string{"[]", "null"}, []string{`"INCLUDE_PROOF_FACTS"`, `["INCLUDE"]`, `[1]`, `{}`, "7"}},
	"trace_flags":            {[]string{"[]", "null"}, []string{`["INCLUDE"]`, `{}`}},
	"contract_addresses":     {[]string{"null"}, []string{`"0x1"`, `["x"]`, `[1]`}},
	"class_hashes":           {[]string{"[]", "null"}, []string{`"0x1"`, `["x"]`}},
	"contracts_storage_keys": {[]string{"[]", "null"}, []string{`["0x1"]`, `[{"contract_address":"0x1"}]`}},
}

// TestOptionalParameters by position and by name, left out, empty, null and wrong.
func TestOptionalParameters(t *testing.T) {
	w := newWorld(t)
	for name, m := range loadSpec(t).Methods {
		if m.WebSocket() {
			continue
		}
		for i, p := range m.Params {
			if p.Required {
				continue
			}
			values, ok := optionals[p.Name]
			if !ok {
				t.Errorf("%s has the optional parameter %s, which is not in the table of this test", name, p.Name)
				continue
			}
			others := map[string]string{"block_id": `{"block_number":2}`, "transaction_hash": `"0x101"`}
			for key, value := range blockMethods[name] {
				others[key] = value
			}
			for _, earlier := range m.Params[:i] { // by position those before it are written
				if !earlier.Required {
					others[earlier.Name] = "null"
				}
			}
			without, failure := asked(t, w.server, newest, name, paramForms(m, others, p.Name, "")[0])
			if failure != nil {
				t.Errorf("%s without %s: %s", name, p.Name, failure)
			}
			for _, value := range values.plain {
				for _, params := range paramForms(m, others, p.Name, value) {
					if got, failure := asked(t, w.server, newest, name, params); string(got) != string(without) {
						t.Errorf("%s %s: %s %s, without %s %s", name, params, got, failure, p.Name, without)
					}
				}
			}
			for _, value := range values.wrong {
				for _, params := range paramForms(m, others, p.Name, value) {
					if got, failure := asked(t, w.server, newest, name, params); codeOf(failure) != InvalidParams || !bytes.Contains(failure, []byte(p.Name)) {
						t.Errorf("%s %s: %s %s", name, params, got, failure)
					}
				}
			}
		}
	}
}

func takesBlock(m *openrpc.Method) bool {
	for _, p := range m.Params {
		if p.Name == "block_id" {
			return true
		}
	}
	return false
}

// paramForms are parameters by name and, when those before the last given are all there, by position. An empty value leaves its parameter out.
func paramForms(m *openrpc.Method, others map[string]string, name, value string) []string {
	var byName, byPosition []string
	whole := true
	for _, p := range m.Params {
		text, ok := others[p.Name]
		if p.Name == name {
			text, ok = value, value != ""
		}
		if !ok {
			byPosition = append(byPosition, "")
			continue
		}
		byName, byPosition = append(byName, fmt.Sprintf("%q:%s", p.Name, text)), append(byPosition, text)
	}
	for len(byPosition) > 0 && byPosition[len(byPosition)-1] == "" {
		byPosition = byPosition[:len(byPosition)-1]
	}
	for _, text := range byPosition {
		whole = whole && text != ""
	}
	list := []string{"{" + strings.Join(byName, ",") + "}"}
	if whole {
		list = append(list, "["+strings.Join(byPosition, ",")+"]")
	}
	return list
}

func asked(t *testing.T, s *Server, v *Version, method, params string) (result, failure json.RawMessage) {
	t.Helper()
	var answer struct{ Result, Error json.RawMessage }
	if err := json.Unmarshal([]byte(postAt(s, v.paths[0], call1(method, params))), &answer); err != nil {
		t.Fatalf("%s %s: %v", method, params, err)
	}
	return answer.Result, answer.Error
}

func codeOf(failure json.RawMessage) Code {
	var e Error
	_ = json.Unmarshal(failure, &e) // none: 0
	return e.Code
}
