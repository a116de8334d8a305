package mutate

import "slices"

// Codes are the errors that the specification lists for each method.
var Codes = map[string][]int{
	"starknet_addDeclareTransaction":           {51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65},
	"starknet_addDeployAccountTransaction":     {28, 52, 53, 54, 55, 58, 59, 61, 63, 64, 65},
	"starknet_addInvokeTransaction":            {52, 53, 54, 55, 58, 59, 61, 63, 64, 65, 69},
	"starknet_blockHashAndNumber":              {32},
	"starknet_blockNumber":                     {32},
	"starknet_call":                            {20, 21, 24, 40},
	"starknet_estimateFee":                     {20, 24, 41},
	"starknet_estimateMessageFee":              {20, 24, 40},
	"starknet_getBlockTransactionCount":        {24},
	"starknet_getBlockWithReceipts":            {24},
	"starknet_getBlockWithTxHashes":            {24},
	"starknet_getBlockWithTxs":                 {24},
	"starknet_getClass":                        {24, 28},
	"starknet_getClassAt":                      {20, 24},
	"starknet_getClassHashAt":                  {20, 24},
	"starknet_getCompiledCasm":                 {28, 100},
	"starknet_getEvents":                       {24, 31, 33, 34},
	"starknet_getMessagesStatus":               {29},
	"starknet_getNonce":                        {20, 24},
	"starknet_getStateUpdate":                  {24},
	"starknet_getStorageAt":                    {20, 24},
	"starknet_getStorageProof":                 {24, 42},
	"starknet_getTransactionByBlockIdAndIndex": {24, 27},
	"starknet_getTransactionByHash":            {29},
	"starknet_getTransactionReceipt":           {29},
	"starknet_getTransactionStatus":            {29},
	"starknet_simulateTransactions":            {24, 41},
	"starknet_traceBlockTransactions":          {24},
	"starknet_traceTransaction":                {10, 29},
}

// beyond are errors that a method gives although the specification does not list them for it, and those of devnet's methods.
var beyond = map[string][]int{
	"starknet_traceBlockTransactions": {10}, // when the state before the block is not kept
	"devnet_getAccountBalance":        {24, 40},
	"devnet_mint":                     {63}, // the token refuses: no such address, a sum over 2^256
}

// general are JSON-RPC's own, and this node's for what may pass: a limit that is reached, a stage that is being restarted.
// -32603 is not among them: it is a fault of the node.
var general = []int{-32700, -32600, -32601, -32602, -32005, -32006, -32008}

// MayFail tells whether an answer of the method may have the error.
func MayFail(method string, code int) bool {
	return slices.Contains(general, code) || slices.Contains(Codes[method], code) || Beside(method, code)
}

// Beside tells whether a method may give an error that the specification does not list for it.
func Beside(method string, code int) bool { return slices.Contains(beyond[method], code) }
