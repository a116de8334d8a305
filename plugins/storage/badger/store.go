package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Options say how a store is opened.
type Options struct {
	ChainID         string
	SyncWrites      bool  // a commit is on the device when it is answered
	History         bool  // keep what is needed to read the state of past heights
	CheckpointEvery int   // blocks between two writes of the trie pages
	MaxLag          int   // blocks that may wait for their root before Commit waits too
	MemTableSize    int64 // bytes; also bounds a transaction of Badger (15 %)
	IndexCache      int64 // bytes
	Mapped          int64 // bytes of mapped tables that may stay in memory; 0: all that the kernel has room for
	TrieCache       int64 // bytes of trie pages kept in memory; half of it may wait for a checkpoint
	ProofBlocks     int   // newest heights whose state is proven, as far as what changed since fits into ProofMemory; 0: none
	ProofMemory     int64 // bytes
	Log             hclog.Logger

	Free  func(dir string) (bytes uint64, ok bool) // free space; nil asks the file system
	Fault func(step string)                        // told of every step that changes the disk, for tests that crash there; nil elsewhere

	acceptLoss bool // the operator agreed to blocks being lost
}

// DefaultOptions are those of a node that keeps its chain.
func DefaultOptions() Options {
	return Options{
		SyncWrites:      true,
		History:         true,
		CheckpointEvery: 32,
		MaxLag:          64,
		MemTableSize:    32 << 20,
		IndexCache:      64 << 20,
		TrieCache:       96 << 20,
		ProofBlocks:     16,
		ProofMemory:     32 << 20,
		Mapped:          64 << 20,
		Log:             hclog.NewNullLogger(),
	}
}

// Store is one chain in one Badger database. It serves ordo.v1.Storage and ordo.v1.StorageRead.
type Store struct {
	ordov1.UnimplementedStorageServer
	ordov1.UnimplementedStorageReadServer

	opts   Options
	dir    string
	eng    *engine
	blobs  *blobs
	mark   *mark
	named  uint64 // chainMark of the database when it was opened; 0: it had no block
	unlock func() error
	unmap  func() // ends the watch over mapped tables

	writer sync.Mutex // held by what changes the chain: Commit and Revert, one at a time
	roots  *rootWorker

	readers sync.WaitGroup // snapshots in use by calls
	proving chan struct{}  // one token: proofs are made one after the other

	mu      sync.Mutex
	chain   chain
	changed chan struct{} // closed and replaced whenever chain changes
	closed  bool
	failed  error // why nothing can be committed any more
	noRoom  bool  // the disk was full at the last commit
	torn    bool  // a block is in the flat state in part: nothing may be read
}

// chain is what Head answers.
type chain struct {
	blocks     uint64   // number of blocks: head + 1
	partial    []byte   // of the head
	rooted     uint64   // number of blocks whose root is known
	root, hash []byte   // of the last of them
	floor      uint64   // state is kept from the end of this height on
	reverts    []uint64 // heights removed since the start, in order
}

const formatVersion = 1

var errClosed = errors.New("storage is closing")

func newStore(dir string, opts Options, blobs *blobs, eng *engine) *Store {
	return &Store{opts: opts, dir: dir, changed: make(chan struct{}), proving: make(chan struct{}, 1), blobs: blobs, eng: eng}
}

// wake tells every caller that waits that the chain changed; s.mu is held.
func (s *Store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// snapshot returns the chain as it is, and a channel that is closed at its next change.
func (s *Store) snapshot() (chain, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.chain, s.changed, errClosed
	}
	return s.chain, s.changed, s.failed
}

func (s *Store) setChain(f func(c *chain)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.chain)
	s.wake()
}

// fail stops commits for good; after a torn write it stops reads too.
func (s *Store) fail(err error, torn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.Log.Error("storage has failed", "error", err)
	s.failed, s.torn = err, s.torn || torn
	s.wake()
}

// ---- records ----

func encodeHead(num uint64, partial []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, num), partial...)
}

// readNum reads a value that begins with a number; found is false when the key is not there.
func readNum(v view, key []byte) (num uint64, rest []byte, found bool, err error) {
	value, err := v.get(key)
	if err != nil || value == nil {
		return 0, nil, false, err
	}
	if len(value) < 8 {
		return 0, nil, false, fmt.Errorf("entry %x is damaged: %d bytes", key, len(value))
	}
	return binary.BigEndian.Uint64(value), value[8:], true, nil
}

// header returns the stored header, without root, hash and parent; nil when there is no such block.
func (s *Store) header(v view, num uint64) (*ordov1.BlockHeader, error) {
	data, err := v.get(numKey(tableHeader, num))
	if err != nil || data == nil {
		return nil, err
	}
	h := &ordov1.BlockHeader{}
	if err := proto.Unmarshal(data, h); err != nil {
		return nil, fmt.Errorf("header of block %d is damaged: %w", num, err)
	}
	if h.GetContext().GetNumber() != num {
		return nil, fmt.Errorf("header of block %d is damaged: it says %d", num, h.GetContext().GetNumber())
	}
	return h, nil
}

// root returns state root and hash of a block, nil when they are not known yet.
func (s *Store) root(v view, num uint64) (root, hash []byte, err error) {
	data, err := v.get(numKey(tableRoot, num))
	if err != nil || data == nil {
		return nil, nil, err
	}
	if len(data) != pairSize {
		return nil, nil, fmt.Errorf("root of block %d is damaged: %d bytes", num, len(data))
	}
	return data[:feltSize:feltSize], data[feltSize:], nil
}

// parentHash returns the hash of the block before, 0 before the first.
func (s *Store) parentHash(v view, num uint64) ([]byte, error) {
	if num == 0 {
		return zeroFelt, nil
	}
	_, hash, err := s.root(v, num-1)
	return hash, err
}

func (s *Store) diff(v view, table byte, num uint64) (*ordov1.StateDiff, error) {
	d := &ordov1.StateDiff{}
	found, err := s.blobs.getMessage(v, numKey(table, num), d)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("state diff of block %d is missing", num)
	}
	return d, nil
}

// contract is the flat record of a contract: class hash and nonce.
func contract(v view, address []byte) (class, nonce []byte, err error) {
	data, err := v.get(key(tableContract, address))
	if err != nil {
		return nil, nil, err
	}
	return splitContract(address, data)
}

func splitContract(address, data []byte) (class, nonce []byte, err error) {
	if data == nil {
		return zeroFelt, zeroFelt, nil
	}
	if len(data) != pairSize {
		return nil, nil, fmt.Errorf("contract 0x%x is damaged: %d bytes", address, len(data))
	}
	return data[:feltSize:feltSize], data[feltSize:], nil
}
