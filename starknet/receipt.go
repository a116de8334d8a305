package starknet

import (
	"sync"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// Event is one event of a transaction.
type Event struct {
	From       felt.Felt
	Keys, Data []felt.Felt
}

// Message is one message to L1.
type Message struct {
	From    felt.Felt
	To      felt.Felt // an L1 address
	Payload []felt.Felt
}

// Gas is what a transaction consumed.
type Gas struct{ L1, L1Data, L2 uint64 }

// Receipt is what the block says about the run of a transaction. L2 gas is not hashed.
type Receipt struct {
	Hash         felt.Felt // of the transaction
	Fee          felt.Felt
	Messages     []Message
	Events       []Event
	Reverted     bool
	RevertReason string // exact text, hashed
	Gas          Gas
}

// leaf lists what the receipt's leaf in the receipt commitment hashes.
func (r *Receipt) leaf() []felt.Felt {
	messages := noMessages()
	if len(r.Messages) > 0 {
		messages = r.messages()
	}
	var reason felt.Felt
	if r.Reverted {
		reason = keccak.Sum([]byte(r.RevertReason))
	}
	return []felt.Felt{r.Hash, r.Fee, messages, reason, felt.Zero(), num(r.Gas.L1), num(r.Gas.L1Data)}
}

// noMessages is what nearly all receipts have: the hash of a count of 0.
var noMessages = sync.OnceValue((&Receipt{}).messages)

func (r *Receipt) messages() felt.Felt {
	var s poseidon.Sponge
	s.Write(num(len(r.Messages)))
	for _, m := range r.Messages {
		s.Write(m.From, m.To, num(len(m.Payload)))
		s.Write(m.Payload...)
	}
	return s.Sum()
}

func (e *Event) leaf(tx felt.Felt) []felt.Felt {
	out := make([]felt.Felt, 0, 4+len(e.Keys)+len(e.Data))
	out = append(out, e.From, tx, num(len(e.Keys)))
	out = append(out, e.Keys...)
	out = append(out, num(len(e.Data)))
	return append(out, e.Data...)
}
