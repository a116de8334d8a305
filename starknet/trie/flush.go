package trie

import (
	"fmt"
)

// Flush hands every page and root that changed since the last flush to put, which sees each key once; a nil value
// removes the key. The caller stores them all or none. Afterwards pages that were not used lately leave the memory.
func (s *State) Flush(put func(key, value []byte) error) error {
	for _, t := range []*tree{&s.contracts, &s.classes} {
		if err := t.flush(put); err != nil {
			return err
		}
		if err := put(t.prefix, appendRoot(nil, &t.root)); err != nil {
			return fmt.Errorf("trie: write root: %w", err)
		}
	}
	for address, a := range s.accounts {
		if !a.dirty {
			continue
		}
		if err := a.storage.flush(put); err != nil {
			return err
		}
		var value []byte
		if a.storage.root.full || !a.class.IsZero() || !a.nonce.IsZero() {
			value = appendRoot(a.nonce.Append(a.class.Append(nil)), &a.storage.root)
		}
		if err := put(a.storage.prefix, value); err != nil {
			return fmt.Errorf("trie: write contract %s: %w", address, err)
		}
		a.dirty = false
	}
	s.dirty = 0
	s.work.pages.dirty.Store(0)
	s.evict()
	return nil
}

func (t *tree) flush(put func(key, value []byte) error) error {
	for id, p := range t.pages {
		if !p.dirty.Load() {
			continue
		}
		if err := put(id.appendKey(append([]byte(nil), t.prefix...)), encodePage(id, p)); err != nil {
			return fmt.Errorf("trie: write page: %w", err)
		}
		p.dirty.Store(false)
	}
	return nil
}

// Dirty is the number of pages and contracts that a flush would write now.
func (s *State) Dirty() int { return s.dirty + int(s.work.pages.dirty.Load()) }

// Bytes is about how much memory pages and contracts take.
func (s *State) Bytes() int64 { return s.work.pages.bytes() + int64(len(s.accounts))*accountBytes }

// Full reports whether what waits for a flush takes half of the memory that KeepBytes allows.
func (s *State) Full() bool {
	all := s.work.pages.pages.Load() + int64(len(s.accounts))
	return int64(s.Dirty())*(s.Bytes()/max(all, 1)) > s.limit/2
}

// evict drops what did not change since the last flush, oldest first, a generation of rounds at a time, until the limit
// holds.
func (s *State) evict() {
	s.work.recent = recent{}
	for age := uint64(64); s.Bytes() > s.limit; age /= 2 {
		oldest := uint64(0)
		if s.work.now >= age {
			oldest = s.work.now - age + 1
		}
		s.contracts.evict(oldest, s.work.pages)
		s.classes.evict(oldest, s.work.pages)
		for address, a := range s.accounts {
			a.storage.evict(oldest, s.work.pages)
			if a.used < oldest && !a.dirty && len(a.storage.pages) == 0 {
				delete(s.accounts, address)
			}
		}
		if age == 0 {
			return
		}
	}
}

func (t *tree) evict(oldest uint64, count *shared) {
	for id, p := range t.pages {
		if p.used < oldest && !p.dirty.Load() {
			delete(t.pages, id)
			count.pages.Add(-1)
			count.branches.Add(-p.count())
		}
	}
}
