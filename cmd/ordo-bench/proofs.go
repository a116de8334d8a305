package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	lib "github.com/dgraph-io/badger/v4"
	compression "github.com/dgraph-io/badger/v4/options"
	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

const proofsLong = `Ask the storage plugin, over gRPC as the core does, for proofs of --keys storage keys of one token with --leaves holders, other
keys each round, half of them present. Every node of every answer is hashed and followed to the root, outside the time that is
measured.

Beside it a plain walk of the database: the pages of the tries that lie on the same paths, read with Badger alone, each once, and
not looked into. The database lies in a folder for the time of the run; the plugin is stopped before the walk. Nothing is cached
beyond what the plugin, Badger and the system do by themselves.`

// ProofsReport is what a run of `ordo bench proofs` found.
type ProofsReport struct {
	Environment
	Leaves int       `json:"leaves"`
	Keys   int       `json:"keys"`
	Nodes  float64   `json:"nodes"` // of one answer, median
	Pages  float64   `json:"pages"` // on the paths of one answer, median
	Proofs float64   `json:"proofs_ms"`
	Walk   float64   `json:"walk_ms"`
	PerS   float64   `json:"nodes_per_second"`
	WalkS  float64   `json:"walk_nodes_per_second"`
	Ratio  float64   `json:"ratio"` // proofs / walk, the median over rounds
	Rounds []float64 `json:"rounds_ms"`
}

type proofsOptions struct {
	json                 string
	leaves, keys, rounds int
	quiet                bool
}

func proofsCommand() *cobra.Command {
	var o proofsOptions
	cmd := &cobra.Command{
		Use:   "proofs",
		Short: "Storage proofs on a large state, beside a plain walk of the database",
		Long:  proofsLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.leaves < 2 || o.rounds < 1 || o.keys < 1 || o.keys > sdk.MaxProofKeys {
				return fmt.Errorf("proofs: --leaves must be at least 2, --rounds at least 1, --keys from 1 to %d", sdk.MaxProofKeys)
			}
			report, err := measureProofs(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("proofs: %w", err)
			}
			report.print(cmd.OutOrStdout())
			return writeJSON(o.json, report)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.leaves, "leaves", 1_000_000, "holders of the token, at least 2; a million take 400 MB of disk and a minute to make")
	f.IntVar(&o.keys, "keys", 100, "keys of one request")
	f.IntVar(&o.rounds, "rounds", 30, "requests that count; five more come before them")
	f.StringVar(&o.json, "json", "", "also write the report to this file")
	f.BoolVar(&o.quiet, "quiet", false, "no progress bar")
	f.SortFlags = false
	return cmd
}

// proofsWarmUp is how many rounds do not count.
const proofsWarmUp = 5

func measureProofs(ctx context.Context, o proofsOptions) (*ProofsReport, error) {
	dir, err := os.MkdirTemp("", "ordo-proofs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bar := newBar(o.leaves, o.quiet, fmt.Sprintf("state of %d leaves: filling", o.leaves))
	defer bar.Finish()
	if err := fill(ctx, dir, o.leaves, func(n int) { _ = bar.Set(n) }); err != nil {
		return nil, err
	}
	bar.Describe("proofs")
	r := rand.New(rand.NewPCG(7, 7))
	pool, err := someHolders(r, o.leaves)
	if err != nil {
		return nil, err
	}
	rounds := make([][]felt.Felt, o.rounds+proofsWarmUp)
	for i := range rounds {
		for k := range o.keys {
			key := pool[r.IntN(len(pool))]
			if k%2 == 1 {
				key = key.Add(felt.FromUint64(r.Uint64() | 1)) // there is no holder
			}
			rounds[i] = append(rounds[i], key)
		}
	}
	asked, err := askProofs(ctx, dir, rounds)
	if err != nil {
		return nil, err
	}
	walked, err := walkPages(dir, rounds)
	if err != nil {
		return nil, err
	}
	report := &ProofsReport{Environment: environment(), Leaves: o.leaves, Keys: o.keys}
	var nodes, pages, walk, ratios []float64
	for i := range asked[proofsWarmUp:] {
		a, w := asked[proofsWarmUp+i], walked[proofsWarmUp+i]
		nodes, pages = append(nodes, float64(a.count)), append(pages, float64(w.count))
		report.Rounds, walk, ratios = append(report.Rounds, a.ms), append(walk, w.ms), append(ratios, w.ms/a.ms)
	}
	report.Nodes, report.Pages, report.Walk, report.Ratio = median(nodes), median(pages), median(walk), median(ratios)
	report.Proofs = median(append([]float64(nil), report.Rounds...))
	report.PerS, report.WalkS = report.Nodes/report.Proofs*1000, report.Nodes/report.Walk*1000
	return report, nil
}

// proofsRound is what one round took, and how many nodes or pages it had.
type proofsRound struct {
	ms    float64
	count int
}

// someHolders are keys of the token that fill has made, from all of its range.
func someHolders(r *rand.Rand, leaves int) (out []felt.Felt, err error) {
	for block := range fillBlocks(leaves) {
		list, err := felt.Unpack(holders(block, leaves))
		if err != nil {
			return nil, err
		}
		for range min(500, len(list)/2) {
			out = append(out, list[2*r.IntN(len(list)/2)])
		}
	}
	return out, nil
}

// askProofs puts the rounds to the plugin, and wants every answer to verify.
func askProofs(ctx context.Context, dir string, rounds [][]felt.Felt) (out []proofsRound, err error) {
	run, err := os.MkdirTemp("", "ordo-proofs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(run)
	p, err := startStorage(ctx, dir, run, `{}`)
	if err != nil {
		return nil, err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, p.Stop(stopping))
	}()
	head, err := ordov1.NewStorageClient(p.Conn()).Head(ctx, &ordov1.HeadRequest{})
	if err != nil {
		return nil, err
	}
	conn, err := sdk.Dial(filepath.Join(run, "read.sock"))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	read, token := ordov1.NewStorageReadClient(conn), genesis.STRKAddress().Append(nil)
	for _, keys := range rounds {
		q := &ordov1.ProofsRequest{Height: head.AcceptedHeight, Contracts: token, Storage: []*ordov1.StorageKeys{{Contract: token, Keys: felt.Pack(keys)}}}
		begun := time.Now()
		answer, err := read.Proofs(ctx, q)
		took := time.Since(begun)
		if err != nil {
			return nil, err
		}
		n, err := followAll(answer, keys)
		if err != nil {
			return nil, err
		}
		out = append(out, proofsRound{float64(took.Microseconds()) / 1000, n})
	}
	return out, nil
}

// followAll hashes every node and follows every key; it returns the number of nodes.
func followAll(answer *ordov1.ProofsResponse, keys []felt.Felt) (int, error) {
	if answer.OutOfReach || len(answer.Storage) != 1 || len(answer.ContractLeaves) != 3*felt.Size {
		return 0, fmt.Errorf("the answer does not fit the question (out of reach: %v)", answer.OutOfReach)
	}
	var lists [2][]trie.Node
	for i, n := range []*ordov1.ProofNodes{answer.Contracts, answer.Storage[0]} {
		binary, err := felt.Unpack(n.Binary)
		if err != nil {
			return 0, err
		}
		for ; len(binary) >= 3; binary = binary[3:] {
			lists[i] = append(lists[i], trie.Node{Hash: binary[0], ProofNode: trie.ProofNode{Left: binary[1], Right: binary[2]}})
		}
		edges, err := felt.Unpack(n.Edges)
		if err != nil || len(edges) != 3*len(n.Lengths) {
			return 0, fmt.Errorf("%d edges and %d lengths: %w", len(edges)/3, len(n.Lengths), err)
		}
		for k, length := range n.Lengths {
			lists[i] = append(lists[i], trie.Node{Hash: edges[3*k], ProofNode: trie.ProofNode{Child: edges[3*k+1], Path: edges[3*k+2], Length: length}})
		}
	}
	leaf, err := felt.Unpack(answer.ContractLeaves)
	if err != nil {
		return 0, err
	}
	root, err := felt.FromBytes(answer.ContractsRoot)
	if err != nil {
		return 0, err
	}
	token := trie.Contract{Class: leaf[0], Nonce: leaf[1], StorageRoot: leaf[2]}
	contracts, err := trie.NewProof(pedersen.HashPairs, lists[0])
	if err != nil {
		return 0, err
	}
	if got, err := contracts.Value(root, genesis.STRKAddress()); err != nil || got != token.Leaf() {
		return 0, fmt.Errorf("the token's leaf: %s, %w", got, err)
	}
	storage, err := trie.NewProof(pedersen.HashPairs, lists[1])
	if err != nil {
		return 0, err
	}
	for i, k := range keys {
		got, err := storage.Value(token.StorageRoot, k)
		if err != nil {
			return 0, err
		}
		if there := i%2 == 0; there && got != felt.One() || !there && !got.IsZero() {
			return 0, fmt.Errorf("the value at %s is %s", k, got)
		}
	}
	return len(lists[0]) + len(lists[1]), nil
}

// trieTable is the first byte of what the storage plugin badger keeps of the tries.
const trieTable = 0x30

// pageReader reads what trie.State asks for, and remembers the keys.
type pageReader struct {
	txn  *lib.Txn
	keys map[string]bool
}

func (p *pageReader) Get(key []byte) ([]byte, error) {
	full := append([]byte{trieTable}, key...)
	item, err := p.txn.Get(full)
	if errors.Is(err, lib.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p.keys[string(full)] = true
	return item.ValueCopy(nil)
}

// walkPages reads the pages on the paths of each round from the database of a stopped plugin.
func walkPages(dir string, rounds [][]felt.Felt) (out []proofsRound, err error) {
	db, err := lib.Open(lib.DefaultOptions(filepath.Join(dir, "storage")).WithReadOnly(true).WithCompression(compression.None).
		WithBlockCacheSize(0).WithMetricsEnabled(false).WithLogger(nil))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	txn := db.NewTransaction(false)
	defer txn.Discard()
	for _, keys := range rounds {
		pages := &pageReader{txn: txn, keys: map[string]bool{}}
		prover, err := trie.NewState(pages).Prover(0)
		if err != nil {
			return nil, err
		}
		var nodes trie.Nodes
		if _, err := prover.Contract(genesis.STRKAddress(), &nodes); err != nil {
			return nil, err
		}
		for _, k := range keys {
			if err := prover.Storage(genesis.STRKAddress(), k, &nodes); err != nil {
				return nil, err
			}
		}
		list := make([][]byte, 0, len(pages.keys))
		for k := range pages.keys {
			list = append(list, []byte(k))
		}
		begun := time.Now()
		for _, k := range list {
			item, err := txn.Get(k)
			if err != nil {
				return nil, err
			}
			if _, err := item.ValueCopy(nil); err != nil {
				return nil, err
			}
		}
		out = append(out, proofsRound{float64(time.Since(begun).Microseconds()) / 1000, len(list)})
	}
	return out, nil
}

func (r *ProofsReport) print(out io.Writer) {
	fmt.Fprintf(out, "%d keys of a token with %d holders: %.0f nodes on %.0f pages, the median of %d rounds; every node hashed and followed\n", r.Keys, r.Leaves, r.Nodes, r.Pages, len(r.Rounds))
	fmt.Fprintf(out, "proofs      %8.2f ms  %10.0f nodes/s, through the plugin\n", r.Proofs, r.PerS)
	fmt.Fprintf(out, "plain walk  %8.2f ms  %10.0f nodes/s, the same pages read with Badger alone, and not looked into\n", r.Walk, r.WalkS)
	fmt.Fprintf(out, "ratio       %8.2f     (proofs / plain walk)\n", r.Ratio)
}
