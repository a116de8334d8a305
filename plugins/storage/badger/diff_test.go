package badger

import (
	"testing"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

// FuzzCheckDiff: what passes the check of a commit, the tries take; a root worker must not stop over a block that was
// accepted.
func FuzzCheckDiff(f *testing.F) {
	c := newTestChain(1)
	for range 10 {
		f.Add(must(proto.Marshal(c.grow().diff)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &ordov1.StateDiff{}
		if proto.Unmarshal(data, d) != nil {
			return
		}
		if _, err := checkDiff(d); err != nil {
			return
		}
		td, err := trieDiff(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trie.NewState(trie.NewMemory()).Apply(td); err != nil {
			t.Fatal(err)
		}
	})
}
