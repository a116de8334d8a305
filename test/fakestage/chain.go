package fakestage

import (
	"bytes"
	"context"
	"sync"

	"google.golang.org/grpc"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Chain answers reads from blocks in memory: the state is what their state diffs add up to. The fields below Mu are read and written
// under it.
type Chain struct {
	ordov1.UnimplementedStorageReadServer
	Mu     sync.Mutex
	Stored []*ordov1.Block // by number, from block 0 on
	Known  []*ordov1.Class // what Classes answers with

	nonces  map[felt.Key][]byte // of the first indexed blocks
	indexed int
}

// Count is how many blocks there are.
func (c *Chain) Count() int {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	return len(c.Stored)
}

// Append adds a block.
func (c *Chain) Append(b *ordov1.Block) {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	c.Stored = append(c.Stored, b)
}

// State implements ordov1.StorageReadServer.
func (c *Chain) State(_ context.Context, q *ordov1.StateRequest) (*ordov1.StateResponse, error) {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	blocks := c.Stored
	if q.AtHeight {
		if q.Height >= uint64(len(blocks)) {
			return &ordov1.StateResponse{NotFound: true}, nil
		}
		blocks = blocks[:q.Height+1]
	}
	out := &ordov1.StateResponse{Height: uint64(max(0, len(blocks)-1))}
	for contract, key := range felt.Pairs(q.Storage) {
		out.Storage = append(out.Storage, newest(blocks, key, func(d *ordov1.StateDiff) []byte {
			for _, s := range d.GetStorage() {
				if bytes.Equal(s.Address, contract) {
					return s.Entries
				}
			}
			return nil
		})...)
	}
	for contract := range felt.Rows(q.Nonces) {
		if !q.AtHeight {
			out.Nonces = append(out.Nonces, c.nonce(contract)...)
			continue
		}
		out.Nonces = append(out.Nonces, newest(blocks, contract, (*ordov1.StateDiff).GetNonces)...)
	}
	for contract := range felt.Rows(q.ClassHashes) {
		out.ClassHashes = append(out.ClassHashes, newest(blocks, contract, (*ordov1.StateDiff).GetReplaced, (*ordov1.StateDiff).GetDeployed)...)
	}
	for class := range felt.Rows(q.CompiledClassHashes) {
		out.CompiledClassHashes = append(out.CompiledClassHashes, newest(blocks, class, (*ordov1.StateDiff).GetDeclared)...)
	}
	return out, nil
}

// nonce is that of a contract after the last block: long chains are asked for it often.
func (c *Chain) nonce(contract []byte) []byte {
	if c.nonces == nil || c.indexed > len(c.Stored) {
		c.nonces, c.indexed = map[felt.Key][]byte{}, 0
	}
	for ; c.indexed < len(c.Stored); c.indexed++ {
		for account, nonce := range felt.Pairs(c.Stored[c.indexed].StateDiff.GetNonces()) {
			c.nonces[felt.Key(account)] = nonce
		}
	}
	if nonce := c.nonces[felt.Key(contract)]; nonce != nil {
		return nonce
	}
	return make([]byte, felt.Size)
}

// newest is the value that the last block with this key in one of the tables gives it; a table beats those after it.
func newest(blocks []*ordov1.Block, key []byte, tables ...func(*ordov1.StateDiff) []byte) []byte {
	for _, table := range tables {
		for i := len(blocks) - 1; i >= 0; i-- {
			for k, value := range felt.Pairs(table(blocks[i].StateDiff)) {
				if bytes.Equal(k, key) {
					return value
				}
			}
		}
	}
	return make([]byte, felt.Size)
}

// Classes implements ordov1.StorageReadServer.
func (c *Chain) Classes(q *ordov1.ClassesRequest, out grpc.ServerStreamingServer[ordov1.Class]) error {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	for hash := range felt.Rows(q.Hashes) {
		for _, class := range c.Known {
			if bytes.Equal(class.Hash, hash) {
				if err := out.Send(class); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Blocks implements ordov1.StorageReadServer.
func (c *Chain) Blocks(q *ordov1.BlocksRequest, out grpc.ServerStreamingServer[ordov1.Block]) error {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	for _, b := range c.Stored {
		n := b.Header.Context.Number
		switch from := q.From.(type) {
		case *ordov1.BlocksRequest_Hash:
			if !bytes.Equal(from.Hash, b.Header.Hash) {
				continue
			}
		case *ordov1.BlocksRequest_Number:
			if n < from.Number || n > max(from.Number, q.To) {
				continue
			}
		}
		sent := &ordov1.Block{Header: b.Header, Certificate: b.Certificate}
		if q.Transactions {
			sent.Transactions = b.Transactions
		}
		if q.Results {
			sent.Results = b.Results
		}
		if q.StateDiff {
			sent.StateDiff = b.StateDiff
		}
		if err := out.Send(sent); err != nil {
			return err
		}
	}
	return nil
}

// FindTransaction implements ordov1.StorageReadServer.
func (c *Chain) FindTransaction(_ context.Context, q *ordov1.FindTransactionRequest) (*ordov1.FindTransactionResponse, error) {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	for _, b := range c.Stored {
		for i, tx := range b.Transactions {
			if bytes.Equal(tx.Hash, q.Hash) {
				return &ordov1.FindTransactionResponse{Found: true, Number: b.Header.Context.Number, Index: uint32(i)}, nil
			}
		}
	}
	return &ordov1.FindTransactionResponse{}, nil
}
