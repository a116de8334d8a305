// Command ordo-bench holds the measuring instruments: what the process boundary costs and what a node carries. It starts the
// `ordo` binary beside it; `ordo bench` runs this one.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/core/host"
)

func main() {
	host.KeepDescriptors()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "ordo-bench:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{Use: "ordo-bench", Short: "Measure a node and its parts", SilenceUsage: true, SilenceErrors: true}
	cmd.AddCommand(execCommand(), commitCommand(), loadCommand(), hopCommand(), startCommand(), growthCommand(), proofsCommand(), networkCommand(), allCommand(), profiledCommand())
	return cmd
}
