// Package byzantine runs a whole node with one plugin that misbehaves. A proxy (./plugin) stands before an honest plugin of the stage
// and injects a fault into its answers.
//
// What must hold: the fault is injected, and the node goes on and serves, or refuses with a reason, or stops with an error that names
// the stage, as the table of trials says. It never hangs, never ends by a panic, and what it says to be accepted is in a chain that
// honest plugins execute again with the same roots. What a plugin may do to its own process, its sockets and its output is tested in
// core/host; this is about what it answers.
//
// `go test` tries some faults of each stage, which a seed draws; ORDO_BYZANTINE=all tries all of them (ten minutes), another number
// that many of each stage, and ORDO_BYZANTINE_SEED repeats a selection.
package byzantine
