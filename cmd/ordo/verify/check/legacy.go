package check

import (
	"slices"

	"github.com/ordo-sequencer/ordo/cmd/ordo/verify/feeder"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// oldGaps names what the hash of a transaction from before 0.8 leaves out.
func (f *File) oldGaps(t *feeder.Transaction) {
	switch t.Transaction.(type) {
	case *starknet.InvokeV0:
		f.gapOnce(t.At("max_fee"), "hashed since 0.8")
		f.gapOnce(t.At("version"), "hashed since 0.8")
	case *starknet.L1Handler:
		f.gapOnce(t.At("nonce"), "not in every form before 0.8")
		f.gapOnce(t.At("version"), "hashed since 0.8")
	case *starknet.Deploy:
		f.gapOnce(t.At("version"), "hashed since 0.8")
	}
}

func (f *File) gapOnce(field, why string) {
	if g := (Gap{field, why}); !slices.Contains(f.Uncovered, g) {
		f.Uncovered = append(f.Uncovered, g)
	}
}

// pending says what cannot be known of a block that is not closed.
func (r *run) pending(b *block) {
	b.file.add(Item{Name: "block hash", Verdict: Unchecked, Note: "the block is not closed and has none yet"})
	for _, field := range []string{"starknet_version", "transactions[].signature", "transaction_receipts"} {
		b.file.gap(b.Prefix()+field, "hashed when the block is closed")
	}
}

// oldBlock checks a block from before 0.13.2.
func (r *run) oldBlock(b *block) {
	transactions, events := b.oldCommitments()
	for _, c := range []struct {
		name         string
		printed, got *felt.Felt
	}{
		{"transaction commitment", &b.Header.TransactionCommitment, &transactions},
		{"event commitment", &b.Header.EventCommitment, &events},
	} {
		if !c.printed.IsZero() { // else never published; the block hash covers it all the same
			b.file.felts(c.name, c.printed, c.got)
		}
	}
	r.oldHash(b, transactions, events)
	for _, field := range []string{"starknet_version", "transaction_receipts[].actual_fee", "transaction_receipts[].l2_to_l1_messages",
		"transaction_receipts[].execution_status", "transaction_receipts[].revert_error", "transaction_receipts[].execution_resources"} {
		b.file.gap(b.Prefix()+field, "hashed since 0.13.2")
	}
	r.links(b)
}

func (b *block) oldCommitments() (transactions, events felt.Felt) {
	v, err := starknet.ParseVersion(b.Header.Version)
	if err != nil {
		v = starknet.Version{} // printed since 0.9.1
	}
	signed := make([]starknet.Signed, len(b.Transactions))
	for i := range signed {
		t := &b.Transactions[i]
		signed[i] = starknet.SignedOld(t.Transaction, *t.Expected, v)
		if len(signed[i].Signature) < len(t.SignedWith()) {
			b.file.gapOnce(t.SignatureAt, "of others than invocations: hashed since 0.11.1")
		}
	}
	receipts := make([]starknet.Receipt, len(b.Receipts))
	for i := range receipts {
		receipts[i] = b.Receipts[i].Receipt
	}
	return starknet.OldTransactionCommitment(signed), starknet.OldEventCommitment(receipts)
}

// oldHash finds the form that gives the block hash. Early blocks do not print the sequencer that they were hashed with.
// The commitments are those of the block's content: what a file prints of an old block may be in a newer form.
func (r *run) oldHash(b *block, transactions, events felt.Felt) {
	const name = "block hash"
	f, h := b.file, b.Header
	h.TransactionCommitment, h.EventCommitment = transactions, events
	onMain := b.chain == starknet.MainChain
	if h.Sequencer.IsZero() && b.chain != "" && (h.Number < starknet.FirstMainBlock07 || !onMain) {
		if got := h.OldestHash(felt.MustShortString(b.chain)); got == b.Hash {
			f.felts(name, &b.Hash, &got).Note = "form before 0.7"
			for _, field := range []string{"timestamp", "sequencer_address", "transaction_receipts[].events"} {
				f.gap(b.Prefix()+field, "hashed since 0.7")
			}
			return
		}
	}
	got := h.OldHash()
	if got != b.Hash && h.Sequencer.IsZero() {
		h.Sequencer = starknet.OldSequencer(b.chain)
		if again := h.OldHash(); again == b.Hash {
			f.felts(name, &b.Hash, &again).Note = "form of 0.7 to 0.13.1, with the sequencer of that time"
			return
		}
		// Goerli and the integration network had sequencers in 0.8 whose addresses were not published.
		if b.chain == "SN_GOERLI" && h.Version == "" {
			f.add(Item{Name: name, Expected: b.Hash.Hex(), Verdict: Unchecked, Note: "no known sequencer gives it, and the block prints none"})
			return
		}
	}
	f.felts(name, &b.Hash, &got).Note = "form of 0.7 to 0.13.1"
}
