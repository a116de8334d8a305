// Command ordo is a Starknet sequencer whose four stages are plugins.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/cmd/ordo/bench"
	"github.com/ordo-sequencer/ordo/cmd/ordo/db"
	"github.com/ordo-sequencer/ordo/cmd/ordo/verify"
)

// Set by the build.
var (
	version = "0.1.0"
	commit  = "unknown"
)

func main() {
	// The first signal stops gracefully; a second one, when that takes too long, at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := root().ExecuteContext(ctx)
	var code interface{ ExitCode() int }
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(code.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "ordo:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "ordo",
		Short:         "A Starknet sequencer you can take apart",
		Version:       version + " (" + commit + ")",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(devCommand(), runCommand(), pluginCommand(), replayCommand(), verify.NewCommand(), bench.NewCommand(), db.NewCommand(), versionCommand())
	return cmd
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
