package db

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain makes this binary a storage plugin that has the commands: it answers, and prints what it was asked.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "db" {
		os.Exit(plugin(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func plugin(args []string) int {
	if args[0] == "protocol" {
		os.Stdout.WriteString(protocol + "\n")
		return 0
	}
	line, _ := io.ReadAll(os.Stdin)
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"args": args, "in": string(line)})
	os.Stderr.WriteString("progress\n")
	return map[string]int{"check": 1, "stats": 0, "repair": 2}[args[0]]
}

func run(t *testing.T, find func(string) (string, error), args ...string) (out, errs string, err error) {
	t.Helper()
	cmd := newCommand(find)
	var o, e bytes.Buffer
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	cmd.SetIn(strings.NewReader("yes"))
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err = cmd.ExecuteContext(t.Context())
	return o.String(), e.String(), err
}

func self(string) (string, error) { return os.Args[0], nil }

func TestRun(t *testing.T) {
	dir := t.TempDir()
	database := filepath.Join(dir, "storage")
	if err := os.Mkdir(database, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want []string
		code int
	}{
		{[]string{"check"}, []string{"check", database}, 1},
		{[]string{"check", "--json"}, []string{"check", "--json", database}, 1},
		{[]string{"stats"}, []string{"stats", database}, 0},
		{[]string{"repair", "--yes", "--json"}, []string{"repair", "--json", "--yes", database}, 2},
	} {
		out, errs, err := run(t, self, append(test.args, "--data-dir", dir)...)
		var exit *ExitError
		if code := 0; errors.As(err, &exit) {
			if code = exit.ExitCode(); code != test.code {
				t.Errorf("%v: exit %d", test.args, code)
			}
		} else if err != nil || test.code != 0 {
			t.Errorf("%v: %v", test.args, err)
		}
		var got struct {
			Args []string
			In   string
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil || strings.Join(got.Args, " ") != strings.Join(test.want, " ") || got.In != "yes" {
			t.Errorf("%v: %s %v", test.args, out, err)
		}
		if errs != "progress\n" {
			t.Errorf("%v: %q", test.args, errs)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Setenv("ORDO_DATA_DIR", "")
	dir := t.TempDir()
	stranger := filepath.Join(dir, "stranger")
	if err := os.WriteFile(stranger, []byte("#!/bin/sh\necho I am a plugin; exit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "storage"), 0o700); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"name the folder of the node": {"check"},
		"there is no database in":     {"check", "--data-dir", filepath.Join(dir, "none")},
		"has no database commands":    {"check", "--data-dir", dir, "--storage", stranger},
		"no such plugin in":           {"stats", "--data-dir", dir, "--storage", "nothing"},
		"unknown flag: --yes":         {"stats", "--data-dir", dir, "--yes"},
	} {
		if _, _, err := run(t, find, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q, got %v", args, want, err)
		}
	}
}
