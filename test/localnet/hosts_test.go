package localnet

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// insideVariable says that this process runs in the network namespace of the test.
const insideVariable = "ORDO_TEST_HOSTS_INSIDE"

// TestFourHosts: the network of docs/operators.md, from the files as the page has them, on four hosts and two more for followers. A host is a
// network namespace; all hang on one bridge. It runs where the machine lets a test make such namespaces, and says elsewhere why it does not.
func TestFourHosts(t *testing.T) {
	t.Parallel()
	need.Binaries(t, "plugins/ordo-consensus-comet", "plugins/ordo-execution-blockifier")
	if os.Getenv(insideVariable) != "" {
		fourHosts(t)
		return
	}
	namespace := []string{"--net"}
	if os.Getuid() != 0 {
		namespace = []string{"--user", "--map-root-user", "--net"}
	}
	for _, tool := range []string{"unshare", "nsenter", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s: Debian packages util-linux and iproute2", tool)
		}
	}
	// In CI too: a build server may not allow this.
	probe := "ip link set lo up && ip link add br0 type bridge && ip link add v0 type veth peer name v1 && unshare --net true"
	if out, err := exec.CommandContext(within(t, patient), "unshare", append(namespace, "sh", "-c", probe)...).CombinedOutput(); err != nil {
		t.Skipf("this machine allows no network namespaces with a bridge (unshare %s: %v): %s", strings.Join(namespace, " "), err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(within(t, 4*patient), "unshare", append(namespace, self, "-test.run=^TestFourHosts$", "-test.v")...)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("in a namespace of its own:\n%s", out)
	if err != nil {
		t.Error(err)
	}
}

// host is a network namespace with one interface.
type host struct {
	number int
	holder int // the process that keeps the namespace
	dir    string
	node   client.Node
	ordo   *nodetest.Process
}

// sh runs a command of the test's own, which must succeed.
func sh(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(within(t, patient), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func address(number int) string { return fmt.Sprintf("10.0.0.%d", number) }

// inside is a command in the namespace of the host.
func (h *host) inside(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--target", strconv.Itoa(h.holder), "--net"}, args...)...)
}

// link takes the cable of the host out, or puts it in again.
func (h *host) link(t *testing.T, to string) {
	t.Helper()
	sh(t, "ip", "link", "set", fmt.Sprintf("v%d", h.number), to)
}

// newHost makes a host at the bridge.
func newHost(t *testing.T, number int) *host {
	t.Helper()
	h := &host{number: number, dir: filepath.Join(t.TempDir(), fmt.Sprintf("host-%d", number)), node: client.Node{URL: "http://" + address(number) + ":5050"}}
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	holder := exec.Command("unshare", "--net", "sh", "-c", "echo there; read nothing")
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = holder.Wait() })
	if _, err := out.Read(make([]byte, 6)); err != nil { // it is in its namespace
		t.Fatal(err)
	}
	h.holder = holder.Process.Pid
	cable := fmt.Sprintf("v%d", number)
	sh(t, "ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(h.holder))
	sh(t, "ip", "link", "set", cable, "master", "br0", "up")
	for _, args := range [][]string{
		{"ip", "link", "set", "lo", "up"}, {"ip", "address", "add", address(number) + "/24", "dev", "eth0"}, {"ip", "link", "set", "eth0", "up"},
	} {
		sh(t, h.inside(args...).Args...)
	}
	return h
}

// run starts the node of the host with a configuration, and waits until it answers.
func (h *host) run(t *testing.T) {
	t.Helper()
	h.ordo = nodetest.Run(t, h.inside(filepath.Join(need.Binaries(t), "ordo"), "run", "--config", filepath.Join(h.dir, "ordo.toml")), patient)
	h.answers(t)
}

func (h *host) answers(t *testing.T) {
	t.Helper()
	ctx := within(t, patient)
	for {
		asked, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := h.node.Block(asked, "latest")
		cancel()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("host %d does not answer: %v", h.number, err)
		case <-h.ordo.Done():
			t.Fatalf("host %d: the node has ended: %v\n%s", h.number, h.ordo.Err(), h.ordo.Out)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (h *host) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// page is what docs/operators.md has for four hosts.
type page struct {
	network, config, follower string
	keys                      [5]string // as the page abbreviates them, by host
}

// readPage takes the files out of the page. Text that is not there fails the test: it changes with the page.
func readPage(t *testing.T) page {
	t.Helper()
	raw, err := os.ReadFile("../../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(title string) string {
		_, rest, found := strings.Cut(string(raw), "```toml\n# "+title+"\n")
		text, _, closed := strings.Cut(rest, "```")
		if !found || !closed {
			t.Fatalf("docs/operators.md has no block %s", title)
		}
		return text
	}
	return page{block("network.toml"), block("ordo.toml"), block("follower.toml"), [5]string{1: "4f2c...", 2: "8a11...", 3: "93bc...", 4: "d07e..."}}
}

// replaced changes text that must be there.
func replaced(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("docs/operators.md: no %q in:\n%s", pairs[i], text)
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// networkFile is the page's with a table for each host.
func (p page) networkFile(t *testing.T, keys [5]string) string {
	t.Helper()
	head, rest, _ := strings.Cut(p.network, "[[validators]]")
	table, _, more := strings.Cut(rest, "[[validators]]")
	if !more {
		t.Fatal("docs/operators.md: the network file has no second validator")
	}
	var b strings.Builder
	b.WriteString(head)
	for k := 1; k <= 4; k++ {
		b.WriteString("[[validators]]" + replaced(t, table, p.keys[1], keys[k], "0x1000", fmt.Sprintf("0x%d", 999+k)))
	}
	return b.String()
}

// configuration is the page's, which is of host 1, for any of the four.
func (p page) configuration(t *testing.T, h *host, keys [5]string) string {
	t.Helper()
	pairs := []string{"/var/lib/ordo", h.dir, "/etc/ordo", h.dir, "host = \"10.0.0.1\"", "host = \"" + address(h.number) + "\"", "accounts = 0", "accounts = 8"} // the test needs some
	for k := 2; k <= 4; k++ {
		other := k
		if k == h.number {
			other = 1
		}
		pairs = append(pairs, p.keys[k]+"@"+address(k), keys[other]+"@"+address(other))
	}
	return replaced(t, p.config, pairs...)
}

// fourHosts is the test in the namespace.
func fourHosts(t *testing.T) {
	start := time.Now()
	phase := func(what string) { t.Logf("%s after %s", what, time.Since(start).Round(100*time.Millisecond)) }
	sh(t, "ip", "link", "set", "lo", "up")
	sh(t, "ip", "link", "add", "br0", "type", "bridge")
	sh(t, "ip", "address", "add", address(254)+"/24", "dev", "br0")
	sh(t, "ip", "link", "set", "br0", "up")
	ordo := filepath.Join(need.Binaries(t), "ordo")
	p := readPage(t)
	var hosts [7]*host
	var keys [5]string
	for k := 1; k <= 6; k++ {
		hosts[k] = newHost(t, k)
		if k <= 4 {
			keys[k] = sh(t, ordo, "key", "new", filepath.Join(hosts[k].dir, "node.key"))
		}
	}
	for _, h := range hosts[1:5] {
		h.write(t, "network.toml", p.networkFile(t, keys))
		h.write(t, "ordo.toml", p.configuration(t, h, keys))
		h.write(t, "peers", "")
	}
	for _, h := range hosts[1:5] {
		h.ordo = nodetest.Run(t, h.inside(ordo, "run", "--config", filepath.Join(h.dir, "ordo.toml")), patient)
	}
	var nodes []client.Node
	for _, h := range hosts[1:5] {
		h.answers(t)
		nodes = append(nodes, h.node)
	}
	phase("four hosts answer")
	linked := func(h *host) int {
		return bytes.Count([]byte(sh(t, hosts[2].inside(ordo, "peers", "--url", address(h.number)+":5050", "--json").Args...)), []byte(`"links"`))
	}
	eventually(t, "host 1 has three links", func() bool { return linked(hosts[1]) == 3 })
	s := newSenders(8, "MY_CHAIN")
	for range 2 {
		s.round(t, nodes)
	}
	phase("2 rounds")

	hosts[4].link(t, "down") // two thirds are enough
	s.round(t, nodes[:3])
	phase("a round without host 4")
	head := reaches(t, nodes[0], 1).Number
	hosts[4].link(t, "up")
	reaches(t, nodes[3], head)
	phase("host 4 has caught up")

	if err := hosts[3].ordo.Kill(); err != nil {
		t.Fatal(err)
	}
	s.round(t, nodes[:2])
	hosts[3].run(t)
	phase("host 3 was killed, and is there again")

	// Two followers, as the page says: by the JSON-RPC of host 1, and by links with the validators, which are told its key.
	key := sh(t, ordo, "key", "new", filepath.Join(hosts[6].dir, "node.key"))
	for _, h := range hosts[1:5] {
		h.write(t, "peers", key+" follower\n")
	}
	for _, h := range hosts[5:] {
		h.write(t, "network.toml", p.networkFile(t, keys))
		pairs := []string{"/var/lib/ordo", h.dir, "/etc/ordo", h.dir, "\"10.0.0.6\"", "\"" + address(h.number) + "\"", "accounts = 0", "accounts = 8"}
		for k := 1; k <= 4; k++ {
			pairs = append(pairs, p.keys[k], keys[k])
		}
		text := replaced(t, p.follower, pairs...)
		if h.number == 5 {
			before, rest, _ := strings.Cut(text, "follow = \"peers\"")
			_, after, found := strings.Cut(rest, "\n\n") // without the lines that are not needed then
			if !found {
				t.Fatalf("docs/operators.md: %s", text)
			}
			text = before + "follow = \"http://10.0.0.1:5050\"\n\n" + after
		}
		h.write(t, "ordo.toml", text)
		h.run(t)
	}
	s.round(t, append(nodes, hosts[5].node, hosts[6].node))
	phase("two followers pass writes on")

	head = reaches(t, nodes[0], 1).Number
	for _, h := range hosts[1:] {
		reaches(t, h.node, head)
		same(t, h.node, nodes[0])
	}
	if by := proposers(t, nodes[0], head); len(by) < 2 {
		t.Errorf("blocks by proposer: %v", by)
	}
	for _, n := range nodes {
		var reports []any
		if err := n.Call(within(t, patient), "ordo_evidence", []any{}, &reports); err != nil || len(reports) > 0 {
			t.Errorf("%s reports %v: %v", n.URL, reports, err)
		}
	}
	phase("all six have the same chain")
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx := within(t, patient)
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("not so within %s: %s", patient, what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
