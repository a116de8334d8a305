package openrpc

import (
	"encoding/json"
	"strings"
	"testing"
)

func load(t *testing.T) *Table { return loadVersion(t, Versions[0]) }

func loadVersion(t *testing.T, version string) *Table {
	t.Helper()
	table, err := Load(version)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestTableIsWhole: a table that lost a part would let wrong answers pass.
func TestTableIsWhole(t *testing.T) {
	for version, errors := range map[string]int{"0.10.2": 35, "0.9.0": 34} {
		table := loadVersion(t, version)
		if len(table.Methods) != 44 || len(table.Errors) != errors || len(table.types) < 120 {
			t.Errorf("%s: %d methods, %d errors, %d types", version, len(table.Methods), len(table.Errors), len(table.types))
		}
		for name, m := range table.Methods {
			if strings.Contains(name, "subscription") != (m.Result == nil) {
				t.Errorf("%s: %s has the result %v", version, name, m.Result)
			}
		}
	}
}

// TestWrongAnswersAreFound: each wrong value differs in one thing from a right one.
func TestWrongAnswersAreFound(t *testing.T) {
	table := load(t)
	const header = `{"block_hash":"0x1","block_number":7}`
	for _, c := range []struct {
		method, answer, want string
	}{
		{"starknet_blockHashAndNumber", header, ""},
		{"starknet_blockHashAndNumber", strings.Replace(header, "7", "-7", 1), "below 0"},
		{"starknet_blockHashAndNumber", strings.Replace(header, "7", "7.5", 1), "not an integer"},
		{"starknet_blockHashAndNumber", strings.Replace(header, "7", `"7"`, 1), "not a number"},
		{"starknet_blockHashAndNumber", strings.Replace(header, "0x1", "0x01", 1), "does not match"},
		{"starknet_blockHashAndNumber", strings.Replace(header, "block_hash", "hash", 1), "block_hash is missing"},
		{"starknet_blockHashAndNumber", strings.Replace(header, "{", `{"more":1,`, 1), "unknown field more"},
		{"starknet_blockHashAndNumber", `[]`, "not an object"},
		{"starknet_call", `["0x0"]`, ""},
		{"starknet_call", `["0x0",1]`, "[1]: 1 is not a string"},
		{"starknet_syncing", `false`, ""},
		{"starknet_syncing", `"no"`, "no choice fits"},
		{"starknet_getTransactionStatus", `{"finality_status":"ACCEPTED_ON_L2","execution_status":"SUCCEEDED"}`, ""},
		{"starknet_getTransactionStatus", `{"finality_status":"REJECTED","execution_status":"SUCCEEDED"}`, "no choice fits"},
		{"starknet_subscriptionReorg", `{}`, "no result"},
		{"starknet_nonsense", `{}`, "no result"},
	} {
		err := table.CheckResult(c.method, json.RawMessage(c.answer))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.method, c.answer, err, c.want)
		}
	}
	for _, c := range []struct{ value, want string }{
		{`"latest"`, ""}, {`{"block_number":3}`, ""}, {`"pre_confirmed"`, "must not be"}, {`{"block_number":3,"block_hash":"0x1"}`, "unknown field"},
	} {
		err := table.CheckParam("starknet_getStorageProof", "block_id", json.RawMessage(c.value))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.value, err, c.want)
		}
	}
	for _, c := range []struct {
		code          int
		message, data string
		want          string
	}{
		{24, "Block not found", "", ""}, {24, "block not found", "", "the message"}, {999, "", "", "no error"},
		{41, "Transaction execution error", "", "no data"}, {41, "Transaction execution error", `{"transaction_index":0}`, "execution_error is missing"},
		{41, "Transaction execution error", `{"transaction_index":0,"execution_error":"x"}`, ""},
	} {
		err := table.CheckError(c.code, c.message, json.RawMessage(c.data))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: %v, want %q", c.code, err, c.want)
		}
	}
}

// TestBrokenTablesAreErrors: a table with a fault is not read in part.
func TestBrokenTablesAreErrors(t *testing.T) {
	for _, source := range []string{
		"type A = B", "type A = {", "type A = { a int b int }", "type A = text \"(\"", "type A = int\ntype A = num", "type = int", "kind A = int",
		"method m() -> int ! 7", "method m( -> int", "method m()", "error 1 A", "error 1 A \"a\"\nerror 1 B \"b\"", "type A = int >= x", "type A = \"open",
	} {
		if table, err := Parse(source); err == nil {
			t.Errorf("%q is read: %v", source, table)
		}
	}
}
