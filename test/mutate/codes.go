package mutate

import (
	"slices"
	"sync"

	"github.com/ordo-sequencer/ordo/test/openrpc"
)

// specified is the table of the specification that lists the errors of each method.
var specified = sync.OnceValues(func() (*openrpc.Table, error) { return openrpc.Load(openrpc.Versions[0]) })

// beyond are errors that a method gives although the specification does not list them for it, and those of devnet's methods.
var beyond = map[string][]int{
	"starknet_traceBlockTransactions": {10}, // when the state before the block is not kept
	"devnet_getAccountBalance":        {24, 40},
	"devnet_mint":                     {63}, // the token refuses: no such address, a sum over 2^256
}

// general are JSON-RPC's own, and this node's for what may pass: a limit that is reached, a stage that is being restarted.
// -32603 is not among them: it is a fault of the node.
var general = []int{-32700, -32600, -32601, -32602, -32005, -32006, -32008}

// mayFail tells whether an answer of the method may have the error.
func mayFail(method string, code int) (bool, error) {
	if slices.Contains(general, code) || Beside(method, code) {
		return true, nil
	}
	table, err := specified()
	if err != nil {
		return false, err
	}
	m := table.Methods[method]
	return m != nil && slices.Contains(m.Codes, code), nil
}

// Beside tells whether a method may give an error that the specification does not list for it.
func Beside(method string, code int) bool { return slices.Contains(beyond[method], code) }
