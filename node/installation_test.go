package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/sdk"
)

// installed is a folder of empty plugins.
func installed(t *testing.T) Installation {
	t.Helper()
	i := Installation{Plugins: t.TempDir()}
	for _, name := range []string{"ordering-fifo", "ordering-fee", "execution-blockifier", "storage-badger", "consensus-solo"} {
		if err := os.WriteFile(filepath.Join(i.Plugins, "ordo-"+name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

func TestPluginNames(t *testing.T) {
	i := installed(t)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("mine", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ choice, want, err string }{
		{"fee", filepath.Join(i.Plugins, "ordo-ordering-fee"), ""},
		{"mine", "./mine", ""},
		{"./else/where", "./else/where", ""}, // the host says what is wrong with it
		{"badger", "", "that is a plugin of stage storage: choose fee, fifo, or the path"},
		{"fiffo", "", "no such plugin: did you mean fifo?"},
		{"nothing", "", "--ordering nothing: no such plugin"},
	} {
		got, err := i.Plugin("ordering", c.choice)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("--ordering %s: %q, %v; want %q, %q", c.choice, got, err, c.want, c.err)
		}
	}
}

func TestSpecs(t *testing.T) {
	c := config.Default()
	file := "[chain]\nblock_generation_on = 0.5\n[node]\nworkers = 3\ndata_dir = \"/d\"\n[consensus.config]\nempty_blocks = false\n" +
		"[storage]\nplugin = \"/opt/store\"\n[storage.config]\npath = \"x\"\n"
	if err := config.FromFile(&c, "test", []byte(file)); err != nil {
		t.Fatal(err)
	}
	list, err := specs(c, installed(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]struct{ config, dataDir string }{
		"ordering":  {`{}`, ""},
		"execution": {`{"workers":3}`, ""},
		"storage":   {`{"path":"x"}`, "/d/storage"},
		"consensus": {`{"empty_blocks":false,"interval_ms":500,"mode":"interval"}`, "/d/consensus"},
	}
	for _, s := range list {
		w := want[sdk.StageName(s.Stage)]
		if string(s.Config) != w.config || s.DataDir != w.dataDir {
			t.Errorf("%s: %s in %q, want %s in %q", sdk.StageName(s.Stage), s.Config, s.DataDir, w.config, w.dataDir)
		}
	}
	if len(list) != len(want) {
		t.Errorf("%d stages, want %d", len(list), len(want))
	}
}

// TestSpecsOfOthers: a checksum is of the file that is started; what is attached is not looked for.
func TestSpecsOfOthers(t *testing.T) {
	c := config.Default()
	sum := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	file := "[ordering]\nchecksum = \"sha256:" + sum + "\"\ntls = true\n[consensus]\nplugin = \"nowhere\"\nattach = \"tcp://v:1\"\n" +
		"tls = { ca = \"a\", cert = \"b\", key = \"c\" }\n"
	if err := config.FromFile(&c, "test", []byte(file)); err != nil {
		t.Fatal(err)
	}
	i := installed(t)
	list, err := specs(c, i, nil)
	if err != nil {
		t.Fatal(err)
	}
	ordering, consensus := list[0], list[3]
	if ordering.Checksums[filepath.Join(i.Plugins, "ordo-ordering-fifo")] != sum || !ordering.TLS || ordering.Attach != "" {
		t.Errorf("%+v", ordering)
	}
	if consensus.Path != "" || consensus.Attach != "tcp://v:1" || consensus.TLSFiles != (sdk.TLSFiles{CA: "a", Cert: "b", Key: "c"}) {
		t.Errorf("%+v", consensus)
	}
}

func TestOneNodePerFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	first, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second node: %v", err)
	}
	first.Close()
	again, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
