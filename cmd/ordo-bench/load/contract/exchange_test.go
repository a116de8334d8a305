package contract

import (
	"bytes"
	"testing"

	"github.com/ordo-sequencer/ordo/core/gateway"
)

// TestExchange: the definition has the class hash that is declared.
func TestExchange(t *testing.T) {
	class, err := Exchange()
	if err != nil {
		t.Fatal(err)
	}
	read, err := gateway.DecodeClass(class.Definition)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read.Hash, class.Hash) || len(class.CompiledClassHash) != 32 {
		t.Errorf("hashes to %x, says %x", read.Hash, class.Hash)
	}
}
