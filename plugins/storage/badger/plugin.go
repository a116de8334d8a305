package badger

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"

	"github.com/ordo-sequencer/ordo/sdk"
)

// Config is the plugin's section of the node's configuration. A field that is not set has its default; Schema has the same ones.
type Config struct {
	SyncWrites      *bool `json:"sync_writes"`
	History         *bool `json:"history"`
	CheckpointEvery int   `json:"checkpoint_every"`
	MaxLag          int   `json:"max_lag"`
	MemTableMB      int   `json:"memtable_mb"`
	IndexCacheMB    int   `json:"index_cache_mb"`
	TrieCacheMB     int   `json:"trie_cache_mb"`
	ProofBlocks     *int  `json:"proof_blocks"`
	ProofMB         int   `json:"proof_mb"`
	MappedMB        int   `json:"mapped_mb"`
	MemoryMB        int   `json:"memory_mb"`
}

// Schema describes Config to the operator and to the check of the configuration.
const Schema = `{
  "type": "object",
  "properties": {
    "sync_writes": {
      "type": "boolean",
      "description": "a commit is on the device before it is answered; off, a power cut may take the last blocks (a crash of the process does not). Default: on with a data directory, off without"
    },
    "history": {
      "type": "boolean", "default": true,
      "description": "keep what is needed to read the state at past heights"
    },
    "checkpoint_every": {
      "type": "integer", "minimum": 1, "maximum": 10000, "default": 32,
      "description": "blocks between two writes of the trie pages; a restart replays at most so many"
    },
    "max_lag": {
      "type": "integer", "minimum": 1, "maximum": 10000, "default": 64,
      "description": "blocks that may wait for their state root before a commit waits too"
    },
    "memtable_mb": {
      "type": "integer", "minimum": 8, "maximum": 1024, "default": 32,
      "description": "size of Badger's tables in memory; a block larger than 15 % of it is written in several transactions"
    },
    "index_cache_mb": {
      "type": "integer", "minimum": 8, "maximum": 65536, "default": 64,
      "description": "memory for the indexes of Badger's tables"
    },
    "trie_cache_mb": {
      "type": "integer", "minimum": 8, "maximum": 1048576, "default": 96,
      "description": "memory for pages of the state tries; a token with 2^20 holders has 400 MB of them. When half of it waits to be written, a checkpoint comes early"
    },
    "proof_blocks": {
      "type": "integer", "minimum": 0, "maximum": 10000, "default": 16,
      "description": "newest blocks with a root whose state is proven (starknet_getStorageProof); fewer when proof_mb does not hold what they changed. 0: none"
    },
    "proof_mb": {
      "type": "integer", "minimum": 1, "maximum": 1048576, "default": 32,
      "description": "memory for what the last blocks replaced in the tries, which proofs of older states are made from"
    },
    "mapped_mb": {
      "type": "integer", "minimum": 16, "maximum": 1048576, "default": 64,
      "description": "memory for pages of Badger's tables; beyond it they are left to the kernel's cache, from where they come back without the disk"
    },
    "memory_mb": {
      "type": "integer", "minimum": 64, "maximum": 1048576, "default": 320,
      "description": "memory that the process tries to stay below by collecting garbage earlier; mapped tables do not count"
    }
  }
}`

// options lays a configuration over the defaults.
func (c *Config) options(ephemeral bool) Options {
	o := DefaultOptions()
	o.SyncWrites = !ephemeral
	if c.SyncWrites != nil {
		o.SyncWrites = *c.SyncWrites
	}
	if c.History != nil {
		o.History = *c.History
	}
	set := func(to *int, v int) {
		if v > 0 {
			*to = v
		}
	}
	set(&o.CheckpointEvery, c.CheckpointEvery)
	set(&o.MaxLag, c.MaxLag)
	if c.MemTableMB > 0 {
		o.MemTableSize = int64(c.MemTableMB) << 20
	}
	if c.IndexCacheMB > 0 {
		o.IndexCache = int64(c.IndexCacheMB) << 20
	}
	if c.MappedMB > 0 {
		o.Mapped = int64(c.MappedMB) << 20
	}
	if c.ProofBlocks != nil {
		o.ProofBlocks = *c.ProofBlocks
	}
	if c.ProofMB > 0 {
		o.ProofMemory = int64(c.ProofMB) << 20
	}
	if c.TrieCacheMB > 0 {
		o.TrieCache = int64(c.TrieCacheMB) << 20
	}
	return o
}

// Service is the storage plugin badger.
func Service() *sdk.Service {
	return sdk.Storage(sdk.Description{
		Name:         "badger",
		Version:      "0.1.0",
		ConfigSchema: Schema,
	}, &part{})
}

// part is the plugin in its process: a Store that is opened by Configure and closed by Drain.
type part struct {
	*Store
	scratch   string // directory to remove at the end, when nothing is to outlive the process
	noHistory atomic.Bool
	noProofs  atomic.Bool
}

var (
	_ sdk.StoragePart = (*part)(nil)
	_ sdk.Configurer  = (*part)(nil)
	_ sdk.Drainer     = (*part)(nil)
	_ sdk.Capable     = (*part)(nil)
)

// Capabilities are those of docs/spec/storage.md.
func (p *part) Capabilities() []string {
	list := []string{sdk.CapRoots, sdk.CapRevert}
	if !p.noHistory.Load() {
		list = append(list, sdk.CapHistory)
	}
	if !p.noProofs.Load() {
		list = append(list, sdk.CapProofs)
	}
	return list
}

// Configure opens the store.
func (p *part) Configure(_ context.Context, setup *sdk.Setup) error {
	var c Config
	if err := setup.Decode(&c); err != nil {
		return err
	}
	dir := setup.DataDir
	if dir == "" {
		if setup.RunDir == "" {
			return &sdk.Problem{Summary: "neither a data directory nor a run directory was handed over"}
		}
		// The name is fixed: a plugin that is started again within one run of the node finds its blocks.
		dir = filepath.Join(setup.RunDir, "storage-badger")
		if setup.Generation <= 1 {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("scratch directory: %w", err)
			}
		}
		p.scratch = dir
	}
	// Most of the memory in use is a few large tables, so collecting twice as often costs half a percent of the time, and what a
	// collection leaves room for is otherwise as large as all that is in use.
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(int64(cmp.Or(c.MemoryMB, 320)) << 20)
	opts := c.options(p.scratch != "")
	opts.ChainID = setup.Chain.GetChainId()
	opts.Log = setup.Logger
	store, err := Open(filepath.Clean(dir), opts)
	if err != nil {
		return &sdk.Problem{Summary: err.Error()}
	}
	p.Store = store
	p.noHistory.Store(!opts.History)
	p.noProofs.Store(opts.ProofBlocks == 0)
	return nil
}

// Drain finishes the roots that are due and closes the store.
func (p *part) Drain(context.Context) error {
	if p.Store == nil {
		return nil
	}
	err := p.Store.Close()
	p.cleanUp()
	return err
}

func (p *part) cleanUp() {
	if p.scratch != "" {
		_ = os.RemoveAll(p.scratch) // it lies in the run directory, which the host removes anyway
		p.scratch = ""
	}
}
