package node

import (
	"os"
	"regexp"
	"testing"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/devnet"
)

// TestReadmeNamesEveryMethodOfTheNode: the methods by which nodes and operators see a node are in the README, and no other of that kind is.
func TestReadmeNamesEveryMethodOfTheNode(t *testing.T) {
	raw, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	e := &networkExtension{devnet.AtOnce(chainview.New(nil)), nil}
	methods := e.Methods(nil)
	named := map[string]bool{"ordo_plugins": true} // core/rpc serves it
	for _, m := range regexp.MustCompile("`(ordo_[A-Za-z]+)`").FindAllStringSubmatch(string(raw), -1) {
		if _, served := methods[m[1]]; !served && !named[m[1]] {
			t.Errorf("%s is not served", m[1])
		}
		named[m[1]] = true
	}
	for name := range methods {
		if !named[name] {
			t.Errorf("README does not name %s", name)
		}
	}
}
