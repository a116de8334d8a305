package main

import (
	"bufio"
	"fmt"
	"math/big"
	"os"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/node"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

const (
	senders  = 200
	perChunk = 128 // as the pipeline feeds a block
	chainID  = "SN_SEPOLIA"
)

// workload is one block of transfers and the state it runs on, in the form that the plugin takes over gRPC. The bare
// crate reads the same messages from a file.
type workload struct {
	state  *ordov1.ApplyRequest
	open   *ordov1.BuildRequest_Open
	chunks []*ordov1.BuildRequest_Add
	n      int
}

// newWorkload signs n transfers of a token from accounts of new Sierra, so that Sierra gas is counted, not Cairo steps.
func newWorkload(installed node.Installation, n int, signed func()) (*workload, error) {
	token := felt.MustHex("0x20c")
	g, err := genesis.New(genesis.Options{
		Seed: 1, Accounts: senders, InitialBalance: new(big.Int).Exp(big.NewInt(10), big.NewInt(24), nil),
		AccountClass: genesis.Native, Contracts: installed.Contracts,
		Tokens: []genesis.Token{{Address: token, Amount: 1_000_000}},
	})
	if err != nil {
		return nil, err
	}
	w := &workload{
		n:     n,
		state: &ordov1.ApplyRequest{StateDiff: g.Diff, Classes: g.Classes},
		open: &ordov1.BuildRequest_Open{Context: &ordov1.BlockContext{
			Number: 1, Timestamp: 1_800_000_000, Sequencer: felt.MustHex("0x5e9").Append(nil), StarknetVersion: starknet.LatestVersion,
			L1Gas: price(), L1DataGas: price(), L2Gas: price(), BlobDa: true,
		}},
	}
	for i := range n {
		sender := i % senders
		a := client.NewAccount(g.Accounts[sender], chainID)
		to := g.Accounts[(i*7+3)%senders].Address
		if i%2 == 0 { // half of them to accounts that hold nothing yet
			to = felt.FromUint64(uint64(1_000_000 + i))
		}
		if i%perChunk == 0 {
			w.chunks = append(w.chunks, new(ordov1.BuildRequest_Add))
		}
		chunk := w.chunks[len(w.chunks)-1]
		chunk.Transactions = append(chunk.Transactions, a.Invoke(uint64(i/senders), client.Transfer(token, to, 1)).Transaction)
		signed()
	}
	return w, nil
}

func price() *ordov1.GasPrice {
	p := big.NewInt(1_000_000_000).FillBytes(make([]byte, 16))
	return &ordov1.GasPrice{Wei: p, Fri: p}
}

// write records the workload for the bare crate.
func (w *workload) write(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	messages := []proto.Message{w.state, open(w.open, 1)}
	for _, chunk := range w.chunks {
		messages = append(messages, add(chunk))
	}
	messages = append(messages, closing(w.n))
	for _, m := range messages {
		if _, err := protodelim.MarshalTo(out, m); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func open(o *ordov1.BuildRequest_Open, attempt uint64) *ordov1.BuildRequest {
	return &ordov1.BuildRequest{Step: &ordov1.BuildRequest_Open_{Open: &ordov1.BuildRequest_Open{BuildId: attempt, Context: o.Context}}}
}

func add(chunk *ordov1.BuildRequest_Add) *ordov1.BuildRequest {
	return &ordov1.BuildRequest{Step: &ordov1.BuildRequest_Add_{Add: chunk}}
}

func closing(n int) *ordov1.BuildRequest {
	return &ordov1.BuildRequest{Step: &ordov1.BuildRequest_Close_{Close: &ordov1.BuildRequest_Close{N: uint64(n)}}}
}
