package rpc

import (
	"slices"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/test/mutate"
	"github.com/ordo-sequencer/ordo/test/openrpc"
)

// loadSpec is the table of the newest version.
func loadSpec(t testing.TB) *openrpc.Table { return loadVersion(t, newest) }

func loadVersion(t testing.TB, v *Version) *openrpc.Table {
	t.Helper()
	table, err := openrpc.Load(v.Number)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// checker compares answers with a version of the specification.
func checker(t testing.TB, v *Version) *openrpc.Checker {
	t.Helper()
	return &openrpc.Checker{Table: loadVersion(t, v), Beside: func(method string, code int) bool {
		return mutate.Beside(method, code) || slices.Contains(senseless[method], code)
	}}
}

// senseless are errors that a method gives only when execution answers nonsense, as the tests make it.
var senseless = map[string][]int{"starknet_addInvokeTransaction": {28, 51, 56, 57, 60, 62}}

// TestEveryMethodOfTheSpecificationIsKnown: each is served, with its parameters, in every version; and no other has such a name.
func TestEveryMethodOfTheSpecificationIsKnown(t *testing.T) {
	server := newWorld(t).server
	for _, v := range versions {
		table := loadVersion(t, v)
		for name, m := range table.Methods {
			if !served(m) {
				continue
			}
			method, ok := server.methods[name]
			if !ok {
				t.Errorf("%s is not served", name)
			}
			if got, want := v.of(name, method).Params, m.ParamNames(); ok && !slices.Equal(got, want) {
				t.Errorf("%s: parameters %v, version %s has %v", name, got, v.Number, want)
			}
		}
		for _, name := range server.Methods() {
			if strings.HasPrefix(name, specPrefix) && table.Methods[name] == nil {
				t.Errorf("%s is served, and version %s has no such method", name, v.Number)
			}
		}
	}
}

// served tells whether a client calls the method; the others are notifications.
func served(m *openrpc.Method) bool { return m.Result != nil }
