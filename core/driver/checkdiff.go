package driver

import (
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// checkDiff checks what the hash of a block does not show and what storage would only reject when the block is decided: classes that
// no DECLARE of the block brought, and addresses beyond the trie. What is left over in a packed list the hashing rejects.
func checkDiff(c *ordov1.BuildResponse_Closed) error {
	diff, declared := c.GetStateDiff(), map[string]bool{}
	for hash := range felt.Pairs(diff.GetDeclared()) {
		declared[string(hash)] = true
	}
	for hash := range felt.Rows(diff.GetDeprecatedDeclared()) {
		declared[string(hash)] = true
	}
	for i, class := range c.GetClasses() {
		if !declared[string(class.GetHash())] {
			return fmt.Errorf("closed: class %d (%x) is not among those that the state diff declares", i, class.GetHash())
		}
	}
	for _, s := range diff.GetStorage() {
		for address := range felt.Rows(s.GetAddress()) {
			if err := within251(address, "address"); err != nil {
				return err
			}
		}
		for key := range felt.Pairs(s.GetEntries()) {
			if err := within251(key, "storage key"); err != nil {
				return err
			}
		}
	}
	for _, list := range [][]byte{diff.GetDeployed(), diff.GetReplaced(), diff.GetNonces()} {
		for address := range felt.Pairs(list) {
			if err := within251(address, "address"); err != nil {
				return err
			}
		}
	}
	return nil
}

// within251 rejects a key that is not below 2^251.
func within251(key []byte, what string) error {
	if key[0] >= 8 {
		return fmt.Errorf("closed: state diff: %s %x is not below 2^251", what, key)
	}
	return nil
}
