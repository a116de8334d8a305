// Package devnet holds what makes a sequencer a development node: the devnet_* methods that clients of starknet-devnet know
// (accounts, faucet, blocks on request, the time of blocks), and answers about transactions that come when the transaction has
// run. Its folder genesis has the predeployed accounts.
//
// A Devnet, or an Answers alone, is the rpc.Extension of a JSON-RPC server. node decides which of them a node has.
package devnet
