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

// evict drops pages oldest first, a generation of rounds at a time, until the limit holds. All pages are clean here.
func (s *State) evict() {
	s.work.recent = recent{}
	for age := uint64(64); s.size() > s.limit; age /= 2 {
		oldest := uint64(0)
		if s.work.now >= age {
			oldest = s.work.now - age + 1
		}
		s.contracts.evict(oldest)
		s.classes.evict(oldest)
		for address, a := range s.accounts {
			a.storage.evict(oldest)
			if a.used < oldest && len(a.storage.pages) == 0 {
				delete(s.accounts, address)
			}
		}
		if age == 0 {
			return
		}
	}
}

func (s *State) size() int {
	n := len(s.contracts.pages) + len(s.classes.pages) + len(s.accounts)
	for _, a := range s.accounts {
		n += len(a.storage.pages)
	}
	return n
}

func (t *tree) evict(oldest uint64) {
	for id, p := range t.pages {
		if p.used < oldest {
			delete(t.pages, id)
		}
	}
}
