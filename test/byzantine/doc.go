// Package byzantine runs a whole node with one plugin that misbehaves. The misbehaving one (./plugin) stands before an honest
// plugin of the stage and changes its answers.
//
// What must hold: the node goes on and serves, or it stops with an error that names the stage. It never hangs, never ends
// by a panic, and never says that something is accepted on a wrong root. What a plugin may do to its own process, its
// sockets and its output is tested in core/host; this is about what it answers.
//
// `go test` runs a few of the deeds, ORDO_BYZANTINE=all runs all of them (ten minutes).
package byzantine
