// Command ordo is a Starknet sequencer whose four stages are plugins: one file for each subcommand.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/cmd/ordo/db"
	"github.com/ordo-sequencer/ordo/cmd/ordo/localnet"
	"github.com/ordo-sequencer/ordo/cmd/ordo/verify"
	"github.com/ordo-sequencer/ordo/core/host"
)

// Set by the build.
var (
	version = "0.1.0"
	commit  = "unknown"
)

func main() {
	host.KeepDescriptors()
	screen := newTerminal()
	err := root(screen).ExecuteContext(untilSignal(context.Background()))
	var code interface{ ExitCode() int }
	status := 0
	switch {
	case err == nil:
	case errors.As(err, &code):
		status = code.ExitCode()
	default:
		_, _ = screen.errs.LevelWrite(hclog.Error, fmt.Appendln(nil, "ordo:", err))
		status = 1
	}
	screen.flush()
	os.Exit(status)
}

func root(screen *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "ordo",
		Short:         "A Starknet sequencer you can take apart",
		Version:       version + " (" + commit + ")",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(devCommand(screen), runCommand(screen), pluginCommand(), replayCommand(), verify.NewCommand(), benchCommand(), db.NewCommand(),
		keyCommand(), peersCommand(),
		localnet.NewCommand(screen.out, screen.errs, screen.serveOn), versionCommand())
	return cmd
}

// unknownCommand names the command that was probably meant.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %q: did you mean ordo %s?", args[0], near[0])
	}
	return fmt.Errorf("unknown command %q: ordo --help lists the commands", args[0])
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "ordo %s (%s)\n", version, commit)
		},
	}
}
