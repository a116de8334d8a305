package driver

import (
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// checkDiff looks at what the hash of a block does not show and what would only be refused when the block is decided: classes
// that no DECLARE of the block brought, and addresses beyond the trie.
func checkDiff(c *ordov1.BuildResponse_Closed) error {
	declared := map[string]bool{}
	pick(c.GetStateDiff().GetDeclared(), 2, func(first []byte) { declared[string(first)] = true })
	pick(c.GetStateDiff().GetDeprecatedDeclared(), 1, func(hash []byte) { declared[string(hash)] = true })
	for i, class := range c.GetClasses() {
		if !declared[string(class.GetHash())] {
			return fmt.Errorf("closed: class %d (%x) is not among those that the state diff declares", i, class.GetHash())
		}
	}
	var err error
	within := func(what string) func([]byte) {
		return func(key []byte) {
			if key[0] >= 8 && err == nil { // 2^251
				err = fmt.Errorf("closed: state diff: %s %x is not below 2^251", what, key)
			}
		}
	}
	for _, s := range c.GetStateDiff().GetStorage() {
		pick(s.GetAddress(), 1, within("address"))
		pick(s.GetEntries(), 2, within("storage key"))
	}
	pick(c.GetStateDiff().GetDeployed(), 2, within("address"))
	pick(c.GetStateDiff().GetReplaced(), 2, within("address"))
	pick(c.GetStateDiff().GetNonces(), 2, within("address"))
	return err
}

// pick visits the first felt of each group of a packed list; what is left over is for the hashing to refuse.
func pick(packed []byte, group int, visit func([]byte)) {
	for ; len(packed) >= 32*group; packed = packed[32*group:] {
		visit(packed[:32])
	}
}
