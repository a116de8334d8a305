// Package rpc serves the Starknet JSON-RPC, versions 0.10.2 and 0.9.0, over HTTP and WebSocket.
//
// Blocks whose root is known are read from storage; the blocks after them, decided or open, from the node's own view, and
// both are shown as PRE_CONFIRMED. State reads at pre_confirmed take that view's changes over storage at the latest root.
// Calls, estimates and traces run in the execution plugin. What clients send is judged by core/gateway, not here.
package rpc
