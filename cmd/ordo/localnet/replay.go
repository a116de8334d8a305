package localnet

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/node"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/recording"
	"github.com/ordo-sequencer/ordo/sdk/transcript"
)

// recordPath is the folder of a node's recordings.
func recordPath(dir string, node int) string { return filepath.Join(folderOf(dir, node), "record") }

// replay is the command ordo localnet replay.
type replay struct {
	out       io.Writer
	json      bool
	dir       string
	consensus string
	lines     int
	all       bool
	layout    *Layout
	words     transcript.Words
}

// replayed is what --json prints for a file.
type replayed struct {
	File       string    `json:"file"`
	Node       string    `json:"node"`
	Runs       int       `json:"runs"`
	Events     int       `json:"events"`
	Compared   int       `json:"compared"`
	Heights    [2]uint64 `json:"heights"`
	Torn       bool      `json:"torn,omitempty"`
	Full       bool      `json:"full,omitempty"`
	Difference string    `json:"difference,omitempty"`
	Height     uint64    `json:"height,omitempty"` // of the difference
	Event      uint64    `json:"event,omitempty"`
}

func (o *options) replayCommand(out io.Writer) *cobra.Command {
	r := &replay{out: out}
	cmd := &cobra.Command{
		Use:   "replay [FILE...]",
		Short: "Play recorded events to a fresh plugin in virtual time, and compare its actions",
		Long: `Give the events that ordo localnet --record kept to a fresh plugin of the same protocol, as fast as it answers, and compare its actions with the
recorded ones. The first difference is named by node, height and event, with the transcript up to it; the command then ends with an error.
Without a FILE all recordings of the network in --dir are played. The network need not run.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.json, r.dir = o.json, o.dir
			return r.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.consensus, "consensus", "", "the consensus plugin: a shipped name, or a path (default that of the network)")
	f.IntVar(&r.lines, "lines", 30, "lines of the transcript that are shown before a difference")
	f.BoolVar(&r.all, "transcript", false, "print the whole transcript of each file")
	f.SortFlags = false
	return cmd
}

func (r *replay) run(ctx context.Context, files []string) (err error) {
	dir, err := filepath.Abs(r.dir)
	if err != nil {
		return err
	}
	if r.layout, err = readLayout(dir); err != nil && !(errors.Is(err, errNone) && len(files) > 0 && r.consensus != "") {
		return fmt.Errorf("localnet replay: %w: name the folder of a network with --dir, or files and --consensus", err)
	}
	if len(files) == 0 {
		for k := range r.layout.Members {
			more, err := recording.Files(recordPath(dir, k))
			if err != nil {
				return err
			}
			files = append(files, more...)
		}
		if len(files) == 0 {
			return fmt.Errorf("localnet replay: %s has no recordings: run it with ordo localnet --record", dir)
		}
	}
	if r.consensus == "" {
		r.consensus = r.layout.Consensus
	}
	installed, err := node.Installed()
	if err != nil {
		return err
	}
	path, err := installed.Plugin("consensus", r.consensus)
	if err != nil {
		return fmt.Errorf("localnet replay: %w", err)
	}
	r.words = transcript.Words{Key: r.nameOf, Bytes: shortened}
	for _, file := range files {
		if err := r.play(ctx, path, file); err != nil {
			return fmt.Errorf("localnet replay: %w", err)
		}
	}
	return nil
}

// nameOf is the node with a key: the first one, of twins.
func (r *replay) nameOf(key []byte) string {
	if r.layout != nil {
		for k, m := range r.layout.Members {
			if string(m.Key[:]) == string(key) {
				return fmt.Sprintf("n%d", k)
			}
		}
	}
	return shortened(key)
}

// shortened is the beginning of bytes and their number.
func shortened(b []byte) string {
	if len(b) > 6 {
		return fmt.Sprintf("%x..%d", b[:4], len(b))
	}
	return hex.EncodeToString(b)
}

// errDifferent ends the command when a plugin acts otherwise than recorded.
var errDifferent = errors.New("the plugin does not act as recorded: it is another one, it has another configuration, or it depends on more than its events")

// play plays one file.
func (r *replay) play(ctx context.Context, path, file string) error {
	rec, err := recording.Read(file)
	if err != nil {
		return err
	}
	key, _ := hex.DecodeString(rec.Header.Key)
	result := replayed{File: file, Node: r.nameOf(key), Torn: rec.Torn, Full: rec.Full}
	if len(rec.Runs) == 0 {
		return r.print(result, nil)
	}
	var config []byte
	if events := rec.Runs[0].Events; len(events) > 0 {
		config = events[0].Message.GetStart().GetConfig()
	}
	plugin, err := host.Start(ctx, host.Options{Logger: hclog.New(&hclog.LoggerOptions{Name: "replay", Level: hclog.Warn, Output: os.Stderr})},
		host.Spec{Stage: ordov1.Stage_STAGE_CONSENSUS, Path: path, Config: config, Chain: &ordov1.Chain{ChainId: rec.Header.ChainID}})
	if err != nil {
		return err
	}
	defer plugin.Kill()
	client := ordov1.NewConsensusClient(plugin.Conn())
	var newest []string
	report, err := rec.Replay(func() (recording.Plugin, error) { return begin(ctx, client) }, r.words, func(line string) {
		if newest = append(newest, line); len(newest) > 2*r.lines+1 {
			newest = newest[len(newest)-r.lines:]
		}
		if r.all {
			fmt.Fprintf(r.out, "%s %s\n", result.Node, line)
		}
	})
	if err != nil {
		return err
	}
	result.Runs, result.Events, result.Compared, result.Heights = report.Runs, report.Events, report.Compared, report.Heights
	if d := report.Difference; d != nil {
		result.Difference, result.Height, result.Event = d.Text(r.words), d.Height, d.Seq
	}
	if err := r.print(result, newest[max(0, len(newest)-r.lines):]); err != nil {
		return err
	}
	if report.Difference != nil {
		return errDifferent
	}
	return nil
}

func (r *replay) print(p replayed, newest []string) error {
	if r.json {
		return json.NewEncoder(r.out).Encode(p)
	}
	note := ""
	if p.Torn {
		note = ", up to where the node was killed"
	}
	if p.Full {
		note += ", up to where the recording was full (consensus.record_mib)"
	}
	if p.Difference == "" {
		_, err := fmt.Fprintf(r.out, "%s: node %s, heights %d to %d, %d starts of the plugin, %d events: all %d answers are as recorded%s\n", p.File, p.Node, p.Heights[0], p.Heights[1], p.Runs, p.Events, p.Compared, note)
		return err
	}
	if !r.all {
		for _, line := range newest {
			fmt.Fprintf(r.out, "%s %s\n", p.Node, line)
		}
	}
	_, err := fmt.Fprintf(r.out, "%s: the first difference is at node %s, %s", p.File, p.Node, p.Difference)
	return err
}

// stream is a Run stream of the plugin.
type stream struct {
	run    ordov1.Consensus_RunClient
	cancel context.CancelFunc
}

func begin(ctx context.Context, client ordov1.ConsensusClient) (recording.Plugin, error) {
	ctx, cancel := context.WithCancel(ctx)
	run, err := client.Run(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	return &stream{run, cancel}, nil
}

// Step implements recording.Plugin.
func (s *stream) Step(event *ordov1.ConsensusEvent) ([]*ordov1.Action, error) {
	if err := s.run.Send(event); err != nil {
		_, err = s.run.Recv() // the reason
		return nil, err
	}
	answer, err := s.run.Recv()
	if err != nil {
		return nil, err
	}
	if answer.GetSeq() != event.GetSeq() {
		return nil, fmt.Errorf("it answers event %d as %d", event.GetSeq(), answer.GetSeq())
	}
	return answer.GetActions(), nil
}

// Close implements recording.Plugin.
func (s *stream) Close() { s.cancel() }
