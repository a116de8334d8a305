package conformance

import (
	"bytes"
	"strings"
	"testing"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// WithLimit gives every call of a subject another time, for the tests of the suite itself.
func WithLimit(s Subject, limit time.Duration) Subject {
	s.answers.limit = func(method string) time.Duration {
		if strings.HasSuffix(method, "/Score") {
			return limit
		}
		return limitOf(method)
	}
	return s
}

// TestDifference: the first field that differs is named, with both values, in hex.
func TestDifference(t *testing.T) {
	block := func(change func(*ordov1.Block)) *ordov1.Block {
		b := &ordov1.Block{
			Header:       &ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: 7}, Hash: []byte{0xab}},
			Transactions: []*ordov1.Transaction{{Hash: []byte{1}}, {Hash: []byte{2}, Tip: 5}},
			StateDiff:    &ordov1.StateDiff{Storage: []*ordov1.ContractStorage{{Address: []byte{9}, Entries: bytes.Repeat([]byte{3}, 256)}}},
		}
		change(b)
		return b
	}
	same := block(func(*ordov1.Block) {})
	for want, change := range map[string]func(*ordov1.Block){
		"":                                     func(*ordov1.Block) {},
		"header.context.number: got 8, want 7": func(b *ordov1.Block) { b.Header.Context.Number = 8 },
		"header.hash: got 0xcd, want 0xab":     func(b *ordov1.Block) { b.Header.Hash = []byte{0xcd} },
		"header.hash: got nothing, want 0xab":  func(b *ordov1.Block) { b.Header.Hash = nil },
		"transactions[1].tip: got 6, want 5":   func(b *ordov1.Block) { b.Transactions[1].Tip = 6 },
		"transactions: got 1 of them, want 2":  func(b *ordov1.Block) { b.Transactions = b.Transactions[:1] },
		"state_diff: got none, want one":       func(b *ordov1.Block) { b.StateDiff = nil },
		"transactions[0].type: got DECLARE, want TRANSACTION_TYPE_UNSPECIFIED": func(b *ordov1.Block) { b.Transactions[0].Type = ordov1.TransactionType_DECLARE },
	} {
		if got := difference(block(change), same); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	want := "state_diff.storage[0].entries, felt 5: got 0x0403" + strings.Repeat("03", 30) + ", want 0x" + strings.Repeat("03", 32)
	if got := difference(block(func(b *ordov1.Block) { b.StateDiff.Storage[0].Entries[160] = 4 }), same); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := hexed(&ordov1.HeadResponse{Height: 3, PartialHash: []byte{0xff}}); got != "height: 3, partial_hash: 0xff" {
		t.Error(got)
	}
	if got := hexed((*ordov1.HeadResponse)(nil)); got != "nothing" {
		t.Error(got)
	}
}
