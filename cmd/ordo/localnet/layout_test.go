package localnet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/node/config"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// example is a network with one node of each kind. The keys are short in the eye: node K has the key 0K0K0K...
func example(t Takes) *Layout {
	l := &Layout{Version: layoutVersion, ChainID: "SN_SEPOLIA", GenesisTime: 1_800_000_000, BasePort: 5050, Consensus: "comet", Takes: t}
	for k, m := range []Member{{Kind: Validator}, {Kind: Validator}, {Kind: Follower, Follow: FromPeers}, {Kind: Follower, Follow: FromURL}, {Kind: Twin, Of: 1}} {
		for i := range m.Key {
			m.Key[i] = byte(k)
			if m.Kind == Twin {
				m.Key[i] = byte(m.Of)
			}
		}
		l.Members = append(l.Members, m)
	}
	return l
}

// TestLayout shows the files of a network, and the ways between its nodes.
func TestLayout(t *testing.T) {
	datadriven.RunTest(t, "testdata/layout", func(t *testing.T, d *datadriven.TestData) string {
		takes := Takes{KeyFile: true, NodeKeyFile: true, Listen: true, Peers: true, AcceptUnknown: true}
		if d.HasArg("hosted") {
			takes = Takes{}
		}
		if d.HasArg("text") {
			takes = Takes{Peers: true, PeersText: true}
		}
		l := example(takes)
		if d.HasArg("set") {
			l.Set = []string{"node.log_level=info", "consensus.config.build_ms=100", "execution.config.block.max_transactions=500"}
		}
		node := 0
		d.MaybeScanArgs(t, "node", &node)
		switch d.Cmd {
		case "network":
			return string(l.Network().Format())
		case "peers":
			return string(l.PeerFile(node))
		case "wires":
			var b strings.Builder
			for k := range l.Members {
				for _, w := range l.Wires(k) {
					fmt.Fprintf(&b, "%d to %d: %s -> %s\n", w.From, w.To, w.Listen, w.Target)
				}
			}
			return b.String()
		case "ports":
			var b strings.Builder
			for k := range l.Members {
				fmt.Fprintf(&b, "%d: %s\n", k, strings.Join(l.Ports(k), " "))
			}
			return b.String()
		case "config":
			c, err := l.Config("/D", node)
			if err != nil {
				return err.Error() + "\n"
			}
			var b strings.Builder
			for line := range strings.Lines(config.Changed(c)) {
				if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
					b.WriteString(line)
				}
			}
			return b.String()
		}
		return "?"
	})
}

// TestCreateAndAdd: a folder that was made reads back as the same network, its keys are the ones of the network file and for their owner alone,
// and a node that is added is known to the others.
func TestCreateAndAdd(t *testing.T) {
	dir := t.TempDir()
	l := newLayout("SN_SEPOLIA", time.Unix(1_800_000_000, 0))
	l.BasePort, l.Consensus, l.Takes = 6000, "comet", Takes{KeyFile: true, NodeKeyFile: true, Listen: true, Peers: true}
	if err := create(dir, l, 3); err != nil {
		t.Fatal(err)
	}
	for _, m := range []Member{{Kind: Follower, Follow: FromPeers}, {Kind: Twin, Of: 2}} {
		if _, err := l.add(dir, m); err != nil {
			t.Fatal(err)
		}
	}
	again, err := readLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(again) != fmt.Sprint(l) || len(again.Members) != 5 {
		t.Errorf("read back:\n%+v\nwritten:\n%+v", again, l)
	}
	v, err := config.ReadNetwork(networkPath(dir))
	if err != nil || len(v.Members) != 3 {
		t.Fatalf("%+v: %v", v, err)
	}
	for k, m := range again.Members {
		key, err := identity.Load(filepath.Join(folderOf(dir, k), "node.key"))
		if err != nil || identity.Of(key) != m.Key {
			t.Errorf("node %d: %v", k, err)
		}
		raw, err := os.ReadFile(filepath.Join(folderOf(dir, k), "ordo.toml"))
		if err != nil {
			t.Fatal(err)
		}
		c := config.Default()
		if err := config.FromFile(&c, "ordo.toml", raw); err != nil {
			t.Errorf("node %d: %v", k, err)
		}
		for _, name := range []string{"node.key", "ordo.toml", "peers"} {
			if info, err := os.Stat(filepath.Join(folderOf(dir, k), name)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("node %d: %s: %v %v", k, name, info, err)
			}
		}
	}
	if again.Members[4].Key != again.Members[2].Key {
		t.Error("the twin has another key")
	}
	engine, err := identity.Load(filepath.Join(folderOf(dir, 4), "engine.key"))
	if err != nil || identity.Of(engine) == again.Members[4].Key {
		t.Errorf("the twin's engine has the same key: %v", err)
	}
	peers, err := os.ReadFile(filepath.Join(folderOf(dir, 0), "peers"))
	if err != nil || !strings.Contains(string(peers), again.Members[3].Key.String()+" follower") {
		t.Errorf("node 0 does not know the follower: %v\n%s", err, peers)
	}
}

// TestFoldersAreProtected: only a folder with a localnet is removed, only one that does not run, and a new localnet takes an empty folder.
func TestFoldersAreProtected(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine")
	if err := os.WriteFile(mine, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := clean(dir); err == nil || !strings.Contains(err.Error(), "nothing is removed") {
		t.Errorf("clean: %v", err)
	}
	if err := create(dir, newLayout("SN_SEPOLIA", time.Now()), 1); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("create: %v", err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}
	if err := create(dir, newLayout("SN_SEPOLIA", time.Now()), 1); err != nil {
		t.Fatal(err)
	}
	held, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil || !strings.Contains(err.Error(), "runs in") {
		t.Errorf("a second lock: %v", err)
	}
	if err := clean(dir); err == nil || !strings.Contains(err.Error(), "runs in") {
		t.Errorf("clean of a localnet that runs: %v", err)
	}
	held.Close()
	if err := clean(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is there: %v", err)
	}
}

// TestAHalfMadeFolderIsMadeAnew: what a killed command left behind is made anew, or removed by clean; files of the user's beside it are kept.
func TestAHalfMadeFolderIsMadeAnew(t *testing.T) {
	half := func() (dir string) {
		dir = t.TempDir()
		l := newLayout("SN_SEPOLIA", time.Now())
		l.BasePort, l.Consensus = 6000, "solo"
		if err := create(dir, l, 3); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, makingFile)); !os.IsNotExist(err) {
			t.Fatalf("a finished folder says that it is not: %v", err)
		}
		if err := os.Rename(filepath.Join(dir, layoutFile), filepath.Join(dir, layoutFile+".new")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, makingFile), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := half()
	if err := create(dir, newLayout("SN_SEPOLIA", time.Now()), 1); err != nil {
		t.Fatal(err)
	}
	if l, err := readLayout(dir); err != nil || len(l.Members) != 1 {
		t.Errorf("%+v, %v", l, err)
	}
	for _, name := range []string{"node-1", "node-2", makingFile, layoutFile + ".new"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	dir = half()
	if err := clean(dir); err != nil {
		t.Error(err)
	}
	dir = half()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := create(dir, newLayout("SN_SEPOLIA", time.Now()), 1); err == nil || !strings.Contains(err.Error(), "there is mine") {
		t.Errorf("create beside a file of the user's: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node-2")); err != nil {
		t.Error("something was removed all the same")
	}
}

// TestSettingsOfAllNodesAreChecked: a wrong one is named before anything is made.
func TestSettingsOfAllNodesAreChecked(t *testing.T) {
	for _, one := range []string{"rpc.port", "rpc.prot=1", "rpc.port=x", "=1", "mempool.config.x=1"} {
		c := config.Default()
		if err := set(&c, []string{one}); err == nil || !strings.Contains(err.Error(), "--set "+one) {
			t.Errorf("%q: %v", one, err)
		}
	}
}

// TestTakesReadsSchemas: an engine gets what its schema has a key for, in the form that it wants.
func TestTakesReadsSchemas(t *testing.T) {
	for text, want := range map[string]Takes{
		``: {},
		`{"type":"object","properties":{"timeout_ms":{"type":"integer"}}}`:                                                        {},
		`{"type":"object","properties":{"key_file":{"type":"string"},"peers":{"type":"array","items":{"type":"string"}}}}`:        {KeyFile: true, Peers: true},
		`{"type":"object","properties":{"listen":{"type":"string"},"peers":{"type":"string"},"node_key_file":{"type":"string"}}}`: {Listen: true, Peers: true, PeersText: true, NodeKeyFile: true},
	} {
		if got, err := takes(&ordov1.DescribeResponse{ConfigSchema: text}); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{`{`, `{"type":"object","properties":{"peers":{"type":"integer"}}}`} {
		if _, err := takes(&ordov1.DescribeResponse{ConfigSchema: text}); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// TestEnvironmentConfiguresNoNode: variables that would beat the files of the nodes are left out, those of the installation stay.
func TestEnvironmentConfiguresNoNode(t *testing.T) {
	got := environment([]string{"PATH=/bin", "PORT=1", "ORDO_PORT=2", "SEED=3", "ORDO_PLUGINS=/p", "ORDO_NETWORK_FOLLOW=x"})
	if fmt.Sprint(got) != "[PATH=/bin ORDO_PLUGINS=/p]" {
		t.Error(got)
	}
}
