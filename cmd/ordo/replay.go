package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/node"
	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/sdk/progress"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay --data-dir FOLDER",
		Short: "Execute a stored chain again from genesis and compare every root",
		Long: `Execute the chain that a data folder keeps again from genesis, in new storage and new execution, and compare the partial
hash, the state root and the block hash of every block. The folder must not be in use, and is not changed.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := config.Default()
			if err := overFile(&c, cmd, os.LookupEnv); err != nil {
				return err
			}
			installed, err := node.Installed()
			if err != nil {
				return err
			}
			shown := progress.New("ordo: replay", os.Stderr)
			result, err := node.Replay(cmd.Context(), c, installed, node.Output{Log: shown.Through(os.Stderr), Progress: shown})
			shown.Close()
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
