package subscriptions

import (
	"bytes"

	"github.com/ordo-sequencer/ordo/core/chainview"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Key is a hash, an address or a key of an event.
type Key = felt.Key

// Kind is what a subscription is about.
type Kind uint8

// The kinds of subscriptions.
const (
	NewHeads Kind = iota
	Events
	TransactionStatus
	Receipts
	Transactions
	kinds
)

// Method is the name of the notifications of a kind.
func (k Kind) Method() string {
	return [kinds]string{"starknet_subscriptionNewHeads", "starknet_subscriptionEvents", "starknet_subscriptionTransactionStatus",
		"starknet_subscriptionNewTransactionReceipts", "starknet_subscriptionNewTransaction"}[k]
}

// Finalities is a set of statuses.
type Finalities uint8

// Of makes a set.
func Of(list ...chainview.Status) (set Finalities) {
	for _, f := range list {
		set |= 1 << f
	}
	return set
}

// Has tells whether a status is in the set.
func (set Finalities) Has(f chainview.Status) bool { return set&(1<<f) != 0 }

// EventFilter says which events are wanted.
type EventFilter struct {
	Addresses map[Key]bool // of contracts; empty: any
	Keys      [][]Key      // by position; an empty position allows any key
}

// Matches tells whether an event is wanted.
func (q *EventFilter) Matches(e *ordov1.Event) bool {
	if len(q.Addresses) > 0 && (len(e.FromAddress) != felt.Size || !q.Addresses[Key(e.FromAddress)]) {
		return false
	}
	if len(e.Keys) < len(q.Keys)*felt.Size {
		return false
	}
	for i, allowed := range q.Keys {
		found := len(allowed) == 0
		for _, k := range allowed {
			found = found || bytes.Equal(k[:], e.Keys[i*felt.Size:(i+1)*felt.Size])
		}
		if !found {
			return false
		}
	}
	return true
}

// Request is what a client subscribes to.
type Request struct {
	Kind       Kind
	Form       Form
	Hash       Key          // TransactionStatus: of the transaction
	Events     EventFilter  // Events
	Senders    map[Key]bool // Receipts, Transactions: empty: any
	Finalities Finalities   // Events, Receipts, Transactions
}

// State is where a subscription stands.
type State uint8

// The states of a subscription.
const (
	Backfilling State = iota + 1 // accepted blocks are read from storage
	Live                         // it is told what changes
	Ended                        // it is told nothing any more
)

// Subscription is one subscription of one connection.
type Subscription struct {
	Request
	ID    string
	Owner any // the connection; the hub does not look at it

	state State
	since uint64 // the last change that it knows already
	next  uint64 // the first accepted block that it has not been told
	told  *Status
}

// State tells where the subscription stands.
func (s *Subscription) State() State { return s.state }

// index finds the subscriptions that an address concerns.
type index struct {
	any []*Subscription
	of  map[Key][]*Subscription
}

func (x *index) add(s *Subscription, addresses map[Key]bool) {
	if len(addresses) == 0 {
		x.any = append(x.any, s)
		return
	}
	if x.of == nil {
		x.of = map[Key][]*Subscription{}
	}
	for a := range addresses {
		x.of[a] = append(x.of[a], s)
	}
}

func (x *index) remove(s *Subscription, addresses map[Key]bool) {
	x.any = without(x.any, s)
	for a := range addresses {
		removeFrom(x.of, a, s)
	}
}

func removeFrom(of map[Key][]*Subscription, k Key, s *Subscription) {
	if rest := without(of[k], s); len(rest) > 0 {
		of[k] = rest
	} else {
		delete(of, k)
	}
}

// at returns those without addresses, and those that name this one.
func (x *index) at(address []byte) [2][]*Subscription {
	if len(x.of) == 0 || len(address) != felt.Size {
		return [2][]*Subscription{x.any, nil}
	}
	return [2][]*Subscription{x.any, x.of[Key(address)]}
}

func (x *index) empty() bool { return len(x.any) == 0 && len(x.of) == 0 }

func without(list []*Subscription, s *Subscription) []*Subscription {
	for i := range list {
		if list[i] == s {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}
