package node

import (
	"fmt"
	"runtime/debug"

	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/node/memory"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// memoryShares divides the memory of a node between its processes; nil: nothing limits it.
func memoryShares(configuredMiB int, root string) *memory.Shares {
	total := int64(configuredMiB) << 20
	if total == 0 {
		total = memory.Limit(root)
	}
	if total == 0 {
		return nil
	}
	shares := memory.Split(total)
	return &shares
}

// limitCore tells the garbage collector of this process its share, unless the operator has said GOMEMLIMIT.
func limitCore(shares *memory.Shares, lookup func(string) (string, bool)) {
	if _, set := lookup("GOMEMLIMIT"); set || shares == nil {
		return
	}
	debug.SetMemoryLimit(shares.Core)
}

// What the shipped storage plugin uses when nothing limits it, in MiB; see its schema.
const (
	storageMemory = 320
	storageTries  = 96
)

// share tells a plugin its part: GOMEMLIMIT is read by every Go program, and memory_mib is handed to a plugin that has the
// key. The shipped storage plugin counts its caches one by one; they are made to fit where its share is less than it takes
// by itself.
func share(spec *host.Spec, shares *memory.Shares) {
	bytes := shares.Other
	switch spec.Stage {
	case ordov1.Stage_STAGE_EXECUTION:
		bytes = shares.Execution
	case ordov1.Stage_STAGE_STORAGE:
		bytes = shares.Storage
	}
	mib := bytes >> 20
	spec.Env = append(spec.Env, fmt.Sprintf("GOMEMLIMIT=%dMiB", mib))
	spec.Offers = map[string]any{"memory_mib": mib}
	if spec.Stage == ordov1.Stage_STAGE_STORAGE && mib < storageMemory {
		spec.Offers["memory_mb"] = mib
		spec.Offers["trie_cache_mb"] = min(storageTries, mib*3/20)
		spec.Offers["index_cache_mb"] = max(8, mib/10)
		spec.Offers["mapped_mb"] = max(16, mib/10)
	}
}
