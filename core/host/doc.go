// Package host starts the plugin processes of a node, supervises them and stops them.
//
// go-plugin launches the process and shakes hands; the rest is done here, because a node has to survive its plugins:
//
//   - what a plugin writes to stdout and stderr is read here, bounded and repaired, before anything parses it: one
//     malformed log line would take go-plugin's host down, one endless line would stop the plugin;
//   - the process has a group of its own. An interrupt from the terminal does not reach it, and the kill reaches its
//     children. Its stdin is a pipe that only this process holds open: its end tells a plugin that the host is gone;
//   - the environment is an allow-list, the sockets lie in a private folder, and the peer's uid is checked;
//   - descriptors that are open here are not open in a plugin; the kernel is told to end plugins before this process when
//     memory runs out, execution first;
//   - data goes over a connection of its own, tuned for bulk, with statistics for every method;
//   - stopping is Drain (the plugin flushes), then go-plugin's shutdown, then a kill, each with a deadline of ours.
//
// A Plugin is one instance: one run of one process. It never comes back; another one has the next generation. A Set is the
// four stages of a node, and a Supervisor restarts those that end, with a pause that grows and a budget.
package host
