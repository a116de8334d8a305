package feeder

import (
	"encoding/json"

	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Block is a block as the feeder gateway serves it.
type Block struct {
	Path         string
	Hash         felt.Felt
	Header       starknet.Header // with the commitments that the file prints
	Complete     bool            // the header has all that block hashes since 0.13.2 cover
	Pending      bool            // pre-confirmed: the block has no hash yet
	Transactions []Transaction
	Receipts     []Receipt

	L2Gas         bool    // receipts count gas on L2, and the header has its price
	L2GasConsumed *uint64 // their sum, in newer headers
}

// Prefix is the path of the block's fields in the file.
func (b *Block) Prefix() string {
	if b.Path == "" {
		return ""
	}
	return b.Path + "."
}

// Receipt is a receipt and what can be compared with other parts of the block.
type Receipt struct {
	starknet.Receipt
	Index    uint64
	Consumed *Consumed // by an l1_handler
}

// Consumed is the L1 message that an l1_handler ran for.
type Consumed struct {
	From, To, Selector, Nonce felt.Felt
	Payload                   []felt.Felt
}

func (d *decoder) block(path string, raw json.RawMessage) *Block {
	o := d.object(path, raw)
	defer o.close()
	b := &Block{Path: path}
	h := &b.Header
	if b.Pending = !o.has("block_hash"); !b.Pending {
		b.Hash = o.felt("block_hash")
		h.ParentHash = o.felt(o.first("parent_block_hash", "parent_hash"))
		h.Number = o.uint("block_number")
		h.StateRoot = o.felt("state_root")
		h.Timestamp = o.uint("timestamp")
		h.Sequencer, _ = o.feltOr("sequencer_address")
	}
	if o.has("starknet_version") {
		h.Version = o.string("starknet_version")
	}
	v, err := starknet.ParseVersion(h.Version)
	if err != nil && h.Version != "" {
		d.fail(o.at("starknet_version"), "%v", err)
	}
	// Older blocks need no commitments; where they have them all the same, the printed version may be what is wrong.
	if b.Complete = !b.Pending && h.Version != "" && (!v.Before(starknet.V0_13_2) || o.has("receipt_commitment", "state_diff_commitment", "l1_da_mode")); b.Complete {
		o.commitments(h, v)
		b.L2Gas = !v.Before(starknet.V0_13_4)
	} else if !b.Pending {
		// Some old blocks print 0 for a commitment that was never published.
		h.TransactionCommitment, _ = o.feltOr("transaction_commitment")
		h.EventCommitment, _ = o.feltOr("event_commitment")
	}
	if b.L2Gas && o.has("l2_gas_consumed") {
		n := o.uint("l2_gas_consumed")
		b.L2GasConsumed = &n
	}
	o.each("transactions", func(path string, raw json.RawMessage) {
		t := d.transaction(path, raw)
		if d.err == nil && t.Expected == nil {
			d.fail(path+".transaction_hash", "missing")
		}
		b.Transactions = append(b.Transactions, t)
	})
	o.each("transaction_receipts", func(path string, raw json.RawMessage) {
		if b.Pending && string(raw) == "null" {
			return // a candidate, which has not run
		}
		b.Receipts = append(b.Receipts, d.receipt(path, raw, b.L2Gas))
	})
	h.TransactionCount = uint64(len(b.Transactions))
	for i := range b.Receipts {
		h.EventCount += uint64(len(b.Receipts[i].Events))
	}
	return b
}

func (o *object) commitments(h *starknet.Header, v starknet.Version) {
	h.TransactionCommitment = o.felt("transaction_commitment")
	h.EventCommitment = o.felt("event_commitment")
	h.ReceiptCommitment = o.felt("receipt_commitment")
	h.StateDiffCommitment = o.felt("state_diff_commitment")
	h.StateDiffLength = o.uint("state_diff_length")
	switch mode := o.string("l1_da_mode"); mode {
	case "BLOB":
		h.BlobDA = true
	case "CALLDATA":
	default:
		o.d.fail(o.at("l1_da_mode"), "unknown mode %.20q", mode)
	}
	h.GasPrices.L1 = o.price("l1_gas_price")
	h.GasPrices.L1Data = o.price("l1_data_gas_price")
	if !v.Before(starknet.V0_13_4) || o.has("l2_gas_price") { // hashed since 0.13.4
		h.GasPrices.L2 = o.price("l2_gas_price")
	}
}

func (o *object) price(key string) starknet.GasPrice {
	p := o.object(key)
	defer p.close()
	return starknet.GasPrice{Wei: p.uint128("price_in_wei"), Fri: p.uint128("price_in_fri")}
}

func (d *decoder) receipt(path string, raw json.RawMessage, l2 bool) Receipt {
	o := d.object(path, raw)
	defer o.close()
	r := Receipt{Index: o.uint("transaction_index")}
	r.Hash = o.felt("transaction_hash")
	r.Fee = o.felt("actual_fee")
	o.each("events", func(path string, raw json.RawMessage) {
		e := d.object(path, raw)
		r.Events = append(r.Events, starknet.Event{From: e.felt("from_address"), Keys: e.felts("keys"), Data: e.felts("data")})
		e.close()
	})
	o.each("l2_to_l1_messages", func(path string, raw json.RawMessage) {
		m := d.object(path, raw)
		r.Messages = append(r.Messages, starknet.Message{From: m.felt("from_address"), To: m.felt("to_address"), Payload: m.felts("payload")})
		m.close()
	})
	if o.has("revert_error") {
		r.RevertReason = o.string("revert_error")
	}
	switch status := o.statusOr("SUCCEEDED"); status {
	case "SUCCEEDED":
		if r.RevertReason != "" {
			d.fail(o.at("execution_status"), "SUCCEEDED, but there is a revert_error")
		}
	case "REVERTED":
		r.Reverted = true
	default:
		d.fail(o.at("execution_status"), "unknown status %.20q", status)
	}
	if raw, ok := o.take("execution_resources"); ok {
		x := d.object(o.at("execution_resources"), raw)
		if x.has("total_gas_consumed") {
			g := x.object("total_gas_consumed")
			r.Gas = starknet.Gas{L1: g.uint("l1_gas"), L1Data: g.uint("l1_data_gas")}
			if l2 && g.has("l2_gas") {
				r.Gas.L2 = g.uint("l2_gas") // not hashed
			}
			g.close()
		}
		x.close()
	}
	if raw, ok := o.take("l1_to_l2_consumed_message"); ok {
		m := d.object(o.at("l1_to_l2_consumed_message"), raw)
		r.Consumed = &Consumed{From: m.felt("from_address"), To: m.felt("to_address"), Selector: m.felt("selector"), Payload: m.felts("payload")}
		if m.has("nonce") {
			r.Consumed.Nonce = m.felt("nonce")
		}
		m.close()
	}
	return r
}

func (o *object) statusOr(otherwise string) string {
	if !o.has("execution_status") {
		return otherwise // blocks from before reverted transactions were kept
	}
	return o.string("execution_status")
}
