// Package openrpc holds what the Starknet JSON-RPC specification says of methods, types and errors, and checks answers against it.
//
// The facts lie in testdata in a notation of our own, so that a clone needs nothing beside it; gen writes them from the OpenRPC
// documents of the specification. The notation, one definition after the other:
//
//	error 24 BLOCK_NOT_FOUND "Block not found"            an error: code, name, message, and after data the type of its data
//	method starknet_call(request FUNCTION_CALL, block_id BLOCK_ID) -> [FELT] ! 20 21 24 40
//	                                                      parameters (? after the name: optional), result, codes of its errors
//	notify starknet_subscriptionReorg(...)                a message of the node's own, which has no result
//	type NAME = TYPE
//
// A TYPE is a NAME, text, text "PATTERN", int, int >= 0, num, bool, "a literal", [TYPE] for a list and [TYPE; 2]
// for one of two, {field TYPE; field? TYPE} for
// an object, A & B for both, A | B for one of them, !A for anything else.
package openrpc

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Versions are the versions of the specification that there are tables of, the newest first.
var Versions = []string{"0.10.2", "0.9.0"}

//go:embed testdata/starknet-*.txt
var facts embed.FS

// Table is one version of the specification.
type Table struct {
	Version string
	Methods map[string]*Method
	Errors  map[int]*Error
	types   map[string]Type
}

// Method is what a client calls, or, without a result, what the node tells a subscriber.
type Method struct {
	Name   string
	Params []Param
	Result Type // nil for a notification
	Codes  []int
}

// Param is a parameter of a method.
type Param struct {
	Name     string
	Required bool
	Type     Type
}

// Error is an error with a code of the specification's.
type Error struct {
	Code          int
	Name, Message string
	Data          Type // nil when the specification gives it none
}

// Load returns the table of a version of the specification.
func Load(version string) (*Table, error) {
	text, err := facts.ReadFile("testdata/starknet-" + version + ".txt")
	if err != nil {
		return nil, fmt.Errorf("no table of version %s: %w", version, err)
	}
	t, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("version %s: %w", version, err)
	}
	t.Version = version
	return t, nil
}

// WebSocket tells whether the method is one of the subscriptions, which need a connection that stays.
func (m *Method) WebSocket() bool {
	return m.Result == nil || strings.HasPrefix(m.Name, "starknet_subscribe") || m.Name == "starknet_unsubscribe"
}

// ParamNames returns the names of the parameters in their order.
func (m *Method) ParamNames() (names []string) {
	for _, p := range m.Params {
		names = append(names, p.Name)
	}
	return names
}

// CheckResult tells how an answer differs from what the method's result must be.
func (t *Table) CheckResult(method string, result json.RawMessage) error {
	m, ok := t.Methods[method]
	if !ok || m.Result == nil {
		return fmt.Errorf("the specification has no result of %s", method)
	}
	return t.check(m.Result, result)
}

// CheckParam tells how a parameter differs from what it must be.
func (t *Table) CheckParam(method, name string, value json.RawMessage) error {
	if m, ok := t.Methods[method]; ok {
		if i := slices.IndexFunc(m.Params, func(p Param) bool { return p.Name == name }); i >= 0 {
			return t.check(m.Params[i].Type, value)
		}
	}
	return fmt.Errorf("the specification has no parameter %s of %s", name, method)
}

// CheckError tells how an error with a code of the specification's differs from what its message and its data must be. Data that the
// specification does not speak of is allowed.
func (t *Table) CheckError(code int, message string, data json.RawMessage) error {
	e, ok := t.Errors[code]
	if !ok {
		return fmt.Errorf("the specification has no error %d", code)
	}
	if message != e.Message {
		return fmt.Errorf("the message of error %d is %q, the specification has %q", code, message, e.Message)
	}
	if e.Data == nil {
		return nil
	}
	if len(data) == 0 {
		return fmt.Errorf("error %d has no data", code)
	}
	return t.check(e.Data, data)
}

func (t *Table) check(want Type, raw json.RawMessage) error {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return err
	}
	return t.whole(want, value)
}
