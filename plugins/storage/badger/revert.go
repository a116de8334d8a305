package badger

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Revert removes the head block.
func (s *Store) Revert(ctx context.Context, r *ordov1.RevertRequest) (*ordov1.HeadResponse, error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	c, _, err := s.snapshot()
	if err != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "revert: %v", err)
	}
	if c.blocks == 0 || r.GetHeight() != c.blocks-1 {
		return nil, status.Errorf(codes.FailedPrecondition, "revert: block %d is not the head (%d blocks)", r.GetHeight(), c.blocks)
	}
	if err := s.eng.room(s.eng.reserve(0) / 2); err != nil {
		return nil, status.Errorf(codes.ResourceExhausted, "revert: %v", err)
	}
	if err := s.revert(c.blocks - 1); err != nil {
		return nil, status.Errorf(codes.Internal, "revert: %v", err)
	}
	return s.Head(ctx, nil)
}

func (s *Store) revert(num uint64) error {
	// The tries go back first, from the block's undo diff; they are a cache, so a crash in between costs a rebuild at most.
	s.roots.mu.Lock()
	defer s.roots.mu.Unlock()
	if err := s.mark.lower(num); err != nil {
		return err
	}
	s.at("revert lowered")
	err := s.roots.rewind(num)
	if err == nil {
		s.at("revert rewound")
		err = s.removeHead(num)
	}
	if err == nil {
		err = s.reload(num)
	}
	if err == nil {
		err = s.roots.forget()
	}
	if err != nil {
		err = fmt.Errorf("block %d: %w: start the node again", num, err)
		s.fail(err, true)
	}
	return err
}

// reload reads the chain again after block num is gone.
func (s *Store) reload(num uint64) error {
	v := s.eng.view()
	defer v.close()
	c, err := s.loadChain(v, num)
	if err != nil {
		return err
	}
	s.setChain(func(now *chain) {
		c.reverts = append(now.reverts, num)
		*now = c
	})
	return nil
}

// removeHead takes the block out of every table and moves the head to the block before.
func (s *Store) removeHead(num uint64) error {
	v := s.eng.view()
	defer v.close()
	state, body, err := s.undoWrites(v, num)
	if err != nil {
		return err
	}
	head, err := s.headWrites(v, num)
	if err != nil {
		return err
	}
	whole := append(append(head, state...), body...)
	if s.eng.fits(whole) {
		return s.eng.apply(whole)
	}
	s.eng.split.Lock()
	defer s.eng.split.Unlock()
	mark := write{metaKey(metaPending), binary.BigEndian.AppendUint64(nil, num)}
	if err := s.eng.apply(append(head[:len(head):len(head)], mark)); err != nil {
		return err
	}
	s.at("revert pending")
	return s.finishUndo(state, body)
}

// finishUndo writes the state from before a block, then removes the block and the mark with it. It may be repeated: the
// body, where the undo comes from, goes last.
func (s *Store) finishUndo(state, body []write) error {
	if err := s.eng.applySplit(state); err != nil {
		return err
	}
	s.at("revert state")
	return s.eng.apply(append(body, write{key: metaKey(metaPending)}))
}

// headWrites moves the head below num.
func (s *Store) headWrites(v view, num uint64) ([]write, error) {
	floor, _, found, err := readNum(v, metaKey(metaHistoryFloor))
	if err != nil {
		return nil, err
	}
	if num == 0 {
		return []write{{key: metaKey(metaHead)}, {key: metaKey(metaHistoryFloor)}}, nil
	}
	before, err := s.header(v, num-1)
	if err != nil {
		return nil, err
	}
	if before == nil {
		return nil, fmt.Errorf("header of block %d is missing", num-1)
	}
	out := []write{{metaKey(metaHead), encodeHead(num-1, before.GetPartialHash())}}
	if found && floor >= num {
		out = append(out, write{metaKey(metaHistoryFloor), binary.BigEndian.AppendUint64(nil, num-1)})
	}
	return out, nil
}

// undoWrites lists what brings the state back to before block num, and what removes the block itself.
func (s *Store) undoWrites(v view, num uint64) (state, body []write, err error) {
	undo, err := s.diff(v, tableUndo, num)
	if err != nil {
		return nil, nil, err
	}
	if _, err := checkDiff(&ordov1.StateDiff{Storage: undo.Storage, Replaced: undo.Replaced, Nonces: undo.Nonces}); err != nil {
		return nil, nil, fmt.Errorf("undo diff of block %d is damaged: %w", num, err)
	}
	for _, c := range undo.Storage {
		for k, old := range felt.Pairs(c.Entries) {
			state = append(state, write{key(tableStorage, c.Address, k), orNil(old)},
				write{key: historyKey(tableStorageHistory, num, c.Address, k)})
		}
	}
	contracts, err := s.newContracts(v, &ordov1.StateDiff{Replaced: undo.Replaced, Nonces: undo.Nonces})
	if err != nil {
		return nil, nil, err
	}
	for _, c := range contracts {
		state = append(state, c.write(), write{key: historyKey(tableClassHistory, num, c.address)},
			write{key: historyKey(tableNonceHistory, num, c.address)})
	}
	for class, old := range felt.Pairs(undo.Migrated) {
		state = append(state, write{key(tableCompiled, class), orNil(old)}, write{key: historyKey(tableCompiledHistory, num, class)})
	}
	for class := range felt.Rows(undo.DeprecatedDeclared) {
		state = append(state, write{key: key(tableClass, class)})
		for _, table := range []byte{tableDefinition, tableCasm} {
			if state, err = s.blobs.remove(v, state, key(table, class)); err != nil {
				return nil, nil, err
			}
		}
	}
	txs := &ordov1.Block{}
	if _, err := s.blobs.getMessage(v, numKey(tableBody, num), txs); err != nil {
		return nil, nil, err
	}
	for _, t := range txs.Transactions {
		k := key(tableTx, t.GetHash())
		at, _, found, err := readNum(v, k)
		if err != nil {
			return nil, nil, err
		}
		if found && at == num {
			state = append(state, write{key: k})
		}
	}

	body = []write{{key: numKey(tableHeader, num)}}
	root, hash, err := s.root(v, num)
	if err != nil {
		return nil, nil, err
	}
	if root != nil {
		body = append(body, write{key: numKey(tableRoot, num)}, write{key: key(tableHash, bytes.Clone(hash))})
	}
	for _, table := range []byte{tableBody, tableResults, tableCert, tableDiff, tableUndo} {
		if body, err = s.blobs.remove(v, body, numKey(table, num)); err != nil {
			return nil, nil, err
		}
	}
	return state, body, nil
}
