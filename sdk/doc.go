// Package sdk is what an ordo plugin in Go is written with.
//
// A plugin is a process that serves one stage of the sequencer (ordering, execution, storage or consensus) over gRPC.
// The host starts it with go-plugin, describes it, configures it once, uses it, drains it and stops it. This package does
// everything but the stage itself:
//
//   - level 1: a function. ServeScore is a whole ordering plugin in five lines; Hosted turns a pure state machine into a
//     consensus plugin.
//   - level 2: the stage's gRPC service, handed to Ordering, Execution, Storage or Consensus, and then to Serve.
//   - level 3: no SDK at all; sdk/proto and docs/authors.md are enough. See examples/ordering-python.
//
// What a part can do beyond its stage, it says by implementing an optional interface: Configurer to take configuration,
// Drainer to flush before the process ends. Nothing is registered globally and nothing is found by reflection: main makes
// a Service and serves it.
//
// Rules that hold in every plugin process:
//
//   - logs go to Setup.Logger (or, unstructured, to the standard log package): both reach the host's log. What is printed
//     to os.Stdout reaches it too, but only after the handshake.
//   - an interrupt from the terminal is ignored: the host drains its plugins, in its own order.
//   - when the host ends, the process drains and exits by itself.
package sdk
