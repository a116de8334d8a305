// Package rustcrate builds a plugin on the Rust SDK in a crate of its own, as an author does. That is outside of the workspace, where
// no other member turns features of the dependencies on.
package rustcrate

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/conformance"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

const manifest = `[package]
name = %q
version = "0.0.0"
edition = "2021"

[dependencies]
ordo-sdk = { path = %q }
`

// build makes the crate in a folder that no workspace is above. The lock file is the workspace's and so is the target folder, so that little is
// downloaded and what has been built with the same features is not built again.
func build(t *testing.T) string {
	target := os.Getenv("CARGO_TARGET_DIR")
	if target == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("CARGO_TARGET_DIR is not set: scripts/test.sh sets it")
		}
		t.Skip("CARGO_TARGET_DIR is not set: the Rust SDK is not built outside of the workspace; make test does")
	}
	crate, err := filepath.Abs("../../sdk/rust")
	if err != nil {
		t.Fatal(err)
	}
	// One folder for each clone: a new one each time would fill the target folder.
	name := fmt.Sprintf("ordo-outside-%08x", crc32.ChecksumIEEE([]byte(crate)))
	dir := filepath.Join(target, "outside", name)
	copyFile(t, "main.rs", filepath.Join(dir, "src", "main.rs"))
	copyFile(t, "../../Cargo.lock", filepath.Join(dir, "Cargo.lock"))
	if err := os.WriteFile(filepath.Join(dir, "Cargo.toml"), fmt.Appendf(nil, manifest, name, crate), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cargo", "build", "--release")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cargo build of a crate outside of the workspace: %v\n%s", err, out)
	}
	return filepath.Join(target, "release", name)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o700)
	}
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestCrateOutsideOfTheWorkspace(t *testing.T) {
	plugin := build(t)
	t.Run("conformance", func(t *testing.T) {
		subject := conformance.Process(plugin)
		conformance.RunBase(t, subject)
		conformance.RunOrdering(t, subject)
	})
	t.Run("by hand", func(t *testing.T) {
		out, err := exec.Command(plugin).CombinedOutput()
		if err == nil {
			t.Error("exit status 0 without a host")
		}
		for _, want := range []string{`the ordo ordering plugin "tip-rust", version 0.1.0`, "ordo dev --ordering " + plugin, "ordo dev --ordering-attach unix:///tmp/tip-rust.sock"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%q is not in:\n%s", want, out)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		cmd := exec.Command(plugin)
		cmd.Env = append(os.Environ(), sdk.EnvListen+"=tcp://127.0.0.1:1")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "choose unix:///absolute/path") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("attached", func(t *testing.T) { attached(t, plugin) })
}

// attached: a plugin that listens where it is told serves a node that attaches, a second one after it, and ends on SIGINT.
func attached(t *testing.T, plugin string) {
	socket := filepath.Join(t.TempDir(), "s")
	var out bytes.Buffer
	cmd := exec.Command(plugin)
	cmd.Env = append(os.Environ(), sdk.EnvListen+"=unix://"+socket)
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	for range 2 {
		p, err := host.Start(context.Background(), host.Options{}, host.Spec{Stage: ordov1.Stage_STAGE_ORDERING, Attach: "unix://" + socket})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := ordov1.NewOrderingClient(p.Conn()).Score(context.Background(), &ordov1.ScoreRequest{Transactions: []*ordov1.TransactionView{{Tip: 7}}})
		if err != nil || resp.GetHi()[0] != 7 {
			t.Fatal(resp, err)
		}
		p.Kill()
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if want := `ordering "tip-rust" is listening: ordo dev --ordering-attach unix://` + socket; !strings.Contains(out.String(), want) {
		t.Errorf("%q is not in:\n%s", want, out.String())
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket is left behind")
	}
}
