// Package feeder reads the JSON of Starknet's feeder gateway: blocks, state updates, transactions and classes.
// Also files with both, compiled classes, and the published lists of transactions with their hashes.
//
// A decoded file remembers which of its fields were not read: a verifier must be able to say what it does not cover.
package feeder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// ErrShape means that the JSON is none of the known shapes.
var ErrShape = errors.New("not a block, state update, transaction, class or list of transaction hashes")

// File is what one file holds; several fields are set where it holds several things.
type File struct {
	Kind         string // block, state update, block and state update, transaction, transactions, class, ...
	Block        *Block
	Update       *StateUpdate
	Transactions []Transaction // outside of a block
	Sierra       *starknet.SierraClass
	Compiled     *starknet.CompiledClass
	Deprecated   *starknet.DeprecatedClass
	Place        *Place   // of the one transaction
	Unread       []string // fields that hold something and were not read
}

// Place is where a file says that its transaction is.
type Place struct {
	BlockHash felt.Felt
	Index     uint64
}

// Decode reads a file of any of the shapes, gzipped or not.
func Decode(data []byte) (*File, error) {
	if len(data) > 2 && data[0] == 0x1f && data[1] == 0x8b {
		var err error
		if data, err = Inflate(data); err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // a byte order mark, which some editors write
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("json: the file is empty")
	}
	in := json.NewDecoder(bytes.NewReader(data))
	var raw json.RawMessage
	if err := in.Decode(&raw); err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("json: something follows the first value")
	}

	raw = bytes.TrimSpace(raw)
	if err := duplicate(raw); err != nil {
		return nil, err
	}
	d := newDecoder()
	f := new(File)
	if raw[0] == '[' {
		f.Kind, f.Transactions = "transaction hashes", d.vectors(raw)
		if !listed(raw) || d.err == nil && len(f.Transactions) == 0 {
			return nil, ErrShape
		}
	} else if !f.object(d, raw) {
		return nil, ErrShape
	}
	f.Unread = d.unreadFields()
	return f, d.err
}

// listed reports whether a list holds transactions with their hashes, as far as its first element shows.
func listed(raw json.RawMessage) bool {
	var list []map[string]json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return false
	}
	_, ok := list[0]["transaction"]
	return ok
}

// object recognises a file by the fields that only its shape has.
func (f *File) object(d *decoder, raw json.RawMessage) bool {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return false
	}
	has := func(names ...string) bool {
		for _, n := range names {
			if _, ok := fields[n]; !ok {
				return false
			}
		}
		return true
	}
	switch {
	case has("block", "state_update"):
		f.Kind = "block and state update"
		f.Block = d.block("block", fields["block"])
		if f.Block.Pending {
			f.Kind = "pending block and state update"
			d.leave("state_update") // it has no new root to check it by
		} else {
			f.Update = d.stateUpdate("state_update", fields["state_update"])
		}
	case has("transactions", "new_root"):
		f.Kind = "JSON-RPC block"
		d.fail("", "a block as the JSON-RPC API has it: verify reads the feeder gateway's form")
	case has("pre_confirmed_block"):
		f.Kind, f.Block = "pre-confirmed block", d.block("pre_confirmed_block", fields["pre_confirmed_block"])
	case has("transactions", "block_hash"):
		f.Kind, f.Block = "block", d.block("", raw)
	case has("transactions", "transaction_receipts"):
		f.Kind, f.Block = "pre-confirmed block", d.block("", raw)
	case has("state_diff", "new_root"):
		f.Kind, f.Update = "state update", d.stateUpdate("", raw)
	case has("transaction"):
		f.Kind = "transaction"
		o := d.object("", raw)
		f.Transactions = []Transaction{d.transaction("transaction", o.need("transaction"))}
		if o.has("block_hash") && o.has("transaction_index") {
			f.Place = &Place{BlockHash: o.felt("block_hash"), Index: o.uint("transaction_index")}
		}
		o.close()
	case has("transaction_hash", "type") && !has("actual_fee"): // that would be a receipt
		f.Kind, f.Transactions = "transaction", []Transaction{d.transaction("", raw)}
	case has("sierra_program"):
		f.Kind, f.Sierra = "class", d.sierra(raw)
	case has("bytecode", "entry_points_by_type"):
		f.Kind, f.Compiled = "compiled class", d.compiled(raw)
	case has("program", "entry_points_by_type"):
		f.Kind, f.Deprecated = "deprecated class", d.deprecated(raw)
	default:
		return false
	}
	return true
}
