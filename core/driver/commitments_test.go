package driver

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
)

// TestCommitmentsAreHashedWhileTheBlockRuns: a header is the same whatever was hashed ahead of it: nothing, all, all but what the block was cut off
// before, or something that does not belong there.
func TestCommitmentsAreHashedWhileTheBlockRuns(t *testing.T) {
	var txs, inside []*ordov1.Transaction
	var results, kept []*ordov1.TransactionResult
	for i := range 300 {
		hash := make([]byte, 32)
		binary.BigEndian.PutUint32(hash[28:], uint32(i+1))
		tx := &ordov1.Transaction{Hash: hash, Signature: bytes.Repeat(hash, 2)}
		r := &ordov1.TransactionResult{
			Hash: hash, Status: ordov1.TransactionResult_SUCCEEDED,
			Events: []*ordov1.Event{{FromAddress: hash, Keys: bytes.Repeat(hash, 3), Data: hash}},
		}
		if i%10 == 4 {
			r = &ordov1.TransactionResult{Hash: hash, Status: ordov1.TransactionResult_REJECTED, Reason: "no"}
		} else if i < 250 {
			inside, kept = append(inside, tx), append(kept, r)
		}
		txs, results = append(txs, tx), append(results, r)
	}
	draft := &ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: 7, StarknetVersion: starknet.LatestVersion, Sequencer: make([]byte, 32)}}
	want, err := HashHeader(draft, inside, kept, &ordov1.StateDiff{})
	if err != nil {
		t.Fatal(err)
	}
	for name, ahead := range map[string]func(*commitments){
		"all":              func(l *commitments) { l.resultsArrived(0, results) },
		"one at a time":    func(l *commitments) { each(results, l.resultsArrived) },
		"some":             func(l *commitments) { l.resultsArrived(0, results[:100]) },
		"of another place": func(l *commitments) { l.resultsArrived(1, results[:200]) },
		"beyond the end":   func(l *commitments) { l.resultsArrived(290, results[:100]) },
		"of no place": func(l *commitments) {
			l.resultsArrived(math.MaxUint64, results[:1])
			l.resultsArrived(math.MaxInt64, results[:2])
		},
		"of other objects": func(l *commitments) {
			l.resultsArrived(0, []*ordov1.TransactionResult{proto.Clone(results[0]).(*ordov1.TransactionResult)})
		},
		"another version": func(l *commitments) { l.begin("0.13.2"); l.resultsArrived(0, results) },
		"no version":      func(l *commitments) { l.begin("?"); l.resultsArrived(0, results) },
	} {
		l := new(commitments)
		l.begin(starknet.LatestVersion)
		l.add(txs[:150])
		l.add(txs[150:])
		ahead(l)
		got, err := buildHeader(draft, inside, kept, &ordov1.StateDiff{}, l)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !proto.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	kept[5] = &ordov1.TransactionResult{Hash: kept[5].Hash[:3], Status: ordov1.TransactionResult_SUCCEEDED}
	if _, err := HashHeader(draft, inside, kept, &ordov1.StateDiff{}); err == nil {
		t.Error("a result without a hash is in a header")
	}
}

func each(results []*ordov1.TransactionResult, came func(uint64, []*ordov1.TransactionResult)) {
	for i := range results {
		came(uint64(i), results[i:i+1])
	}
}
