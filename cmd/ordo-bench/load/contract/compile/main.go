// Command compile makes exchange.class.gz, the class that benchmarks declare, from the compiled exchange.cairo.
// contracts/cairo/compile.mjs compiles that; the file holds the definition with the two hashes that a declaration needs.
//
//	go run . ARTIFACT.contract_class.json PATH/OF/ordo-execution-blockifier ../exchange.class.gz
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/contracts"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: compile ARTIFACT COMPILER OUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "compile:", err)
		os.Exit(1)
	}
}

func run(artifact, compiler, out string) error {
	raw, err := os.ReadFile(artifact)
	if err != nil {
		return err
	}
	definition, err := contracts.Definition(ordov1.Class_SIERRA, raw)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "ordo-compile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	in := filepath.Join(work, "exchange.json")
	if err := os.WriteFile(in, definition, 0o600); err != nil {
		return err
	}
	if told, err := exec.Command(compiler, "compile", in, "--out", work).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", compiler, err, told)
	}
	class, err := contracts.Read(work, "exchange")
	if err != nil {
		return err
	}
	small, err := proto.MarshalOptions{Deterministic: true}.Marshal(&ordov1.Class{
		Kind: class.Kind, Hash: class.Hash, CompiledClassHash: class.CompiledClassHash, Definition: class.Definition,
	})
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(small); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(out, packed.Bytes(), 0o644)
}
