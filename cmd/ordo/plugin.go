package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/sdk/schema"
)

func pluginCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "Look at the plugins of a node"}
	cmd.AddCommand(pluginListCommand())
	return cmd
}

const pluginListLong = `List the plugins of a running node.

STATE is up; late: its answers come too late; failing: its answers are errors; degraded: it does not answer its health
checks, or is kept from its work; away: it has ended and is started again. Calls, errors, late answers and times are
counted since SINCE, the newest start of the plugin; RESTARTS since the start of the node. P50 and P99 are of METHOD,
the busiest one. --json has all methods, addresses and the configuration that a plugin takes; --config writes the latter
as a part of a configuration file.`

func pluginListCommand() *cobra.Command {
	url := "http://127.0.0.1:5050"
	if port := os.Getenv("PORT"); port != "" {
		url = "http://127.0.0.1:" + port
	}
	var asJSON, settings bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the plugins of a running node: state, restarts, calls served and their times",
		Long:  pluginListLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var raw json.RawMessage
			if err := (client.Node{URL: withScheme(url)}).Call(cmd.Context(), "ordo_plugins", []any{}, &raw); err != nil {
				return fmt.Errorf("plugin list: %s: %w: is a node running there? name another with --url", withScheme(url), err)
			}
			if asJSON {
				var out bytes.Buffer
				if err := json.Indent(&out, raw, "", "  "); err != nil {
					return fmt.Errorf("plugin list: %w", err)
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), out.String())
				return err
			}
			var list []rpc.PluginInfo
			if err := json.Unmarshal(raw, &list); err != nil {
				return fmt.Errorf("plugin list: %w", err)
			}
			if settings {
				return printSettings(cmd.OutOrStdout(), list)
			}
			return printPlugins(cmd.OutOrStdout(), list)
		},
	}
	cmd.Flags().StringVar(&url, "url", url, "address of the node; http:// may be left out")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print all that is known, as JSON")
	cmd.Flags().BoolVar(&settings, "config", false, "print the configuration that the plugins take, with their defaults")
	cmd.MarkFlagsMutuallyExclusive("json", "config")
	return cmd
}

// withScheme lets an address be written as 127.0.0.1:5050.
func withScheme(url string) string {
	if strings.Contains(url, "://") {
		return url
	}
	return "http://" + url
}

func printPlugins(out io.Writer, list []rpc.PluginInfo) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STAGE\tNAME\tVERSION\tSTATE\tPID\tRESTARTS\tSINCE\tCAPABILITIES\tCALLS\tERRORS\tLATE\tMETHOD\tP50\tP99\tAT\tPROBLEM, LAST EXIT")
	for _, p := range list {
		pid, problem := fmt.Sprint(p.PID), p.LastExit
		if p.PID == 0 {
			pid = ""
		}
		if p.Problem != "" {
			problem = strings.TrimSuffix(p.Problem+"; "+p.LastExit, "; ")
		}
		problem, _, _ = strings.Cut(problem, "\n")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", p.Stage, p.Name, p.Version, p.State, orDash(pid), p.Restarts,
			orDash(p.Since), orDash(strings.Join(p.Capabilities, ",")), p.Calls, p.Errors, p.Late, orDash(p.Method), milliseconds(p.P50), milliseconds(p.P99),
			orDash(cmp.Or(p.Attached, p.Path)), orDash(problem))
	}
	return w.Flush()
}

func orDash(text string) string { return cmp.Or(text, "-") }

// printSettings writes what the plugins take, as tables of a configuration file: each key with its default, commented out.
func printSettings(out io.Writer, list []rpc.PluginInfo) error {
	var all strings.Builder
	for i, p := range list {
		if i > 0 {
			all.WriteByte('\n')
		}
		fmt.Fprintf(&all, "[%s.config] # %s %s\n", p.Stage, p.Name, p.Version)
		rules, err := schema.Parse(p.ConfigSchema)
		if err != nil { // of a plugin on another SDK
			fmt.Fprintf(&all, "# %s\n", strings.ReplaceAll(p.ConfigSchema, "\n", "\n# "))
			continue
		}
		if len(rules.Properties) == 0 {
			all.WriteString("# it takes no configuration\n")
		}
		writeSettings(&all, "", rules)
	}
	_, err := io.WriteString(out, all.String())
	return err
}

func writeSettings(out *strings.Builder, prefix string, rules *schema.Schema) {
	for _, key := range slices.Sorted(maps.Keys(rules.Properties)) {
		p := rules.Properties[key]
		if p.Description != "" {
			fmt.Fprintf(out, "# %s\n", p.Description)
		}
		if p.Type == "object" && len(p.Properties) > 0 {
			writeSettings(out, prefix+key+".", p)
			continue
		}
		kind, value := cmp.Or(p.Type, "any"), string(p.Default)
		if len(p.Enum) > 0 {
			kind = strings.Trim(strings.ReplaceAll(fmt.Sprint(p.Enum), " ", " or "), "[]")
		}
		if slices.Contains(rules.Required, key) {
			kind += ", required"
		}
		if value != "" {
			value = " " + value
		}
		fmt.Fprintf(out, "# %s%s =%s # %s\n", prefix, key, value, kind)
	}
}

func milliseconds(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	if d < time.Millisecond {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
