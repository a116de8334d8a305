package rpc

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Version is a version of the specification that requests are answered by. The methods are written once, for the newest one; what an
// older one has otherwise is in the table of versions, and nowhere else. A request carries its version in its context.
type Version struct {
	Number string // what starknet_specVersion answers
	paths  []string

	// What differs from the newest version. All of it is empty there.

	params   map[string][]string       // parameters of the methods that have fewer
	without  map[reflect.Type][]string // fields that answers do not have
	messages map[Code]string           // messages of errors that read otherwise
	lacks    map[feature]bool
}

// feature is a part of the newest version that is neither a parameter nor a field of an answer.
type feature uint8

const (
	// addressLists: the filter of events takes a list of addresses, not only one.
	addressLists feature = iota
	// readSets: a simulation has the flag RETURN_INITIAL_READS.
	readSets
	// transactionProofs: an INVOKE has proof and proof_facts, and the error INVALID_PROOF.
	transactionProofs
	// missingContracts: estimates have the error CONTRACT_NOT_FOUND.
	missingContracts
)

// newest is answered wherever a path does not say otherwise. 0.10.3 differs from it in the names of schemas only.
var newest = &Version{Number: SpecVersion, paths: []string{"/", "/rpc", "/rpc/v0_10"}}

// versions is the table of what is served.
var versions = []*Version{newest, {
	Number: "0.9.0",
	paths:  []string{"/rpc/v0_9"},
	params: map[string][]string{
		"starknet_getBlockWithTxs":                 {"block_id"},
		"starknet_getBlockWithReceipts":            {"block_id"},
		"starknet_getStateUpdate":                  {"block_id"},
		"starknet_getStorageAt":                    {"contract_address", "key", "block_id"},
		"starknet_getTransactionByHash":            {"transaction_hash"},
		"starknet_getTransactionByBlockIdAndIndex": {"block_id", "index"},
		"starknet_traceBlockTransactions":          {"block_id"},
		"starknet_subscribeNewTransactions":        {"finality_status", "sender_address"},
	},
	without: map[reflect.Type][]string{
		reflect.TypeFor[header](): {
			"event_commitment", "transaction_commitment", "receipt_commitment", "state_diff_commitment", "event_count", "transaction_count", "state_diff_length",
		},
		reflect.TypeFor[emittedEvent](): {"transaction_index", "event_index"},
		reflect.TypeFor[stateDiff]():    {"migrated_compiled_classes"},
	},
	messages: map[Code]string{errEntrypointNotFound.Code: "Requested entrypoint does not exist in the contract"},
	lacks:    map[feature]bool{addressLists: true, readSets: true, transactionProofs: true, missingContracts: true},
}}

// versionAt is the version that a path answers by; nil for a path that is not served. WebSocket has the same paths below /ws.
func versionAt(path string) *Version {
	if below, ok := strings.CutPrefix(path, "/ws"); ok {
		if path = below; path == "" {
			path = "/"
		}
	}
	for _, v := range versions {
		if slices.Contains(v.paths, path) {
			return v
		}
	}
	return nil
}

// servedPaths lists the paths for a client that asked for another one.
func servedPaths() string {
	var list []string
	for _, v := range versions {
		list = append(list, fmt.Sprintf("%s (%s)", strings.Join(v.paths, ", "), v.Number))
	}
	return strings.Join(list, ", ")
}

type versionKey struct{}

// withVersion has requests answered by a version.
func withVersion(ctx context.Context, v *Version) context.Context {
	return context.WithValue(ctx, versionKey{}, v)
}

// versionOf is the version that a request is answered by.
func versionOf(ctx context.Context) *Version {
	if v, ok := ctx.Value(versionKey{}).(*Version); ok {
		return v
	}
	return newest
}

// versionNumbered is the version with a number.
func versionNumbered(number string) *Version {
	for _, v := range versions {
		if v.Number == number {
			return v
		}
	}
	return newest
}

// write encodes a value as the version has it.
func (v *Version) write(value any) ([]byte, error) {
	j := jsonWriter{version: v}
	err := j.value(value, false)
	return j.buf, err
}

// has tells whether the version has a feature.
func (v *Version) has(f feature) bool { return !v.lacks[f] }

// of is the method as the version has it.
func (v *Version) of(name string, m Method) Method {
	if params, ok := v.params[name]; ok {
		m.Params = params
	}
	return m
}

// fails is the error as the version has it.
func (v *Version) fails(e *Error) *Error {
	if e.Code == errInvalidProof.Code && !v.has(transactionProofs) {
		return Errorf(InvalidParams, "invalid params: proof, proof_facts: unknown in version %s: send the transaction without them", v.Number)
	}
	if message, ok := v.messages[e.Code]; ok {
		return &Error{Code: e.Code, Message: message, Data: e.Data}
	}
	return e
}

// shows tells whether answers have the field of that name.
func (v *Version) shows(t reflect.Type, name string) bool {
	return !slices.Contains(v.without[t], name)
}
