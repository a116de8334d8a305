// Package consensustest runs a hosted consensus protocol in virtual time: many validators, a network that loses and repeats, nodes that
// crash and nodes that lie, all from one seed.
//
// A Subject is the protocol: state machines in this process (InProcess), or Run streams of a plugin in any language (Over). A Scenario
// says how many validators there are, what goes wrong, and when. Run plays it and returns a Result: the checker that fired, if one did, and a
// digest of all events and actions. The same scenario gives the same digest, to the byte.
//
//	func TestFaults(t *testing.T) {
//		subject := consensustest.InProcess(func() sdk.Protocol { return newProtocol() }, verifier{})
//		consensustest.Explore(t, subject, consensustest.Search{Count: 1000, Scenario: func(seed uint64) consensustest.Scenario {
//			return consensustest.Random(seed, 4)
//		}})
//	}
//
// Explore plays a random scenario for each seed. For the first that fails it removes the faults that do not matter, and prints what is left with a
// transcript: one line for each event and action, with its time and its node.
//
// Each node has a model of the core around the protocol: pool, execution, bodies by their value, timers, a disk on which writes take
// time, the guard of signatures, catch-up. An action that a core must refuse ends the run. There is one heap of things to come, ordered by time and
// number, and nothing else moves the clock.
//
// Scenario.Core puts another core in the place of the model. That of test/virtual has the core's own pipeline machine and pool.
//
// Checkers: Agreement, Validity, Certificate, DoubleSign, Durable, Liveness, Evidence, Halted, ProtocolFault; of a core of its own also
// Transactions and CoreFault.
//
// Transcripts plays one state machine without any network, from files of events that an author writes.
package consensustest
