// Command compile-contracts makes the class files of genesis, tests and benchmarks: it takes each contract of the manifest
// out of its crate, compiles it with the execution plugin, and checks the class hash.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ordo-sequencer/ordo/contracts"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
)

func main() {
	compiler := flag.String("compiler", "", "the execution plugin, which has a `compile` command")
	out := flag.String("out", "", "folder for the class files")
	crates := make(crateDirs)
	flag.Var(crates, "crate", "NAME=FOLDER of an unpacked crate, repeatable")
	flag.Parse()
	for _, c := range contracts.All() {
		if err := build(c, *compiler, crates, *out); err != nil {
			fmt.Fprintf(os.Stderr, "compile-contracts: %s: %v\n", c.Name, err)
			os.Exit(1)
		}
	}
}

// build writes the class file beside its place first, so that a broken run leaves the old one.
func build(c contracts.Contract, compiler string, crates crateDirs, out string) error {
	dir, ok := crates[c.Crate]
	if !ok {
		return fmt.Errorf("where is crate %s? pass -crate %s=FOLDER", c.Crate, c.Crate)
	}
	artifact, err := os.ReadFile(filepath.Join(dir, c.Path))
	if err != nil {
		return err
	}
	definition, err := contracts.Definition(c.Kind, artifact)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(out, ".compile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	in := filepath.Join(work, "definition.json")
	if err := os.WriteFile(in, definition, 0o600); err != nil {
		return err
	}
	cmd := exec.Command(compiler, "compile", in, contracts.File(work, c.Name))
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	class, err := contracts.Read(work, c.Name)
	if err != nil {
		return err
	}
	hash, err := felt.FromBytes(class.Hash)
	if err != nil {
		return fmt.Errorf("class hash: %w", err)
	}
	if hash != c.ClassHash {
		return fmt.Errorf("%s hashes to %s, the manifest says %s: another file than the one that was checked", c.Path, hash, c.ClassHash)
	}
	return os.Rename(contracts.File(work, c.Name), contracts.File(out, c.Name))
}

type crateDirs map[string]string

func (d crateDirs) String() string { return "" }

func (d crateDirs) Set(value string) error {
	name, dir, ok := strings.Cut(value, "=")
	if !ok {
		return fmt.Errorf("want NAME=FOLDER")
	}
	d[name] = dir
	return nil
}
