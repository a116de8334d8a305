package mempool

import (
	"errors"
	"testing"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// What was in the pool before a restart fits again, though the account's nonce that storage tells is older than the one that
// the limits were held against.
func TestRestore(t *testing.T) {
	p := New(Options{MaxNonceGap: 3, MaxBytes: 1})
	tx := transaction("a/9", "a", 9, 0, 1, ordov1.TransactionType_INVOKE)
	if err := p.AddError(tx, nil, 0); !errors.Is(err, ErrNonceTooFar) {
		t.Fatalf("AddError: %v", err)
	}
	if _, _, err := p.Restore(time.Time{}, tx, nil, 0); err != nil {
		t.Fatal(err)
	}
	if p.Len() != 1 || p.options.MaxNonceGap != 3 || p.options.MaxBytes != 1 {
		t.Errorf("%d transactions, options %+v", p.Len(), p.options)
	}
	if _, _, err := p.Restore(time.Time{}, transaction("a/0", "a", 0, 0, 1, ordov1.TransactionType_INVOKE), nil, 1); !errors.Is(err, ErrNonceTooOld) {
		t.Errorf("a used nonce: %v", err)
	}
}
