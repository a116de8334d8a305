package main

import (
	"io"
	"strings"
	"testing"
)

// TestWrongCommands: a command that does not exist, and words that are no flags, get an error that says what to do.
func TestWrongCommands(t *testing.T) {
	for line, want := range map[string]string{
		"dve": "did you mean ordo dev?", "frob": "ordo --help", "dev 5050": "ordo dev --help", "run ordo.toml": "ordo run --help", "replay chain": "ordo replay --help",
		"replay": "--data-dir", "dev --prot 1": "did you mean --port?", "dev --log-level loud": "choose trace, debug",
	} {
		cmd := root(newTerminal())
		cmd.SetArgs(strings.Fields(line))
		cmd.SetOut(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ordo %s: %v, want a word about %s", line, err, want)
		}
	}
}
