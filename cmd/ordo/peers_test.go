package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ordo-sequencer/ordo/core/network"
)

// TestPeersTable shows what people see of a node's peers.
func TestPeersTable(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	height, until := uint64(120), now.Add(90*time.Second)
	link := network.LinkInfo{Remote: "10.0.0.7:40000", Height: &height, Traffic: network.Traffic{Flows: []network.FlowStats{{BytesIn: 1234, BytesOut: 56_000_000, Dropped: 3}}}}
	list := []network.PeerInfo{
		{ID: network.ID{1}, Address: "10.0.0.2:5150", State: "linked", Since: now.Add(-time.Hour), Links: []network.LinkInfo{link}},
		{ID: network.ID{2}, Follower: true, State: "linked", Since: now.Add(-time.Minute), Links: []network.LinkInfo{link, link}},
		{ID: network.ID{3}, Address: "10.0.0.3:5150", State: "banned", Since: now, Until: &until, Bans: 2, Reason: "frames without effect"},
		{ID: network.ID{4}, State: "idle", Since: now.Add(-time.Second)},
	}
	datadriven.RunTest(t, "testdata/peers", func(t *testing.T, d *datadriven.TestData) string {
		var out bytes.Buffer
		info, peers := nodeInfo{Decided: 121, Accepted: 120, Pending: 7}, list
		switch d.Cmd {
		case "validator":
			info.Validator, info.Key, info.Reports = true, strings.Repeat("ab", 32), 1
		case "follower":
			info.Follows, info.Lag = "peers", 4
		case "solo":
			peers = nil
		}
		if err := printPeers(&out, info, peers, now); err != nil {
			return err.Error()
		}
		return out.String()
	})
}

// TestKeys: a new key is for its owner alone and never takes the place of another; show prints what new printed.
func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "node.key")
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := keyCommand()
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.Execute()
		return out.String(), err
	}
	made, err := run("new", path)
	if err != nil || len(made) != 65 {
		t.Fatalf("%q: %v", made, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if shown, err := run("show", path); err != nil || shown != made {
		t.Errorf("shown %q, made %q: %v", shown, made, err)
	}
	if _, err := run("new", path); err == nil {
		t.Error("a key is written over another")
	}
	if shown, err := run("show", path); err != nil || shown != made {
		t.Errorf("shown %q, made %q: %v", shown, made, err)
	}
}
