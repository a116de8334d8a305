package localnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// ended waits until no localnet runs in a folder: a script may start it again at once.
func ended(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, actionTime, fmt.Errorf("localnet: it has not ended within %s", actionTime))
	defer cancel()
	for {
		held, err := lock(dir)
		switch {
		case err == nil:
			return held.Close()
		case errors.Is(err, fs.ErrNotExist):
			return nil // the folder is gone too
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// controls are the commands that do something to a localnet that runs.
func (o *options) controls(out io.Writer) []*cobra.Command {
	ask := func(ctx context.Context, r Request) error {
		dir, err := filepath.Abs(o.dir)
		if err != nil {
			return err
		}
		a, err := Ask(ctx, dir, r)
		if err == nil && r.Command == "stop" {
			err = ended(ctx, dir)
		}
		if err != nil {
			return err
		}
		return o.print(out, r, a)
	}
	ofNode := func(use, short string) *cobra.Command {
		return &cobra.Command{Use: use + " K", Short: short, Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			k, err := strconv.Atoi(args[0])
			if err != nil || k < 0 {
				return fmt.Errorf("localnet %s %s: write the number of a node", use, args[0])
			}
			return ask(cmd.Context(), Request{Command: use, Node: k})
		}}
	}
	plain := func(use, short string) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(cmd.Context(), Request{Command: use})
		}}
	}
	var follow string
	add := &cobra.Command{Use: "add", Short: "Add a follower: a full node without a part in consensus", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if follow != string(FromPeers) && follow != string(FromURL) {
				return fmt.Errorf("localnet add --follow %s: choose %s, for links with all validators, or %s, for the JSON-RPC of node 0", follow, FromPeers, FromURL)
			}
			return ask(cmd.Context(), Request{Command: "add", Follow: Source(follow)})
		}}
	add.Flags().StringVar(&follow, "follow", string(FromPeers), "where its blocks come from: peers, or url for the JSON-RPC of node 0")
	var jitter time.Duration
	var rate int64
	delay := &cobra.Command{Use: "delay DURATION|REGIONS|0", Short: "Delay what nodes send each other: one way, or by regions such as us-east,eu-west,ap-northeast,sa-east",
		Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			return ask(cmd.Context(), Request{Command: "delay", Delay: args[0], Jitter: jitter, Rate: rate})
		}}
	delay.Flags().DurationVar(&jitter, "jitter", 0, "at most so much more, drawn anew for each piece")
	delay.Flags().Int64Var(&rate, "rate", 0, "bytes a second of each connection; 0: no limit")
	return []*cobra.Command{
		plain("status", "Show how the nodes stand"),
		ofNode("kill", "Kill a node and its plugins (SIGKILL)"),
		ofNode("pause", "Stop a node and its plugins where they stand (SIGSTOP)"),
		ofNode("resume", "Let a paused node go on"),
		ofNode("restart", "Start a node that has ended, or end it in order and start it again"),
		{Use: "partition GROUPS", Short: "Cut the connections between groups, such as 0,1|2,3; nodes that are not named are one more group", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return ask(cmd.Context(), Request{Command: "partition", Groups: args[0]})
			}},
		plain("heal", "End a partition"),
		delay,
		o.faultCommand(ask),
		ofNode("twin", "Start a second node with the key of a validator and data of its own"),
		add,
		plain("stop", "End the network in order, as SIGTERM does, and wait until it has ended"),
		{Use: "clean", Short: "Remove the folder of a network that does not run", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				dir, err := filepath.Abs(o.dir)
				if err != nil {
					return err
				}
				if err := clean(dir); err != nil {
					return fmt.Errorf("localnet: %w", err)
				}
				return o.print(out, Request{Command: "clean"}, Answer{})
			}},
	}
}

// print tells what an action came to.
func (o *options) print(out io.Writer, r Request, a Answer) error {
	var err error
	switch {
	case o.json && a.Status != nil:
		err = json.NewEncoder(out).Encode(a.Status)
	case o.json:
		err = json.NewEncoder(out).Encode(a)
	case a.Status != nil:
		_, err = io.WriteString(out, a.Status.Table())
	case a.Node != nil:
		_, err = fmt.Fprintf(out, "node %d is %s, %s\n", *a.Node, a.State, a.URL)
	case r.Command == "partition" || r.Command == "heal" || r.Command == "delay" || r.Command == "fault":
		if a.Faults == "" {
			a.Faults = "none"
		}
		_, err = fmt.Fprintf(out, "faults: %s\n", a.Faults)
	default:
		_, err = fmt.Fprintf(out, "%s: done\n", r.Command)
	}
	return err
}
