// Package gateway admits transactions: it decodes, hashes and checks what clients send, has execution validate it, and hands it
// to the pool.
//
// It knows no ordering and holds no transaction: after Submit returns, the pool owns it. Checks that cost much come after
// checks that cost little, so that a flood of bad transactions stays cheap.
package gateway
