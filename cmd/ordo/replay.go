package main

import (
	"fmt"
	"os"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/node"
	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay --data-dir FOLDER",
		Short: "Execute a stored chain again from genesis and compare every root",
		Long: `Execute the chain that a data folder keeps again from genesis, in new storage and new execution, and compare the partial
hash, the state root and the block hash of every block. The folder must not be in use, and is not changed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := config.Default()
			if err := overFile(&c, cmd, os.LookupEnv); err != nil {
				return err
			}
			installed, err := node.Installed()
			if err != nil {
				return err
			}
			bar := progressbar.NewOptions64(-1, progressbar.OptionSetWriter(node.Progress()), progressbar.OptionSetDescription("blocks"),
				progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
			result, err := node.Replay(cmd.Context(), c, installed,
				func(blocks uint64) { bar.ChangeMax64(int64(blocks)) },
				func(height uint64) { _ = bar.Set64(int64(height)) })
			_ = bar.Finish()
			if err != nil {
				return fmt.Errorf("replay: %w", err)
			}
			root, err := felt.FromBytes(result.Head.GetStateRoot())
			if err != nil {
				return fmt.Errorf("replay: %w", err)
			}
			hash, err := felt.FromBytes(result.Head.GetHash())
			if err != nil {
				return fmt.Errorf("replay: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d blocks with %d transactions were executed again: every root and hash is the stored one\nhead  %d %s\nroot  %s\n",
				result.Blocks, result.Transactions, result.Head.GetContext().GetNumber(), hash, root)
			return nil
		},
	}
	config.Bind(cmd.Flags())
	cmd.Flags().SortFlags = false
	return cmd
}
