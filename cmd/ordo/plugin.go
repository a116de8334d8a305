package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/core/rpc"
)

func pluginCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "Look at the plugins of a node"}
	cmd.AddCommand(pluginListCommand())
	return cmd
}

func pluginListCommand() *cobra.Command {
	url := "http://127.0.0.1:5050"
	if port := os.Getenv("PORT"); port != "" {
		url = "http://127.0.0.1:" + port
	}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the plugins of a running node: state, restarts, calls served and their times",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []rpc.PluginInfo
			if err := (client.Node{URL: url}).Call(cmd.Context(), "ordo_plugins", []any{}, &list); err != nil {
				return fmt.Errorf("plugin list: %s: %w: is a node running there? name another with --url", url, err)
			}
			return printPlugins(cmd.OutOrStdout(), list)
		},
	}
	cmd.Flags().StringVar(&url, "url", url, "address of the node")
	return cmd
}

func printPlugins(out io.Writer, list []rpc.PluginInfo) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STAGE\tNAME\tVERSION\tSTATE\tPID\tRESTARTS\tCAPABILITIES\tCALLS\tP50\tP99\tTROUBLE, LAST DEATH")
	for _, p := range list {
		capabilities := strings.Join(p.Capabilities, ",")
		if capabilities == "" {
			capabilities = "-"
		}
		pid, death := fmt.Sprint(p.PID), p.LastExit
		if p.PID == 0 {
			pid = "-"
		}
		if p.Problem != "" {
			death = strings.TrimSpace(p.Problem + "; " + death)
		}
		if death, _, _ = strings.Cut(death, "\n"); death == "" {
			death = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\n", p.Stage, p.Name, p.Version, p.State, pid, p.Restarts, capabilities, p.Calls,
			milliseconds(p.P50), milliseconds(p.P99), death)
	}
	return w.Flush()
}

func milliseconds(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	if d < time.Millisecond {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
