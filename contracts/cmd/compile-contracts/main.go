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
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func main() {
	compiler := flag.String("compiler", "", "the execution plugin, which has a `compile` command")
	out := flag.String("out", "", "folder for the class files")
	crates := make(crateDirs)
	flag.Var(crates, "crate", "NAME=FOLDER of an unpacked crate, repeatable")
	flag.Parse()
	if err := run(*compiler, crates, *out); err != nil {
		fmt.Fprintln(os.Stderr, "compile-contracts:", err)
		os.Exit(1)
	}
}

// run compiles beside the place first, so that a broken run leaves the old files.
func run(compiler string, crates crateDirs, out string) error {
	work, err := os.MkdirTemp(out, ".compile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	args := []string{"compile"}
	for _, c := range contracts.All() {
		in := filepath.Join(work, c.Name+".json")
		if err := define(c, crates, in); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		args = append(args, in)
	}
	cmd := exec.Command(compiler, append(args, "--out", work)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", compiler, err)
	}
	for _, c := range contracts.All() {
		if err := check(c, work); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	for _, c := range contracts.All() {
		if err := os.Rename(contracts.File(work, c.Name), contracts.File(out, c.Name)); err != nil {
			return err
		}
	}
	return nil
}

// define writes the artifact of a crate in the shape of the JSON-RPC.
func define(c contracts.Contract, crates crateDirs, to string) error {
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
	return os.WriteFile(to, definition, 0o600)
}

func check(c contracts.Contract, dir string) error {
	class, err := contracts.Read(dir, c.Name)
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
	return nil
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
