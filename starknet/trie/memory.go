package trie

// Memory is a store in a map: for tests, and for whatever is recomputed from genesis.
type Memory map[string][]byte

// NewMemory returns an empty store.
func NewMemory() Memory { return make(Memory) }

// Get returns the value of a key, nil when there is none.
func (m Memory) Get(key []byte) ([]byte, error) { return m[string(key)], nil }

// Put has the shape that State.Flush wants.
func (m Memory) Put(key, value []byte) error {
	if value == nil {
		delete(m, string(key))
		return nil
	}
	m[string(key)] = value
	return nil
}
