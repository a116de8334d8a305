package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/schollz/progressbar/v3"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/node"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// measureBlocks runs blocks of different sizes.
func (r *GrowthReport) measureBlocks(ctx context.Context, o growthOptions, bar *progressbar.ProgressBar) error {
	installed, err := node.Installed()
	if err != nil {
		return err
	}
	path := filepath.Join(installed.Plugins, "ordo-execution-blockifier")
	for _, n := range o.blocks {
		bar.Describe(fmt.Sprintf("block of %d: signing", n))
		w, err := newWorkload(installed, n, func() {})
		if err != nil {
			return err
		}
		size, err := blockSize(ctx, path, w, o, func(round int) { bar.Describe(fmt.Sprintf("block of %d: round %d", n, round)) })
		if err != nil {
			return fmt.Errorf("block of %d: %w", n, err)
		}
		r.Blocks = append(r.Blocks, *size)
	}
	return nil
}

func blockSize(ctx context.Context, path string, w *workload, o growthOptions, round func(int)) (*BlockSize, error) {
	settings := map[string]any{"workers": runtime.NumCPU(), "executor": "concurrent"}
	if o.native {
		settings["native"] = "wait" // compiled before the first use: what is measured is the running
	}
	config, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	p, err := host.Start(ctx, host.Options{Logger: hclog.New(&hclog.LoggerOptions{Name: "bench", Level: hclog.Error, Output: os.Stderr})}, host.Spec{
		Stage: ordov1.Stage_STAGE_EXECUTION, Path: path, Config: config,
		Chain: &ordov1.Chain{
			ChainId: chainID, StarknetVersion: w.open.Context.StarknetVersion,
			StrkFeeToken: genesis.STRKAddress().Append(nil), EthFeeToken: genesis.ETHAddress().Append(nil),
		},
	})
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	execution := ordov1.NewExecutionClient(p.Conn())
	if _, err := execution.Apply(ctx, w.state); err != nil {
		return nil, fmt.Errorf("apply the state: %w", err)
	}
	size := &BlockSize{Transactions: w.n}
	var seals []float64
	for i := range o.rounds + 1 {
		round(i)
		execute, seal, err := buildAndSeal(ctx, execution, uint64(i+1), w)
		if err != nil {
			return nil, err
		}
		if i > 0 { // the first warms up
			size.Rounds, seals = append(size.Rounds, milliseconds(execute)), append(seals, milliseconds(seal))
		}
	}
	size.Execute, size.Seal = median(slices.Clone(size.Rounds)), median(seals)
	size.PerTx = (size.Execute + size.Seal) * 1000 / float64(w.n)
	return size, nil
}

// buildAndSeal runs the block as the core does, and makes its header. The block is never applied, so each round starts equal.
func buildAndSeal(ctx context.Context, execution ordov1.ExecutionClient, attempt uint64, w *workload) (execute, seal time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begun := time.Now()
	stream, err := execution.Build(ctx)
	if err != nil {
		return 0, 0, err
	}
	if err := stream.Send(open(w.open, attempt)); err != nil {
		return 0, 0, fmt.Errorf("build: %w", err)
	}
	var results []*ordov1.TransactionResult
	sent := 0
	for len(results) < w.n {
		for sent < len(w.chunks) && sent-len(results)/perChunk < inFlight {
			if err := stream.Send(add(w.chunks[sent])); err != nil {
				return 0, 0, fmt.Errorf("build: %w", err)
			}
			sent++
		}
		answer, err := stream.Recv()
		if err != nil {
			return 0, 0, fmt.Errorf("build: %w", err)
		}
		if full := answer.GetFull(); full != nil {
			return 0, 0, fmt.Errorf("build: the block is full at %d: %s", full.N, full.Why)
		}
		results = append(results, answer.GetResults().GetResults()...)
	}
	if err := stream.Send(closing(w.n)); err != nil {
		return 0, 0, fmt.Errorf("build: %w", err)
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return 0, 0, fmt.Errorf("build: %w", err)
		}
		closed := answer.GetClosed()
		if closed == nil {
			continue
		}
		execute = time.Since(begun)
		var txs []*ordov1.Transaction
		for _, chunk := range w.chunks {
			txs = append(txs, chunk.Transactions...)
		}
		begun = time.Now()
		_, err = driver.HashHeader(&ordov1.BlockHeader{Context: w.open.Context}, txs, results, closed.StateDiff)
		return execute, time.Since(begun), err
	}
}
