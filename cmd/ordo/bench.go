package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

// benchCommand runs the ordo-bench binary beside this one, in this process: signals and exit status are its own.
func benchCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "bench",
		Short:              "Measure: runs the ordo-bench binary beside this one",
		DisableFlagParsing: true, // they are ordo-bench's
		RunE: func(_ *cobra.Command, args []string) error {
			self, err := os.Executable()
			if err == nil {
				self, err = filepath.EvalSymlinks(self)
			}
			if err != nil {
				return fmt.Errorf("bench: where is this binary: %w", err)
			}
			path := filepath.Join(filepath.Dir(self), "ordo-bench")
			err = syscall.Exec(path, append([]string{path}, args...), os.Environ())
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("bench: no %s: build it with make build, or with go build -o %s ./cmd/ordo-bench in the repository", path, path)
			}
			return fmt.Errorf("bench: %s: %w", path, err)
		},
	}
}
