// Package devnet makes a sequencer a development node: the devnet_* methods, and answers about transactions that come when they
// have run.
//
// Clients of starknet-devnet know its methods: accounts, faucet, blocks on request, the time of blocks. A Devnet, or an Answers
// alone, is the rpc.Extension of a JSON-RPC server; node decides which of them a node has. core knows nothing of this package.
package devnet
