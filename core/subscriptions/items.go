package subscriptions

import (
	"sync/atomic"

	"github.com/ordo-sequencer/ordo/core/chainview"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Item is what a notification tells: a Head, Event, Receipt, Transaction, Status or Reorg.
type Item interface{ item() }

// Head is the header of an accepted block.
type Head struct{ Header *ordov1.BlockHeader }

// Event is an event with its place. Hash is empty in a block without a root.
type Event struct {
	Number         uint64
	Hash, TxHash   []byte
	TxIndex, Index int
	Event          *ordov1.Event
	Finality       chainview.Status
}

// Receipt is how a transaction ended. Hash is empty in a block without a root.
type Receipt struct {
	Number   uint64
	Hash     []byte
	Tx       *ordov1.Transaction
	Result   *ordov1.TransactionResult
	Finality chainview.Status
}

// Transaction is a transaction and how far it got.
type Transaction struct {
	Tx       *ordov1.Transaction
	Finality chainview.Status
}

// Status is how far the transaction of a hash got. Result is nil before PRE_CONFIRMED.
type Status struct {
	Hash     Key
	Finality chainview.Status
	Result   *ordov1.TransactionResult
}

// Reorg is a range of accepted blocks that are not in the chain any more.
type Reorg struct {
	First, Last         uint64
	FirstHash, LastHash []byte
}

func (Head) item()        {}
func (Event) item()       {}
func (Receipt) item()     {}
func (Transaction) item() {}
func (Status) item()      {}
func (Reorg) item()       {}

// Form is how an item is written: two subscribers with the same form read the same text.
type Form struct {
	Version    string // of the specification
	ProofFacts bool   // transactions have their proof_facts
}

// Encode writes an item as JSON.
type Encode func(Form, Item) []byte

// Fragment is the text of an item, shared by all that are told it.
type Fragment struct {
	Text []byte
	// Held is how many queues hold it. It belongs to the queues.
	Held atomic.Int32
}

// Notification is one item for one subscriber.
type Notification struct {
	To    *Subscription
	Text  *Fragment
	Reorg bool // it is a reorganization, else it is of the subscription's kind
}

// Method is the name of the notification in the specification.
func (n Notification) Method() string {
	if n.Reorg {
		return ReorgMethod
	}
	return n.To.Kind.Method()
}

// ReorgMethod is the notification that every kind of subscription may get.
const ReorgMethod = "starknet_subscriptionReorg"

// shared encodes an item when it is first needed, once for each form.
type shared struct {
	encode Encode
	item   Item
	forms  []Form
	texts  []*Fragment
}

func (s *shared) in(form Form) *Fragment {
	for i, f := range s.forms {
		if f == form {
			return s.texts[i]
		}
	}
	text := &Fragment{Text: s.encode(form, s.item)}
	s.forms, s.texts = append(s.forms, form), append(s.texts, text)
	return text
}
