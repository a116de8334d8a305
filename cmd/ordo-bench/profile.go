package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/node"
	"github.com/ordo-sequencer/ordo/node/config"
)

// profiledCommand is `ordo dev` that writes a CPU profile of the core when it ends: `ordo-bench load --profile` runs it. A
// profile goes to a file, not to a port, which could be left open.
func profiledCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:    "dev",
		Short:  "ordo dev with a CPU profile of the core",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c := config.Default()
			c.Devnet = true
			c.AnswerWhen = config.AnswerRun
			if err := config.FromFlags(&c, cmd.Flags()); err != nil {
				return err
			}
			if err := c.Validate(); err != nil {
				return err
			}
			installed, err := node.Installed()
			if err != nil {
				return err
			}
			out, err := os.Create(file)
			if err != nil {
				return fmt.Errorf("--cpuprofile: %w", err)
			}
			if err := pprof.StartCPUProfile(out); err != nil {
				return err
			}
			defer func() {
				pprof.StopCPUProfile()
				err = errors.Join(err, out.Close())
			}()
			m, err := node.Start(cmd.Context(), c, installed, node.Output{Log: os.Stderr})
			if err != nil {
				return err
			}
			node.Banner(os.Stdout, c, m)
			return m.Wait(cmd.Context())
		},
	}
	config.Bind(cmd.Flags())
	cmd.Flags().StringVar(&file, "cpuprofile", "cpu.pprof", "file for the profile")
	return cmd
}
