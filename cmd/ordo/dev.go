package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ordo-sequencer/ordo/node"
	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/node/printer"
)

const devLong = `Start a development node: four plugins, funded accounts, the JSON-RPC on one port.

The chain lives in a private folder and is gone at the end, unless --data-dir names one that keeps it. Flags and
environment variables are those of starknet-devnet where both have the setting; each setting also has a variable of its
own that starts with ORDO_.`

func devCommand(screen *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Start a development node",
		Long:  devLong,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed(config.RestrictiveMode) {
				return nil // the methods that it forbids
			}
			return noArguments(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c := config.Default()
			c.Devnet = true
			c.AnswerWhen = config.AnswerRun // scripts read what a transaction did right after sending it
			c.LogLevel = ""                 // nothing chosen yet
			words, err := config.FromDevnet(&c, cmd.Flags(), args, os.LookupEnv)
			if err != nil {
				return err
			}
			for _, word := range words {
				fmt.Fprintln(screen.errs, "ordo:", word)
			}
			if err := overFile(&c, cmd, config.WithoutDevnets(cmd.Flags(), os.LookupEnv)); err != nil {
				return err
			}
			if c.LogLevel == "" {
				c.LogLevel = "info"
				if c.Quiet {
					c.LogLevel = "warn"
				}
			}
			lines := !c.Quiet && slices.Contains([]string{"info", "debug", "trace"}, c.LogLevel)
			return serve(cmd.Context(), c, screen, lines)
		},
	}
	config.Bind(cmd.Flags())
	config.BindDevnet(cmd.Flags())
	return completed(cmd)
}

func runCommand(screen *terminal) *cobra.Command {
	var file string
	var print bool
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Start a node from a configuration file",
		Long:  "Start the same node as `ordo dev` from a TOML file. --print-config writes the file that fits the other flags.",
		Args:  noArguments,
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
			if err := overFile(&c, cmd, os.LookupEnv); err != nil {
				return err
			}
			if print {
				fmt.Fprint(cmd.OutOrStdout(), config.Sample(c))
				return nil
			}
			if file == "" {
				return fmt.Errorf("run: no --config FILE: write one with ordo run --print-config > ordo.toml")
			}
			if c.Devnet {
				fmt.Fprintf(screen.errs, "ordo: rpc.devnet = true: devnet_* are served: clients that reach %s mint, move the time and read the keys of accounts\n", c.Host)
			}
			return serve(cmd.Context(), c, screen, false)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file")
	cmd.Flags().BoolVar(&print, "print-config", false, "print the configuration as a file and stop")
	config.Bind(cmd.Flags())
	return completed(cmd)
}

// noArguments rejects words that are no flags.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s: %q is no flag: it takes flags only, %s --help lists them", cmd.Name(), args[0], cmd.CommandPath())
	}
	return nil
}

// completed adds what every command that starts a node has: the order of the table, and help in two lengths.
func completed(cmd *cobra.Command) *cobra.Command {
	var all bool
	cmd.Flags().BoolVar(&all, "help-all", false, "help with all flags: attach, checksum and tls of each plugin, limits")
	cmd.Flags().SortFlags = false
	cmd.SetFlagErrorFunc(meant)
	args, run := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, list []string) error {
		if all {
			return nil
		}
		return args(cmd, list)
	}
	cmd.RunE = func(cmd *cobra.Command, list []string) error {
		if !all {
			return run(cmd, list)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = false })
		return cmd.Help()
	}
	return cmd
}

// meant names the flag that is nearest to one that there is not.
func meant(cmd *cobra.Command, err error) error {
	var none *pflag.NotExistError
	if errors.As(err, &none) && none.GetSpecifiedShortnames() == "" {
		if near := config.NearestFlag(none.GetSpecifiedName(), cmd.Flags()); near != "" {
			return fmt.Errorf("%w: did you mean --%s?", err, near)
		}
		return fmt.Errorf("%w: %s --help-all lists all", err, cmd.CommandPath())
	}
	return err
}

// overFile applies what beats the file.
func overFile(c *config.Config, cmd *cobra.Command, lookup func(string) (string, bool)) error {
	if err := config.FromEnv(c, lookup); err != nil {
		return err
	}
	if err := config.FromFlags(c, cmd.Flags()); err != nil {
		return err
	}
	return c.Validate()
}

// serve runs a node until the context ends or the node fails. lines: a line is printed for each transaction and block.
func serve(ctx context.Context, c config.Config, screen *terminal, lines bool) error {
	screen.serveOn()
	installed, err := node.Installed()
	if err != nil {
		return err
	}
	out := node.Output{Log: screen.errs, Colour: screen.colours.errs}
	if !c.Quiet {
		out.Progress = screen.progress
	}
	if lines {
		printed := printer.New(printer.Options{To: screen.out, Colour: screen.colours.out})
		defer printed.Close()
		out.Observer = printed
	}
	m, err := node.Start(ctx, c, installed, out)
	if err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while starting
		}
		return err
	}
	node.Banner(screen.out, c, m)
	return m.Wait(ctx)
}
