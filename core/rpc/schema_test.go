package rpc

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/ordo-sequencer/ordo/test/mutate"
	"github.com/ordo-sequencer/ordo/test/openrpc"
)

func loadSpec(t testing.TB) *openrpc.Table {
	t.Helper()
	table, err := openrpc.Load()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// checkAnswer compares an answer of a method with the specification.
func checkAnswer(t testing.TB, spec *openrpc.Table, name string, result, failure json.RawMessage) {
	t.Helper()
	m, ok := spec.Methods[name]
	if !ok {
		return // a method of devnet or of the node's own
	}
	if failure == nil {
		if err := spec.CheckResult(name, result); err != nil {
			t.Errorf("%s: the answer does not fit the specification: %v\n%s", name, err, result)
		}
		return
	}
	var e struct {
		Code    int
		Message string
		Data    json.RawMessage
	}
	if err := json.Unmarshal(failure, &e); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if e.Code > 0 && !mutate.MayFail(name, e.Code) && !slices.Contains(senseless[name], e.Code) {
		t.Errorf("%s: error %v is not among the method's: %v", name, e.Code, m.Codes)
	}
	if e.Code > 0 {
		if err := spec.CheckError(e.Code, e.Message, e.Data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// senseless are errors that a method gives only when execution answers nonsense, as the tests make it.
var senseless = map[string][]int{"starknet_addInvokeTransaction": {28, 51, 56, 57, 60, 62}}

// TestCodes: the table of the errors that a method may give is the specification's.
func TestCodes(t *testing.T) {
	for name, m := range loadSpec(t).Methods {
		if served(m) && !slices.Equal(m.Codes, mutate.Codes[name]) {
			t.Errorf("%s: the table says %v, the specification %v", name, mutate.Codes[name], m.Codes)
		}
	}
}

// TestEveryMethodOfTheSpecificationIsKnown: each is served, with its parameters.
func TestEveryMethodOfTheSpecificationIsKnown(t *testing.T) {
	server := newWorld(t).server
	for name, m := range loadSpec(t).Methods {
		if !served(m) {
			continue
		}
		method, ok := server.methods[name]
		if !ok {
			t.Errorf("%s is not served", name)
		}
		if params := m.ParamNames(); ok && !slices.Equal(method.Params, params) {
			t.Errorf("%s: parameters %v, the specification has %v", name, method.Params, params)
		}
	}
}

// served tells whether a client calls the method; the others are notifications.
func served(m *openrpc.Method) bool { return m.Result != nil }
