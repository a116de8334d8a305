// Package badger is ordo's default storage: blocks, flat state, history and state roots in one Badger database.
//
// A block is one synced transaction: header, body, results, diff, undo diff, flat state, history, head. State roots are
// computed behind, by one worker in height order (roots.go); the pages of its tries are a cache, checkpointed every few
// blocks and rebuilt from the flat state when they are lost. A block too large for one Badger transaction is written in
// batches under a `pending` mark, and taken back at the next start if the last batch is missing.
//
// Reading order: keys.go (the layout), engine.go (Badger), commit.go, revert.go, roots.go, recover.go; then the reads
// (state.go, blocks.go, classes.go, snapshot.go) and the process (plugin.go).
package badger
