package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/core/network"
	"github.com/ordo-sequencer/ordo/node/config"
)

const peersLong = `List the peers of a running node.

STATE is linked; dialing; waiting: for the next attempt to dial; idle: the peer has to dial; banned: it misbehaved and is refused
until UNTIL. HEIGHT is the head that the peer tells, IN and OUT are the bytes of its link, DROPPED counts what did not fit into the
queue. --json has all counters.`

// nodeInfo is what ordo_network tells.
type nodeInfo struct {
	Key       string `json:"key"`
	Execution string `json:"execution"`
	Validator bool   `json:"validator"`
	Follows   string `json:"follows"`
	Lag       int64  `json:"lag"`
	Decided   uint64 `json:"decided"`
	Accepted  uint64 `json:"accepted"`
	Pending   int    `json:"pending"`
	Reports   uint64 `json:"reports"`
}

func peersCommand() *cobra.Command {
	url := "http://127.0.0.1:5050"
	if port := os.Getenv("PORT"); port != "" {
		url = "http://127.0.0.1:" + port
	}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "List the peers of a running node: links, heads, traffic, bans",
		Long:  peersLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			node := client.Node{URL: withScheme(url)}
			var self, peers json.RawMessage
			err := node.Call(cmd.Context(), "ordo_network", []any{}, &self)
			if err == nil {
				err = node.Call(cmd.Context(), "ordo_peers", []any{}, &peers)
			}
			if err != nil {
				return fmt.Errorf("peers: %s: %w: is a node running there? name another with --url", node.URL, err)
			}
			if asJSON {
				raw, err := json.Marshal(map[string]json.RawMessage{"node": self, "peers": peers})
				if err != nil {
					return fmt.Errorf("peers: %w", err)
				}
				var out bytes.Buffer
				if err := json.Indent(&out, raw, "", "  "); err != nil {
					return fmt.Errorf("peers: %w", err)
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), out.String())
				return err
			}
			var info nodeInfo
			var list []network.PeerInfo
			if err := json.Unmarshal(self, &info); err != nil {
				return fmt.Errorf("peers: %w", err)
			}
			if err := json.Unmarshal(peers, &list); err != nil {
				return fmt.Errorf("peers: %w", err)
			}
			return printPeers(cmd.OutOrStdout(), info, list, time.Now())
		},
	}
	cmd.Flags().StringVar(&url, "url", url, "address of the node; http:// may be left out")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print all that is known, as JSON")
	return cmd
}

func printPeers(out io.Writer, info nodeInfo, list []network.PeerInfo, now time.Time) error {
	part := "a chain of one sequencer"
	switch {
	case info.Follows != "":
		part = fmt.Sprintf("follows %s, %d blocks behind", info.Follows, info.Lag)
	case info.Validator:
		part = "validator " + info.Key
	case info.Key != "":
		part = "no validator, " + info.Key
	}
	if info.Execution == config.ExecutionLazy {
		part += ", lazy execution"
	}
	fmt.Fprintf(out, "%s; decided %d, accepted %d, %d transactions wait, %d reports of consensus\n", part, info.Decided, info.Accepted, info.Pending, info.Reports)
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no peers: see network.peers and network.peer_file")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PEER\tKIND\tSTATE\tFOR\tHEIGHT\tADDRESS\tIN\tOUT\tDROPPED\tBANS\tREASON")
	for _, p := range list {
		kind, state, address, height, in, sent, dropped := "validator", p.State, p.Address, "-", uint64(0), uint64(0), uint64(0)
		if p.Follower {
			kind = "follower"
		}
		if p.State == "banned" && p.Until != nil {
			state = "banned for " + p.Until.Sub(now).Round(time.Second).String()
		}
		for _, l := range p.Links {
			if address == "" {
				address = l.Remote
			}
			if l.Height != nil {
				height = fmt.Sprint(*l.Height)
			}
			for _, f := range l.Traffic.Flows {
				in, sent, dropped = in+f.BytesIn, sent+f.BytesOut, dropped+f.Dropped
			}
		}
		if len(p.Links) > 1 {
			state += fmt.Sprintf(" x%d", len(p.Links))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", p.ID.Short(), kind, state, now.Sub(p.Since).Round(time.Second), height, orDash(address),
			size(in), size(sent), dropped, p.Bans, orDash(p.Reason))
	}
	return w.Flush()
}

// size writes a number of bytes for people.
func size(n uint64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d kB", n/1000)
	}
	return fmt.Sprintf("%d MB", n/1_000_000)
}
