package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/cmd/ordo/machine"
	"github.com/ordo-sequencer/ordo/core/config"
)

const devLong = `Start a development node: four plugins, funded accounts, the JSON-RPC on one port.

The chain lives in a private folder and is gone at the end, unless --data-dir names one that keeps it. Flags and
environment variables are those of starknet-devnet where both have the setting; each setting also has a variable of its
own that starts with ORDO_.`

func devCommand() *cobra.Command {
	var argent bool
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Start a development node",
		Long:  devLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := config.Default()
			c.AnswerWhen = config.AnswerRun // scripts read what a transaction did right after sending it
			if err := overFile(&c, cmd); err != nil {
				return err
			}
			if argent {
				fmt.Fprintln(os.Stderr, "ordo: --predeclare-argent: Argent's classes are under the GPL and not shipped: none is declared")
			}
			return serve(cmd.Context(), c)
		},
	}
	config.Bind(cmd.Flags())
	// Test suites pass it to devnet whether they need the classes or not.
	cmd.Flags().BoolVar(&argent, "predeclare-argent", false, "accepted as devnet's; declares nothing and says so")
	cmd.Flags().SortFlags = false
	return cmd
}

func runCommand() *cobra.Command {
	var file string
	var print bool
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Start a node from a configuration file",
		Long:  "Start the same node as `ordo dev` from a TOML file. --print-config writes the file that fits the other flags.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := config.Default()
			if file != "" {
				raw, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("config: %w", err)
				}
				if err := config.FromFile(&c, file, raw); err != nil {
					return err
				}
			}
			if err := overFile(&c, cmd); err != nil {
				return err
			}
			if print {
				fmt.Fprint(cmd.OutOrStdout(), config.Sample(c))
				return nil
			}
			if file == "" {
				return fmt.Errorf("run: no --config FILE: write one with ordo run --print-config > ordo.toml")
			}
			return serve(cmd.Context(), c)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file")
	cmd.Flags().BoolVar(&print, "print-config", false, "print the configuration as a file and stop")
	config.Bind(cmd.Flags())
	cmd.Flags().SortFlags = false
	return cmd
}

// overFile applies what beats the file.
func overFile(c *config.Config, cmd *cobra.Command) error {
	if err := config.FromEnv(c, os.LookupEnv); err != nil {
		return err
	}
	if err := config.FromFlags(c, cmd.Flags()); err != nil {
		return err
	}
	return c.Validate()
}

// serve runs a node until the context ends or the node fails.
func serve(ctx context.Context, c config.Config) error {
	installed, err := machine.Installed()
	if err != nil {
		return err
	}
	m, err := machine.Start(ctx, c, installed)
	if err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while starting
		}
		return err
	}
	machine.Banner(os.Stdout, c, m)
	return m.Wait(ctx)
}
