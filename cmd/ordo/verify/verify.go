// Package verify is the command ordo verify: it reads files, has cmd/ordo/verify/check check them, and prints the result.
package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/ordo-sequencer/ordo/cmd/ordo/verify/check"
	"github.com/ordo-sequencer/ordo/cmd/ordo/verify/feeder"
	"github.com/ordo-sequencer/ordo/sdk/progress"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/spf13/cobra"
)

const long = `Recompute every hash in feeder-gateway JSON (blocks, state updates, both in one, transactions, classes, compiled
classes) and in published lists of transaction hashes, and print for each item what the file says and what it should be.

All files of one call are taken together: a state update is checked against its block, consecutive updates from genesis
root by root, a compiled class against its declaration. A folder stands for the .json and .gz files in it. Classes are
expected to have the class hash that is their file name or its end.

Blocks from before 0.13.2 and transactions from before 0.8 are checked in the forms of their time, which cover less; of a
block that is not closed the transaction hashes are checked.

When a block hash does not fit the printed protocol version but fits another one, the block counts as right, with a note
("verified as 0.14.2 (file says 0.14.4)"); --strict makes that a mismatch.

With --proof the files are answers of starknet_getStorageProof: every node is hashed, and the paths are followed from the roots
to the keys of the request. The request is taken from the same file (its "params" beside the answer's "result"); in an answer
alone the nodes are hashed and must hang together. --state-root is that of the block's header.

Fields that no hash covers are listed under "not covered": an error there cannot be found.

Exit status: 0 all right, 1 a mismatch, 2 a file could not be read or nothing in it could be checked.`

// ExitError carries the exit status of the command to main.
type ExitError struct {
	Code int
	Text string
}

func (e *ExitError) Error() string { return e.Text }

// ExitCode is the status that the process should end with.
func (e *ExitError) ExitCode() int { return e.Code }

// NewCommand returns the command. A result other than 0 comes back as *ExitError.
func NewCommand() *cobra.Command {
	var (
		chainID  string
		asJSON   bool
		strict   bool
		compiled []string
		proof    bool
		root     string
	)
	cmd := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Recompute every hash in Starknet JSON files",
		Long:  long,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return misuse(cmd, errors.New("no files: give feeder-gateway JSON files, or folders of them"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			known, err := parseCompiled(compiled)
			if err != nil {
				return misuse(cmd, err)
			}
			if _, err := felt.FromShortString(chainID); err != nil {
				return misuse(cmd, fmt.Errorf("--chain-id: %w", err))
			}
			var files []*check.File
			shown := progress.New("verify", cmd.ErrOrStderr())
			defer shown.Close()
			shown.Step("reading")
			if proof {
				if files, err = readProofs(args, root); err != nil {
					return misuse(cmd, err)
				}
			} else {
				if root != "" {
					return misuse(cmd, errors.New("--state-root is for --proof"))
				}
				files = read(args)
				check.Run(files, check.Options{ChainID: chainID, Compiled: known, Strict: strict,
					Progress: func(done, of int) { shown.At("files", uint64(done), uint64(of)) }})
			}
			shown.Close()
			sum := check.Summarize(files)
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), files, sum)
			} else {
				err = printText(cmd.OutOrStdout(), files, sum)
			}
			if err != nil {
				return err
			}
			if code := sum.ExitCode(); code != 0 {
				return &ExitError{code, "verify: " + headline(sum)}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&chainID, "chain-id", "", "chain id for transaction hashes (default: found out by trying the public networks')")
	f.BoolVar(&proof, "proof", false, "the files are answers of starknet_getStorageProof")
	f.StringVar(&root, "state-root", "", "with --proof: the state root that the header of the block has")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	f.BoolVar(&strict, "strict", false, "count a block that verifies under another version than it prints as a mismatch")
	f.StringArrayVar(&compiled, "compiled", nil, "compiled class hash that a class is known to have, as CLASS=HASH (repeatable)")
	return cmd
}

// misuse reports a wrong call: nothing was read, status 2. The result itself goes to standard output, so main prints no
// text for an ExitError; this one is printed here.
func misuse(cmd *cobra.Command, err error) error {
	fmt.Fprintln(cmd.ErrOrStderr(), "verify:", err)
	return &ExitError{2, "verify: " + err.Error()}
}

func parseCompiled(list []string) (map[felt.Felt]felt.Felt, error) {
	out := make(map[felt.Felt]felt.Felt)
	for _, s := range list {
		class, hash, ok := strings.Cut(s, "=")
		c, err := felt.ParseHex(class)
		h, err2 := felt.ParseHex(hash)
		if err := errors.Join(err, err2); err != nil || !ok {
			return nil, fmt.Errorf("--compiled %q: want CLASS=HASH, both in hex", s)
		}
		out[c] = h
	}
	return out, nil
}

// read opens files and the files in folders; what fails is kept with its error.
func read(args []string) []*check.File {
	var out []*check.File
	one := func(path string) {
		f := &check.File{Name: path}
		data, err := os.ReadFile(path)
		if err == nil {
			f.Input, err = feeder.Decode(data)
		}
		if err != nil {
			f.Input, f.Err = nil, err
		}
		out = append(out, f)
	}
	for _, arg := range args {
		if info, err := os.Stat(arg); err != nil || !info.IsDir() {
			one(arg)
			continue
		}
		found := false
		err := filepath.WalkDir(arg, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() && (strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".gz")) {
				found = true
				one(path)
			}
			return err
		})
		if err == nil && !found {
			err = errors.New("no .json or .gz file in this folder")
		}
		if err != nil {
			out = append(out, &check.File{Name: arg, Err: err})
		}
	}
	return out
}

// readProofs checks files with answers of starknet_getStorageProof.
func readProofs(args []string, root string) (out []*check.File, err error) {
	var want *felt.Felt
	if root != "" {
		f, err := felt.ParseHex(root)
		if err != nil {
			return nil, fmt.Errorf("--state-root: %w", err)
		}
		want = &f
	}
	for _, path := range args {
		data, err := os.ReadFile(path)
		if err != nil {
			out = append(out, &check.File{Name: path, Err: err, Error: err.Error()})
			continue
		}
		out = append(out, check.Proof(path, data, want))
	}
	return out, nil
}

func printJSON(w io.Writer, files []*check.File, sum check.Summary) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Files   []*check.File `json:"files"`
		Summary check.Summary `json:"summary"`
	}{files, sum})
}

func printText(w io.Writer, files []*check.File, sum check.Summary) error {
	for _, f := range files {
		if f.Input == nil {
			fmt.Fprintf(w, "%s\n  unreadable: %v\n\n", f.Name, f.Err)
			continue
		}
		about := f.Kind
		if f.Chain != "" {
			about += ", " + f.Chain
		}
		fmt.Fprintf(w, "%s (%s)\n", f.Name, about)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprint(t, "  ITEM\tEXPECTED\tCOMPUTED\tVERDICT\n")
		for _, i := range f.Items {
			verdict := string(i.Verdict)
			if i.Note != "" {
				verdict += " (" + i.Note + ")"
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", i.Name, dash(i.Expected), dash(i.Computed), verdict)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		if len(f.Uncovered) > 0 {
			gaps := make([]string, len(f.Uncovered))
			for i, g := range f.Uncovered {
				gaps[i] = g.String()
			}
			fmt.Fprintf(w, "  not covered: %s\n", strings.Join(gaps, "; "))
		}
		if !f.Verified() {
			fmt.Fprintf(w, "  this file is not verified\n")
		}
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintln(w, headline(sum))
	return err
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func headline(s check.Summary) string {
	text := fmt.Sprintf("files: %d; items right: %d, mismatches: %d", s.Files, s.OK+s.Notes, s.Mismatches)
	for _, more := range []struct {
		what string
		n    int
	}{{"right with a note", s.Notes}, {"not checked", s.Unchecked}, {"unreadable files", s.Unreadable}, {"files with nothing that could be checked", s.Unverified}} {
		if more.n > 0 {
			text += fmt.Sprintf(", %s: %d", more.what, more.n)
		}
	}
	return text
}
