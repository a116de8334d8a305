package peer

import "hash/maphash"

// Known remembers which of the newest transactions a peer has, or this node: between one and two times its size. It hashes with
// a seed that no peer knows, so that none can make two transactions look the same. It is not safe for concurrent use.
type Known struct {
	seed     maphash.Seed
	size     int
	now, old map[uint64]struct{}
}

// NewKnown remembers the last size transactions, or some more. Sets with the same seed agree on digests.
func NewKnown(seed maphash.Seed, size int) *Known {
	return &Known{seed: seed, size: size, now: make(map[uint64]struct{})}
}

// Digest is what a transaction is remembered by.
func (k *Known) Digest(data []byte) uint64 { return maphash.Bytes(k.seed, data) }

// Has tells whether a digest is remembered.
func (k *Known) Has(digest uint64) bool {
	if _, ok := k.now[digest]; ok {
		return true
	}
	_, ok := k.old[digest]
	return ok
}

// Add remembers a digest, and tells whether it was new.
func (k *Known) Add(digest uint64) bool {
	if k.Has(digest) {
		return false
	}
	if len(k.now) >= k.size {
		k.old, k.now = k.now, make(map[uint64]struct{}, k.size)
	}
	k.now[digest] = struct{}{}
	return true
}

// Forget makes a digest new again, because what was to be done with the transaction was not.
func (k *Known) Forget(digest uint64) {
	delete(k.now, digest)
	delete(k.old, digest)
}
