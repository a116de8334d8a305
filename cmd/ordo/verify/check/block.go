package check

import (
	"fmt"
	"math/big"

	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// hashVersions are the protocol versions that have been printed in block headers since the block hash covers them.
var hashVersions = []string{"0.13.2", "0.13.2.1", "0.13.3", "0.13.4", "0.13.5", "0.13.6",
	"0.14.0", "0.14.1", "0.14.2", "0.14.3", "0.14.4"}

func (r *run) block(b *block) {
	f := b.file
	b.chain = r.chain(b.Transactions)
	f.Chain = b.chain
	for i, h := range hashAll(b.Transactions, b.chain) {
		t := &b.Transactions[i]
		f.transaction(fmt.Sprintf("transaction %d %s", i, t.Kind()), t, h)
	}
	r.receipts(b)
	r.fees(b)
	switch {
	case b.Pending:
		r.pending(b)
		return
	case !b.Complete:
		r.oldBlock(b)
		return
	}
	v, _ := starknet.ParseVersion(b.Header.Version) // read before

	signed := make([]starknet.Signed, len(b.Transactions))
	for i, t := range b.Transactions {
		signed[i] = starknet.Signed{Hash: *t.Expected, Signature: t.SignedWith()}
	}
	receipts := make([]starknet.Receipt, len(b.Receipts))
	for i := range receipts {
		receipts[i] = b.Receipts[i].Receipt
	}
	h := &b.Header
	for _, c := range []struct {
		name     string
		expected felt.Felt
		computed felt.Felt
	}{
		{"transaction commitment", h.TransactionCommitment, starknet.TransactionCommitment(signed, v)},
		{"event commitment", h.EventCommitment, starknet.EventCommitment(receipts)},
		{"receipt commitment", h.ReceiptCommitment, starknet.ReceiptCommitment(receipts)},
	} {
		f.felts(c.name, &c.expected, &c.computed)
	}
	r.blockHash(b)
	if v.Before(starknet.V0_13_4) && !h.GasPrices.L2.Wei.IsZero() {
		f.gap(b.Prefix()+"l2_gas_price", "hashed since 0.13.4")
	}
	r.links(b)
}

// blockHash checks the header as printed. Files are published whose version alone was edited; so when the hash does not
// fit, the other versions are tried, and one that fits is reported: the hash is right, the file's version is not.
func (r *run) blockHash(b *block) {
	got, err := b.Header.Hash()
	if err == nil && got == b.Hash {
		b.file.felts("block hash", &b.Hash, &got)
		return
	}
	for _, name := range hashVersions {
		h := b.Header
		h.Version = name
		if again, err := h.Hash(); err == nil && again == b.Hash {
			i := b.file.felts("block hash", &b.Hash, &again)
			i.Verdict, i.Note = Note, fmt.Sprintf("verified as %s (file says %s)", name, b.Header.Version)
			if r.options.Strict {
				i.Verdict = Mismatch
			}
			return
		}
	}
	if err != nil { // an old block, printed with the commitments of newer ones
		transactions, events := b.oldCommitments()
		r.oldHash(b, transactions, events)
		return
	}
	b.file.felts("block hash", &b.Hash, &got)
}

// receipts checks that receipts belong to the transactions; one line when they all do.
func (r *run) receipts(b *block) {
	f, bad := b.file, 0
	wrong := func(i int, what, expected, computed string) {
		bad++
		f.add(Item{Name: fmt.Sprintf("receipt %d %s", i, what), Expected: expected, Computed: computed, Verdict: Mismatch})
	}
	if len(b.Receipts) > len(b.Transactions) || len(b.Receipts) < len(b.Transactions) && !b.Pending {
		wrong(0, "and following", fmt.Sprint(len(b.Transactions), " receipts"), fmt.Sprint(len(b.Receipts)))
		return
	}
	for i := range b.Receipts {
		rc, t := &b.Receipts[i], &b.Transactions[i]
		if rc.Hash != *t.Expected {
			wrong(i, "transaction hash", t.Expected.Hex(), rc.Hash.Hex())
		}
		if rc.Index != uint64(i) {
			wrong(i, "index", fmt.Sprint(i), fmt.Sprint(rc.Index))
		}
		l1, isL1 := t.Transaction.(*starknet.L1Handler)
		if rc.Consumed == nil || !isL1 {
			continue
		}
		want := append([]felt.Felt{l1.Contract, l1.Selector, l1.Nonce}, l1.Calldata...)
		c := rc.Consumed
		got := append([]felt.Felt{c.To, c.Selector, c.Nonce, c.From}, c.Payload...)
		for k := range max(len(want), len(got)) {
			if k >= len(want) || k >= len(got) {
				wrong(i, "consumed message", fmt.Sprint(len(want), " felts"), fmt.Sprint(len(got), " felts"))
			} else if want[k] != got[k] {
				wrong(i, "consumed message", want[k].Hex(), got[k].Hex())
			}
		}
	}
	if n := fmt.Sprint(len(b.Receipts)); bad == 0 && n != "0" {
		f.add(Item{Name: "receipts match transactions", Expected: n, Computed: n, Verdict: OK})
	}
}

// links compares the block with its parent, where that is among the files.
func (r *run) links(b *block) {
	if p := r.byHash[b.Header.ParentHash]; p != nil {
		n, want := felt.FromUint64(b.Header.Number), felt.FromUint64(p.Header.Number+1)
		b.file.felts("number after its parent's", &n, &want)
	}
}

// fees checks what receipts say that is not hashed: the gas on L2, of which the fee is made. The fee itself is hashed.
// Handlers of L1 messages pay on L1, and what a reverted transaction pays may be capped: those are left out.
func (r *run) fees(b *block) {
	if !b.L2Gas {
		return
	}
	at := b.Prefix() + "transaction_receipts[].execution_resources.total_gas_consumed.l2_gas"
	f, checked, left, sum := b.file, 0, 0, uint64(0)
	for i := range min(len(b.Receipts), len(b.Transactions)) {
		rc := &b.Receipts[i]
		sum += rc.Gas.L2
		want, ok := fee(b, i)
		switch {
		case !ok:
			left++
		case want.Cmp(rc.Fee.Big()) != 0:
			f.add(Item{Name: fmt.Sprintf("receipt %d fee by gas and prices", i), Expected: rc.Fee.Hex(), Computed: fmt.Sprintf("%#x", want), Verdict: Mismatch})
			checked++
		default:
			checked++
		}
	}
	if checked > 0 {
		n := fmt.Sprint(checked)
		f.add(Item{Name: "fees by gas and prices", Expected: n, Computed: n, Verdict: OK})
	}
	if left > 0 {
		f.gap(at, fmt.Sprintf("of %d reverted transactions and l1_handlers", left))
	}
	if c := b.L2GasConsumed; c != nil {
		i := Item{Name: "l2 gas consumed", Expected: fmt.Sprint(*c), Computed: fmt.Sprint(sum), Verdict: OK}
		if *c != sum {
			i.Verdict = Mismatch
		}
		f.add(i)
	}
}

// fee is what transaction i costs: gas of each kind at the block's price, the tip on top of the price of L2 gas.
func fee(b *block, i int) (*big.Int, bool) {
	rc, p := &b.Receipts[i], &b.Header.GasPrices
	price := func(g starknet.GasPrice) *big.Int { return g.Wei.Big() }
	tip := new(big.Int)
	if rc.Reverted || rc.Fee.IsZero() {
		return nil, false
	}
	if v3, ok := b.Transactions[i].Transaction.(interface{ Version3() *starknet.V3 }); ok {
		price = func(g starknet.GasPrice) *big.Int { return g.Fri.Big() }
		tip.SetUint64(v3.Version3().Tip)
	}
	sum := new(big.Int)
	for _, part := range []struct {
		gas   uint64
		price *big.Int
	}{{rc.Gas.L1, price(p.L1)}, {rc.Gas.L1Data, price(p.L1Data)}, {rc.Gas.L2, tip.Add(tip, price(p.L2))}} {
		sum.Add(sum, part.price.Mul(part.price, new(big.Int).SetUint64(part.gas)))
	}
	return sum, true
}
