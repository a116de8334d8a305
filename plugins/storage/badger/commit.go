package badger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// block is one CommitRequest, put together.
type block struct {
	header       *ordov1.BlockHeader
	transactions []*ordov1.Transaction
	results      []*ordov1.TransactionResult
	diff         *ordov1.StateDiff
	classes      []*ordov1.Class
	certificate  []byte
}

func (b *block) num() uint64 { return b.header.GetContext().GetNumber() }

// Commit stores one block.
func (s *Store) Commit(stream grpc.ClientStreamingServer[ordov1.CommitRequest, ordov1.CommitResponse]) error {
	b, err := receive(stream)
	if err != nil {
		return err
	}
	repeated, err := s.commit(stream.Context(), b)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&ordov1.CommitResponse{Height: b.num(), Repeated: repeated})
}

// receive reads the parts of a block.
func receive(stream grpc.ClientStreamingServer[ordov1.CommitRequest, ordov1.CommitResponse]) (*block, error) {
	b := &block{}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch {
		case b.header == nil && m.Header == nil:
			return nil, status.Error(codes.InvalidArgument, "commit: the first message has no header")
		case b.header != nil && m.Header != nil:
			return nil, status.Error(codes.InvalidArgument, "commit: a second header")
		case m.StateDiff != nil && b.diff != nil:
			return nil, status.Error(codes.InvalidArgument, "commit: a second state diff: send it whole, in one message")
		}
		if m.Header != nil {
			b.header = m.Header
		}
		if m.StateDiff != nil {
			b.diff = m.StateDiff
		}
		b.transactions = append(b.transactions, m.Transactions...)
		b.results = append(b.results, m.Results...)
		b.classes = append(b.classes, m.Classes...)
		b.certificate = append(b.certificate, m.Certificate...)
	}
	if b.header == nil {
		return nil, status.Error(codes.InvalidArgument, "commit: no message")
	}
	if b.diff == nil {
		b.diff = &ordov1.StateDiff{}
	}
	return b, nil
}

// check refuses parts that contradict each other.
func (b *block) check() error {
	h := b.header
	if h.GetContext() == nil {
		return errors.New("header: no context")
	}
	if err := checkFelt("header: partial_hash", h.GetPartialHash()); err != nil {
		return err
	}
	if len(h.GetHash())+len(h.GetParentHash())+len(h.GetStateRoot()) != 0 {
		return errors.New("header: hash, parent_hash and state_root must be empty: storage computes them")
	}
	if n := len(b.transactions); n != int(h.GetTransactionCount()) || n != len(b.results) {
		return fmt.Errorf("%d transactions and %d results, the header counts %d", n, len(b.results), h.GetTransactionCount())
	}
	events := 0
	seen := make(map[string]bool, len(b.transactions))
	for i, r := range b.results {
		hash := b.transactions[i].GetHash()
		if err := checkFelt("transaction hash", hash); err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
		if seen[string(hash)] {
			return fmt.Errorf("transaction %d: 0x%x is in the block twice", i, hash)
		}
		seen[string(hash)] = true
		if !bytes.Equal(hash, r.GetHash()) {
			return fmt.Errorf("result %d is of 0x%x, transaction %d is 0x%x", i, r.GetHash(), i, hash)
		}
		if st := r.GetStatus(); st != ordov1.TransactionResult_SUCCEEDED && st != ordov1.TransactionResult_REVERTED {
			return fmt.Errorf("result %d: status %s cannot be in a block", i, st)
		}
		events += len(r.GetEvents())
	}
	if events != int(h.GetEventCount()) {
		return fmt.Errorf("%d events, the header counts %d", events, h.GetEventCount())
	}
	n, err := checkDiff(b.diff)
	if err != nil {
		return fmt.Errorf("state diff: %w", err)
	}
	if n != int(h.GetStateDiffLength()) {
		return fmt.Errorf("state diff of length %d, the header says %d", n, h.GetStateDiffLength())
	}
	return b.checkClasses()
}

// verify compares the hashes in the header with the block, beside what its caller does; wait tells the outcome, as often as
// it is asked. The commitment to the state diff is one long chain of hashes: most of what a commit computes, on one core.
func (b *block) verify() (wait func() error) {
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = b.checkHashes()
	}()
	return func() error {
		<-done
		return err
	}
}

func (b *block) checkHashes() error {
	h := b.header
	stark, err := wire.Header(h)
	if err != nil {
		return err
	}
	diff, err := wire.StateDiff(b.diff)
	if err != nil {
		return err
	}
	if c := diff.Commitment(); c != stark.StateDiffCommitment {
		return fmt.Errorf("the commitment to the state diff is %s, the header says %s", c, stark.StateDiffCommitment)
	}
	partial, err := stark.PartialHash() // fails for a version whose block hash we cannot compute
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if p := partial.Bytes(); !bytes.Equal(p[:], h.GetPartialHash()) {
		return fmt.Errorf("header: its partial hash is %s, not 0x%x", partial, h.GetPartialHash())
	}
	return nil
}

// checkClasses wants the definition of every class that the diff declares.
func (b *block) checkClasses() error {
	sent := make(map[string]bool, len(b.classes))
	for _, c := range b.classes {
		if err := checkKey("class hash", c.GetHash()); err != nil {
			return err
		}
		if sent[string(c.Hash)] {
			return fmt.Errorf("class 0x%x is sent twice", c.Hash)
		}
		sent[string(c.Hash)] = true
		if len(c.GetDefinition()) == 0 {
			return fmt.Errorf("class 0x%x has no definition", c.Hash)
		}
	}
	for hash := range felt.Pairs(b.diff.GetDeclared()) {
		if !sent[string(hash)] {
			return fmt.Errorf("class 0x%x is declared and not sent", hash)
		}
	}
	for hash := range felt.Rows(b.diff.GetDeprecatedDeclared()) {
		if !sent[string(hash)] {
			return fmt.Errorf("class 0x%x is declared and not sent", hash)
		}
	}
	return nil
}

// commit writes a block; repeated is true when it was there already.
func (s *Store) commit(ctx context.Context, b *block) (repeated bool, err error) {
	invalid := func(err error) error {
		return status.Errorf(codes.InvalidArgument, "commit: block %d: %v", b.num(), err)
	}
	if err := b.check(); err != nil {
		return false, invalid(err)
	}
	verified := b.verify()
	s.writer.Lock()
	defer s.writer.Unlock()
	c, err := s.waitForRoots(ctx)
	if err != nil {
		return false, err
	}
	num := b.num()
	if num != c.blocks {
		if err := verified(); err != nil {
			return false, invalid(err)
		}
	}
	v := s.eng.view()
	defer v.close()
	switch {
	case num < c.blocks:
		h, err := s.header(v, num)
		if err != nil {
			return false, status.Errorf(codes.DataLoss, "commit: %v", err)
		}
		if !bytes.Equal(h.GetPartialHash(), b.header.GetPartialHash()) {
			return false, status.Errorf(codes.FailedPrecondition, "commit: height %d holds block 0x%x, not 0x%x: revert it first",
				num, h.GetPartialHash(), b.header.GetPartialHash())
		}
		return true, nil
	case num > c.blocks:
		return false, status.Errorf(codes.FailedPrecondition, "commit: block %d leaves a gap: the next height is %d", num, c.blocks)
	}

	body, state, err := s.writes(v, b, &c)
	if err := verified(); err != nil {
		return false, invalid(err)
	}
	if err != nil {
		return false, status.Errorf(codes.Internal, "commit: block %d: %v", num, err)
	}
	err = s.eng.room(s.eng.reserve(sizeOf(body) + sizeOf(state)))
	if s.full(err); err != nil {
		return false, status.Errorf(codes.ResourceExhausted, "commit: block %d: %v", num, err)
	}
	if err := s.applyBlock(num, body, state, c); err != nil {
		// Whether the block is there is not known, and its undo would be wrong if it were written once more: only a start
		// can tell.
		err = fmt.Errorf("block %d: %w: start the node again", num, err)
		s.fail(err, true)
		return false, status.Errorf(codes.Internal, "commit: %v", err)
	}
	s.at("written")
	if num == 0 {
		s.mark.chain.Store(chainMark(c.partial))
	}
	s.mark.raise(num + 1)
	s.at("promised")
	s.roots.offer(num, b.diff)
	s.setChain(func(now *chain) { now.blocks, now.partial, now.floor = c.blocks, c.partial, c.floor })
	s.at("told")
	return false, nil
}

// at tells a test where the store is.
func (s *Store) at(step string) { s.eng.at(step) }

// waitForRoots holds a commit back while too many blocks wait for their root.
func (s *Store) waitForRoots(ctx context.Context) (chain, error) {
	for {
		c, changed, err := s.snapshot()
		if err != nil {
			return c, status.Errorf(codes.FailedPrecondition, "commit: %v", err)
		}
		if c.blocks-c.rooted < uint64(s.opts.MaxLag) {
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return c, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// applyBlock writes what a block consists of, atomically. c is the chain with the block.
func (s *Store) applyBlock(num uint64, body, state []write, c chain) error {
	last := []write{
		{metaKey(metaHead), encodeHead(num, c.partial)},
		{metaKey(metaHistoryFloor), binary.BigEndian.AppendUint64(nil, c.floor)},
	}
	whole := append(append(body[:len(body):len(body)], state...), last...)
	s.at("ready")
	if s.eng.fits(whole) {
		return s.eng.apply(whole)
	}
	// Too large for Badger: the body, with all that is needed to take the block back, comes first and touches nothing
	// that is read; then the mark; then the state; the last transaction moves the head and takes the mark away.
	s.opts.Log.Info("block is written in batches", "block", num, "entries", len(whole))
	s.eng.split.Lock()
	defer s.eng.split.Unlock()
	if err := s.eng.applySplit(body); err != nil {
		return err
	}
	s.at("body")
	mark := write{metaKey(metaPending), binary.BigEndian.AppendUint64(nil, num)}
	if err := s.eng.apply([]write{mark}); err != nil {
		return err
	}
	s.at("pending")
	if err := s.eng.applySplit(state); err != nil {
		return err
	}
	s.at("state")
	return s.eng.apply(append(last, write{key: mark.key}))
}

// writes lists all entries of a block: the body, which is keyed by its number, and the state. c becomes the chain with
// the block.
func (s *Store) writes(v view, b *block, c *chain) (body, state []write, err error) {
	num := b.num()
	state, undo, err := s.stateWrites(v, num, b.diff)
	if err != nil {
		return nil, nil, err
	}
	header, err := proto.Marshal(b.header)
	if err != nil {
		return nil, nil, err
	}
	body = append(body, write{numKey(tableHeader, num), header})
	classes, err := s.classWrites(v, num, b.classes, undo)
	if err != nil {
		return nil, nil, err
	}
	state = append(state, classes...)
	for _, m := range []struct {
		table byte
		m     proto.Message
	}{
		{tableBody, &ordov1.Block{Transactions: b.transactions}},
		{tableResults, &ordov1.Block{Results: b.results}},
		{tableDiff, b.diff},
		{tableUndo, undo},
	} {
		if body, err = s.blobs.putMessage(body, numKey(m.table, num), m.m); err != nil {
			return nil, nil, err
		}
	}
	if len(b.certificate) > 0 {
		body = s.blobs.put(body, numKey(tableCert, num), b.certificate)
	}
	for i, t := range b.transactions {
		at := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, num), uint32(i))
		state = append(state, write{key(tableTx, t.GetHash()), at})
	}
	c.blocks, c.partial = num+1, b.header.GetPartialHash()
	if !s.opts.History || num == 0 {
		c.floor = num
	}
	return body, state, nil
}
