package load

import (
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// account is one sender. Its transactions go out in the order of their nonces, one request at a time: nodes reject what
// comes ahead of its predecessor, and some reject it for ever.
type account struct {
	identity
	index int
	first uint64 // nonce of its transaction number 0

	mu     sync.Mutex
	stock  []signed    // signed and not sent; stock[0] is transaction number sent
	sent   uint64      // answered with a hash
	due    []time.Time // transactions that are to go out now, with the moment from which their time counts
	held   bool        // a sender has it, or it waits in the queue of those that have something to send
	fails  int         // rejections in a row
	missed bool        // it gave up
}

// want makes a transaction due. It returns true when the account has to be queued.
func (a *account) want(at time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due = append(a.due, at)
	return a.queue()
}

func (a *account) queue() bool {
	if a.held || a.missed || len(a.due) == 0 {
		return false
	}
	a.held = true
	return true
}

// release gives the account back; true when it has to be queued again.
func (a *account) release() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held = false
	return a.queue()
}

// flight is a transaction that was handed to the node, or is about to be.
type flight struct {
	account *account
	n       uint64
	hash    felt.Felt
	due     time.Time
	tx      unsigned
	signed  signed
}

// next takes up to n due transactions; they stay due until they are answered for.
func (a *account) next(n int, w workload, s *signer, late func(int)) []flight {
	a.mu.Lock()
	defer a.mu.Unlock()
	n = min(n, len(a.due))
	if missing := n - len(a.stock); missing > 0 {
		late(missing)
		a.stock = append(a.stock, s.signMany(a.transactions(w, a.sent+uint64(len(a.stock)), missing))...)
	}
	list := make([]flight, n)
	for i, tx := range a.transactions(w, a.sent, n) {
		list[i] = flight{account: a, n: a.sent + uint64(i), hash: a.stock[i].hash, due: a.due[i], tx: tx, signed: a.stock[i]}
	}
	return list
}

// transactions lists n of them from number on.
func (a *account) transactions(w workload, number uint64, n int) []unsigned {
	list := make([]unsigned, n)
	for i := range list {
		at := number + uint64(i)
		list[i] = unsigned{sender: a.Address, key: a.Private, nonce: a.first + at, calldata: client.Multicall(w.calls(a.index, at)...)}
	}
	return list
}

// took: the node has the first n of them.
func (a *account) took(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent += uint64(n)
	a.due, a.stock = a.due[n:], a.stock[n:]
	if n > 0 {
		a.fails = 0
	}
}

// refusalsMost is how often in a row an account's transaction is rejected before the account gives up.
const refusalsMost = 100

// refused counts a rejection; false when the account gives up.
func (a *account) refused() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fails++
	a.missed = a.fails >= refusalsMost
	return !a.missed
}
