// Package virtual is the second depth of sdk/consensustest: real pipeline machines and real pools in each node of a run, over an execution
// and a storage that are pure, and a disk that loses what was not synced.
//
// Core goes into Scenario.Core:
//
//	s := consensustest.Random(seed, 4, consensustest.Byzantine)
//	s.Core = virtual.Core
//	result, err := consensustest.Run(subject, s)
//
// With LazyCore the network decides orders, and executes what is decided: the same checkers hold it.
//
// What is the core's own here: core/pipeline, core/mempool, and what a block of a peer must be (pipeline.ReadLearned). What is modelled, by
// what core/driver and core/journal do: the journal, the loop, the answers of execution and storage, bodies, gossip of transactions, and
// catch-up. A run has the faults, checkers, transcripts and shrinking of its host, and one checker more: what was admitted is in one block,
// or waits.
package virtual
