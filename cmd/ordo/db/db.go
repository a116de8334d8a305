// Package db is the command ordo db: it has the storage plugin of a stopped node check, repair or count its database.
// The plugin owns the format; its binary has the commands.
package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/node"
)

// protocol is what a plugin binary answers to `db protocol` when it has the commands.
const protocol = "ordo storage db 1"

// ExitError carries the exit status of the plugin to main, which has said everything already.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("exit status %d", e.Code) }

// ExitCode is the status that the process should end with.
func (e *ExitError) ExitCode() int { return e.Code }

// options are the flags of all three.
type options struct {
	dataDir, storage string
	json, yes        bool
}

// NewCommand returns the command.
func NewCommand() *cobra.Command { return newCommand(find) }

// find turns the name or path of a storage plugin into the path of its binary.
func find(name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		return name, nil
	}
	installed, err := node.Installed()
	if err != nil {
		return "", err
	}
	path := filepath.Join(installed.Plugins, "ordo-storage-"+name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("--storage %s: no such plugin in %s: run make build, or name the path of a plugin binary", name, installed.Plugins)
	}
	return path, nil
}

func newCommand(find func(name string) (string, error)) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "db",
		Short: "Check, repair or count the database of a node that is not running",
		Args:  cobra.NoArgs,
	}
	cmd.PersistentFlags().StringVar(&o.dataDir, "data-dir", os.Getenv("ORDO_DATA_DIR"), "folder that the node was given")
	cmd.PersistentFlags().StringVar(&o.storage, "storage", "badger", "storage plugin: a name, or the path of a binary")
	cmd.PersistentFlags().BoolVar(&o.json, "json", false, "print JSON")
	add := func(name, short, long string) *cobra.Command {
		sub := &cobra.Command{
			Use: name, Short: short, Long: long, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, name, find) },
		}
		cmd.AddCommand(sub)
		return sub
	}
	add("check", "Verify everything that is stored", `Verify every file against its checksums, every block against its hashes, the chain of parents, the indexes, the history, the
flat state against the state diffs, and the state root. Nothing is changed.

Exit status: 0 all right, 1 damage, 2 it could not be done.`)
	repair := add("repair", "Go back to the last good block", `Go back to the last block below which everything verifies. It says first what will be lost, and asks; what is there now
is kept beside the new database, or nothing is done when there is no room for that.`)
	repair.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	add("stats", "Count what is stored", "Print keys and bytes by kind, heights, roots, and the levels of the database.")
	return cmd
}

func (o *options) run(cmd *cobra.Command, what string, find func(string) (string, error)) error {
	if o.dataDir == "" {
		return errors.New("db: which database? name the folder of the node with --data-dir")
	}
	dir := filepath.Join(o.dataDir, "storage")
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return fmt.Errorf("db: there is no database in %s: name the folder that the node was given as --data-dir", o.dataDir)
	}
	path, err := find(o.storage)
	if err != nil {
		return err
	}
	if err := probe(cmd.Context(), path); err != nil {
		return err
	}
	args := []string{"db", what}
	if o.json {
		args = append(args, "--json")
	}
	if o.yes {
		args = append(args, "--yes")
	}
	// Not bound to the context: the plugin gets the signal of the terminal itself, and ends in order.
	plugin := exec.Command(path, append(args, dir)...)
	plugin.Stdin, plugin.Stdout, plugin.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	err = plugin.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return &ExitError{exit.ExitCode()}
	case err != nil:
		return fmt.Errorf("db: %s: %w", path, err)
	}
	return nil
}

// probe asks a plugin whether it has the commands.
func probe(ctx context.Context, path string) error {
	out, err := exec.CommandContext(ctx, path, "db", "protocol").Output()
	if err != nil || strings.TrimSpace(string(out)) != protocol {
		return fmt.Errorf("db: %s has no database commands (it does not answer %q to `db protocol`): use the tools of that plugin", path, protocol)
	}
	return nil
}
