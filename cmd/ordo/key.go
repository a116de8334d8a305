package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/core/network/identity"
)

func keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make and show keys of nodes",
		Long: `A node's ed25519 key is what its peers know it by, and what a validator signs with: a file that only its owner may read
(network.key_file). The public key stands in the network file of all nodes, and in their lists of peers.`,
	}
	cmd.AddCommand(
		&cobra.Command{Use: "new FILE", Short: "Make a key file, never over another, and print its public key", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				key, err := identity.Create(args[0])
				if err != nil {
					return err
				}
				return printKey(cmd.OutOrStdout(), identity.Of(key))
			}},
		&cobra.Command{Use: "show FILE", Short: "Print the public key of a key file", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				key, err := identity.Load(args[0])
				if err != nil {
					return err
				}
				return printKey(cmd.OutOrStdout(), identity.Of(key))
			}})
	return cmd
}

func printKey(out io.Writer, id identity.ID) error {
	_, err := fmt.Fprintln(out, id)
	return err
}
