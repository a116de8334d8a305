package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
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

// TestStarknetJS runs the surface of starknet.js over HTTP.
func TestStarknetJS(t *testing.T) {
	need.Env(t, "ORDO_E2E_JS")
	surface(t, "0.10.2", openrpc.Never, "node", "js/flow.mjs")
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
	surface(t, "0.10.2", openrpc.Never, need.Env(t, "ORDO_E2E_PYTHON"), "python/flow.py")
}

// TestStarknetGo runs the surface of starknet.go, a client of version 0.9.
func TestStarknetGo(t *testing.T) {
	surface(t, "0.9.0", openrpc.Never, need.Env(t, "ORDO_E2E_GO"))
}

// TestStarknetDevnetJS runs the npm package starknet-devnet, which starts the node itself.
func TestStarknetDevnetJS(t *testing.T) {
	need.Env(t, "ORDO_E2E_JS")
	t.Logf("%s", ran(t, "node", "js/devnet.mjs", ordo(t)))
}

// surface runs a client's script on a node: the client gets a result of every method of the specification in its version, every answer fits the
// version of its path, and so does all that is read back afterwards. Methods that the client does not offer are exempt, each with a reason.
func surface(t *testing.T, version string, without openrpc.Reasons, command ...string) {
	t.Helper()
	n := start(t)
	url, checks := n.checkedProxy(t)
	script(t, url, command...)
	for _, method := range checks[version].Unasked(checks[version].Table, without) {
		t.Errorf("the script gets no result of %s", method)
	}
	by, _ := n.checked(t, version)
	readChain(t, by, version)
}

// byPath sends a request by the transport of its path.
type byPath map[string]http.RoundTripper

func (b byPath) RoundTrip(r *http.Request) (*http.Response, error) {
	if transport, ok := b[r.URL.Path]; ok {
		return transport.RoundTrip(r)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// checkedProxy passes on what a client sends, and compares every answer with the version of its path.
func (n *node) checkedProxy(t *testing.T) (at string, checks map[string]*openrpc.Checker) {
	t.Helper()
	target, err := url.Parse(n.URL)
	if err != nil {
		t.Fatal(err)
	}
	checks, transports := map[string]*openrpc.Checker{}, byPath{}
	for version, path := range versionPaths {
		by, check := n.checked(t, version)
		checks[version], transports[path] = check, by.HTTP.Transport
	}
	transports["/"] = transports[""]
	server := httptest.NewServer(&httputil.ReverseProxy{Transport: transports, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	t.Cleanup(server.Close)
	return server.URL, checks
}

// script runs a client's whole flow against a URL.
func script(t *testing.T, url string, command ...string) {
	t.Helper()
	account, err := contracts.Read(filepath.Join(need.Binaries(t), "contracts"), contracts.OpenZeppelinAccount)
	if err != nil {
		t.Fatal(err)
	}
	args := append(command[1:], url)
	for _, name := range []string{"erc20__erc_20", "test_contract__test_contract"} {
		file := filepath.Join(testData(t), name)
		args = append(args, file+".contract_class.json", file+".compiled_contract_class.json")
	}
	out := ran(t, append(append([]string{command[0]}, args...), client.Hex(account.Hash))...)
	var result struct{ Events int }
	if err := json.Unmarshal(out, &result); err != nil || result.Events == 0 {
		t.Fatalf("%v printed %s", command, out)
	}
	t.Logf("%v: %s", command, out)
}

// ran is what a program prints that ends well.
func ran(t *testing.T, command ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(within(t, 3*patient), command[0], command[1:]...)
	cmd.Env = append(nodetest.Environment(), "ORDO_E2E_JS="+os.Getenv("ORDO_E2E_JS"))
	cmd.Stderr = new(nodetest.Output)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s\n%s", command, err, out, cmd.Stderr)
	}
	return out
}
