package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakePlugin is an execution plugin that does what a shell script says; an empty one is not there.
func fakePlugin(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if script != "" {
		if err := os.WriteFile(filepath.Join(dir, "ordo-execution-blockifier"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("ORDO_PLUGINS", dir)
}

func TestHashes(t *testing.T) {
	fakePlugin(t, `[ "$*" = "hash --pairs 2000" ] && echo '{"by":"starknet-types-core","pedersen_ns":1e9,"poseidon_ns":1e8}'`)
	costs, not, err := measureHashes(t.Context(), 2, true)
	if err != nil || len(not) > 0 {
		t.Fatal(err, not)
	}
	var got []string
	for _, c := range costs {
		if c.NS <= 0 || c.Ratio <= 0 || c.By == byBatches && c.Ratio != 1 || c.By == byCrate && c.Ratio < 100 {
			t.Errorf("%+v", c)
		}
		got = append(got, c.Hash+" "+c.By)
	}
	want := "pedersen ordo, in batches of 256|pedersen ordo, one by one|pedersen gnark-crypto|pedersen starknet-types-core|" +
		"poseidon ordo, in batches of 256|poseidon ordo, one by one|poseidon starknet-types-core"
	if strings.Join(got, "|") != want {
		t.Error(got)
	}
}

// TestHashesWithout: a plugin that cannot tell leaves its rows out, with a reason and what to do.
func TestHashesWithout(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"", "no ordo-execution-blockifier beside ordo or in ORDO_PLUGINS: make build makes it"},
		{"echo 'ordo-execution-blockifier: unknown command' >&2; echo usage: >&2; exit 1", "hash: exit status 1: unknown command (make build makes"},
		{"echo oops", `printed "oops\n"`},
		{`echo '{"by":"another","pedersen_ns":1,"poseidon_ns":1}'`, "not the times of starknet-types-core"},
	} {
		fakePlugin(t, c.script)
		costs, not, err := measureHashes(t.Context(), 1, true)
		if err != nil {
			t.Fatal(err)
		}
		if len(costs) != 5 || len(not) != 1 || !strings.Contains(not[0], c.want) {
			t.Errorf("%d rows; not measured: %q, want %q", len(costs), not, c.want)
		}
	}
}

func TestPrintHashes(t *testing.T) {
	r := Commit{
		Each: []HashCost{{"pedersen", byBatches, 3456.7, 1}, {"pedersen", byGnark, 54321, 15.71}, {"poseidon", byCrate, 6789, 4}},
		Not:  []string{"x: y"},
	}
	var out bytes.Buffer
	r.printHashes(&out)
	want := `one hash of two felts, on one processor (ratio: to ordo in batches, the median over rounds)
pedersen  ordo, in batches of 256     3457 ns     1.0
pedersen  gnark-crypto               54321 ns    15.7
poseidon  starknet-types-core         6789 ns     4.0
not measured: x: y
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}
