package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/ordo-sequencer/ordo/cmd/ordo/verify/check"
)

// TestTranscripts runs the command as a shell would: "file" writes a file, "verify" runs the command in that folder.
func TestTranscripts(t *testing.T) {
	datadriven.RunTest(t, "testdata/verify.txt", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "file":
			var name string
			d.ScanArgs(t, "name", &name)
			if err := os.WriteFile(name, []byte(d.Input), 0o600); err != nil {
				t.Fatal(err)
			}
			return ""
		case "verify":
			out, code := run(strings.Fields(d.Input)...)
			return fmt.Sprintf("%sexit %d\n", trimmed(out), code)
		}
		d.Fatalf(t, "unknown command %q", d.Cmd)
		return ""
	})
}

func TestMain(m *testing.M) {
	// Transcripts name files without folders: run everything in a folder of its own, but read testdata from here.
	here, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "ordo-verify-")
	if err != nil {
		panic(err)
	}
	if err := errors.Join(os.Symlink(here+"/testdata", dir+"/testdata"), os.Chdir(dir)); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func run(args ...string) (string, int) {
	var out bytes.Buffer
	cmd := NewCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true // as the root command does
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	var e *ExitError
	switch {
	case err == nil:
		return out.String(), 0
	case errors.As(err, &e):
		return out.String(), e.ExitCode()
	}
	return out.String() + err.Error() + "\n", 1
}

// trimmed drops the space at line ends that the table has, and empty lines.
func trimmed(s string) string {
	var b strings.Builder
	for _, line := range strings.Split(s, "\n") {
		if line = strings.TrimRight(line, " "); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

func TestJSON(t *testing.T) {
	const tx = `{"transaction_hash":"0x1","type":"L1_HANDLER","version":"0x0","contract_address":"0x2","entry_point_selector":"0x3","nonce":"0x4","calldata":["0x5"]}`
	if err := os.WriteFile("tx.json", []byte(tx), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := run("--json", "--chain-id", "SN_MAIN", "tx.json", "absent.json")
	var got struct {
		Files   []check.File
		Summary check.Summary
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if code != 1 || len(got.Files) != 2 || got.Summary.Mismatches != 1 || got.Summary.Unreadable != 1 || got.Files[1].Error == "" ||
		got.Files[0].Items[0].Verdict != check.Mismatch || got.Files[0].Chain != "SN_MAIN" {
		t.Errorf("exit %d, %s", code, out)
	}
}
