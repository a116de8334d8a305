package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/contracts"
	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
	"github.com/ordo-sequencer/ordo/test/openrpc"
)

// testData is the folder of compiled contracts in the crate that the execution plugin depends on.
func testData(t *testing.T) string {
	t.Helper()
	return need.Env(t, "ORDO_E2E_CONTRACTS")
}

// TestStarknetJS runs the surface of starknet.js.
func TestStarknetJS(t *testing.T) {
	need.Env(t, "ORDO_E2E_JS")
	n := start(t)
	script(t, n, "node", "js/flow.mjs")
	conforms(t, n)
}

// TestNoncesAhead: starknet.js with its defaults sends several transactions with explicit nonces on a node that makes blocks on
// demand. It estimates each at a block in which those before it have not run.
func TestNoncesAhead(t *testing.T) {
	need.Env(t, "ORDO_E2E_JS")
	n := start(t, "--block-generation-on", "demand")
	cmd := exec.CommandContext(within(t, patient), "node", "js/nonces.mjs", n.URL)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), `{"sent":3}`) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestStarknetPy runs the surface of starknet.py.
func TestStarknetPy(t *testing.T) {
	python := need.Env(t, "ORDO_E2E_PYTHON")
	n := start(t)
	script(t, n, python, "python/flow.py")
	conforms(t, n)
}

// conforms reads the whole chain back, in every version, and checks every answer against the specification.
func conforms(t *testing.T, n *node) {
	t.Helper()
	for _, version := range openrpc.Versions {
		by, _ := n.checked(t, version)
		readChain(t, by, version)
	}
}

// script runs a client's whole flow against a node.
func script(t *testing.T, n *node, interpreter, file string) {
	t.Helper()
	account, err := contracts.Read(filepath.Join(need.Binaries(t), "contracts"), contracts.OpenZeppelinAccount)
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(testData(t), "erc20__erc_20")
	cmd := exec.CommandContext(within(t, 3*patient), interpreter, file, n.URL,
		token+".contract_class.json", token+".compiled_contract_class.json", client.Hex(account.Hash))
	cmd.Stderr = new(nodetest.Output)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", file, err, out, cmd.Stderr)
	}
	var result struct{ Events int }
	if err := json.Unmarshal(out, &result); err != nil || result.Events == 0 {
		t.Fatalf("%s printed %s", file, out)
	}
	t.Logf("%s: %s", file, out)
}
