// Package gateway admits transactions: it reads what clients broadcast, hashes it, refuses what can be refused without
// any state, compiles declared classes, asks execution to run `__validate__`, and hands what passed to the pool.
//
// It knows no ordering and holds no transaction: after Submit returns, the pool owns it. Checks that cost much come after
// checks that cost little, so that a flood of bad transactions stays cheap.
package gateway
