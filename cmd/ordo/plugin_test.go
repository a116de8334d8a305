package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/core/rpc"
)

var someList = []rpc.PluginInfo{
	{Stage: "ordering", Name: "slow", Version: "1.0.0", PID: 7, State: "late", Since: "2026-01-02 03:04:05", Calls: 9, Errors: 4, Late: 3, Method: "Score", P50: 0.5, P99: 503,
		Path: "/opt/slow", Problem: "no ranks within 500ms",
		ConfigSchema: `{"required":["vip"],"properties":{"vip":{"type":"string","description":"a sender"},"mode":{"enum":["fast","slow"],"default":"slow"},"block":{"type":"object","properties":{"n":{"type":"integer","default":3}}}}}`},
	{Stage: "storage", Name: "mine", Version: "dev", State: "up", Attached: "unix:///tmp/s", Capabilities: []string{"roots", "history"}, Restarts: 1, LastExit: "2026-01-02 03:04:00 signal: killed"},
}

// listing answers ordo_plugins.
func listing(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			ID any `json:"id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": request.ID, "result": someList})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func output(t *testing.T, cmd *cobra.Command, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestPluginList: a late plugin is late at a glance, with its errors, where it is and what it takes.
func TestPluginList(t *testing.T) {
	url := listing(t)
	for _, address := range []string{url, strings.TrimPrefix(url, "http://")} {
		table := output(t, pluginListCommand(), "--url", address)
		var rows [][]string
		for line := range strings.Lines(table) {
			rows = append(rows, strings.Fields(line))
		}
		if len(rows) != 3 || !strings.Contains(table, "slow  1.0.0    late   7    0         2026-01-02 03:04:05  -              9      4       3     Score   500µs  503ms  /opt/slow") ||
			!strings.Contains(table, "no ranks within 500ms") || !strings.Contains(table, "unix:///tmp/s") || !strings.Contains(table, "signal: killed") {
			t.Errorf("\n%s", table)
		}
	}
	var list []rpc.PluginInfo
	if err := json.Unmarshal([]byte(output(t, pluginListCommand(), "--url", url, "--json")), &list); err != nil || list[0].Late != 3 || list[0].ConfigSchema == "" {
		t.Errorf("%v %+v", err, list)
	}
	want := `[ordering.config] # slow 1.0.0
# block.n = 3 # integer
# mode = "slow" # fast or slow
# a sender
# vip = # string, required

[storage.config] # mine dev
# it takes no configuration
`
	if got := output(t, pluginListCommand(), "--url", url, "--config"); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
}

// TestHelpNamesAllFlags: the help is short, says how to see all flags, and --help-all lists each.
func TestHelpNamesAllFlags(t *testing.T) {
	screen := newTerminal()
	for _, make := range []func(*terminal) *cobra.Command{devCommand, runCommand} {
		short, all := output(t, make(screen), "--help"), output(t, make(screen), "--help-all")
		for _, flag := range []string{"--ordering-attach", "--storage-checksum", "--consensus-tls", "--execution-tls-ca"} {
			if strings.Contains(short, flag+" ") || !strings.Contains(all, flag+" ") {
				t.Errorf("%s: in the short help %v, in the long one %v", flag, strings.Contains(short, flag+" "), strings.Contains(all, flag+" "))
			}
		}
		if !strings.Contains(short, "--help-all") || !strings.Contains(all, "--port ") {
			t.Error(short)
		}
	}
}
