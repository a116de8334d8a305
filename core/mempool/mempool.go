// Package mempool holds every admitted transaction until it leaves: in a block, rejected, replaced, evicted or expired.
//
// It keeps one nonce chain per account. Only the next transaction of a chain is ready, so an ordering policy never has to
// know about nonces: it scores, and the pool hands out the best ready transaction, L1 handlers first. Taken transactions
// are leased to an attempt; a lost attempt rewinds and they stand where they stood.
//
// The pool is pure: no goroutine, no lock, no clock. The caller passes the time and keeps calls apart.
package mempool

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Reasons why a transaction is not taken in, or leaves without a block.
var (
	ErrMalformed   = errors.New("malformed transaction")
	ErrDuplicate   = errors.New("transaction is in the pool already")
	ErrUnderpriced = errors.New("another transaction with this nonce waits: replace it with a higher tip and l2 gas price")
	ErrExecuting   = errors.New("another transaction with this nonce is being executed")
	ErrNonceTooOld = errors.New("nonce is used already")
	ErrNonceTooFar = errors.New("nonce is too far ahead of the account's")
	ErrFull        = errors.New("pool is full")
	ErrShare       = errors.New("the account's transactions have their share of the pool: wait until some are in a block")

	ErrReplaced = errors.New("replaced by a transaction that pays more")
	ErrEvicted  = errors.New("evicted: the pool is full and an earlier nonce of the account is missing")
	ErrExpired  = errors.New("expired before it could enter a block")
)

// Key is a hash or an address.
type Key = felt.Key

// Options bound the pool. A zero field takes the default.
type Options struct {
	MaxBytes     int           // of all transactions with their classes; 1 GiB
	AccountBytes int           // of those of one account; 64 MiB
	MaxNonceGap  uint64        // how far a nonce may be ahead of the account's; 200
	BumpPercent  uint64        // what a replacement must add to tip and l2 gas price; 10
	TTL          time.Duration // how long a transaction waits; 0: for ever
}

// DefaultOptions are what zero fields stand for.
func DefaultOptions() Options {
	return Options{MaxBytes: 1 << 30, AccountBytes: 64 << 20, MaxNonceGap: 200, BumpPercent: 10}
}

// Entry is one transaction in the pool. The exported fields never change.
type Entry struct {
	// What a block needs of those that it takes comes first, side by side: in a large pool nothing of it is in a cache.
	account    *account // nil for an L1 handler
	stamp      uint64   // of its item in the ready heap; 0: not ready
	lease      uint64   // attempt that has it; 0: none
	hi, lo     uint64
	Nonce      uint64
	Seq        uint64 // order of arrival
	scored     bool
	fallback   bool // the score is a stand-in: the policy was late or down
	queued     bool // waits in the scoring queue
	gone       bool
	Hash       Key
	prev, next *Entry // by arrival
	Size       int    // encoded bytes

	Tx      *ordov1.Transaction
	Class   *ordov1.Class // what a DECLARE brings, compiled
	Sender  Key
	Arrival time.Time
}

// Dropped tells that a transaction left the pool without a block.
type Dropped struct {
	Hash   Key
	Why    error
	Sender []byte // of one that execution rejected
}

// Pool is the pool. Make one with New.
type Pool struct {
	options  Options
	txs      map[Key]*Entry
	accounts map[Key]*account
	ready    heap
	leases   map[uint64][]*Entry
	arrivals list
	unscored []*Entry
	gaps     gaps
	recent   recent

	bytes      int
	leased     int
	seq        uint64
	generation uint64
}

// New returns an empty pool.
func New(options Options) *Pool {
	d := DefaultOptions()
	if options.MaxBytes == 0 {
		options.MaxBytes = d.MaxBytes
	}
	if options.AccountBytes == 0 {
		options.AccountBytes = d.AccountBytes
	}
	if options.MaxNonceGap == 0 {
		options.MaxNonceGap = d.MaxNonceGap
	}
	if options.BumpPercent == 0 {
		options.BumpPercent = d.BumpPercent
	}
	return &Pool{options: options, txs: map[Key]*Entry{}, accounts: map[Key]*account{}, leases: map[uint64][]*Entry{}}
}

// Add takes a transaction in. accountNonce is the sender's nonce at the tip, as far as the caller knows. It owns tx and
// class from now on. The transactions that had to make room, or that turned out to be stale, come back in dropped, also
// beside an error. The new one is ready only when it is scored.
func (p *Pool) Add(now time.Time, tx *ordov1.Transaction, class *ordov1.Class, accountNonce uint64) (e *Entry, dropped []Dropped, err error) {
	e, err = newEntry(now, tx, class)
	if err != nil {
		return nil, nil, err
	}
	dropped = p.Expire(now)
	if p.txs[e.Hash] != nil {
		return nil, dropped, ErrDuplicate
	}
	if e.Tx.Type == ordov1.TransactionType_L1_HANDLER {
		if p.bytes+e.Size > p.options.MaxBytes {
			if p.gaps.bytes < p.bytes+e.Size-p.options.MaxBytes {
				return nil, dropped, ErrFull
			}
			dropped = append(dropped, p.evict(p.bytes+e.Size-p.options.MaxBytes, nil)...)
		}
		p.insert(e)
		return e, dropped, nil
	}

	a := p.accounts[e.Sender]
	known := a != nil
	if !known {
		a = &account{address: e.Sender, committed: accountNonce, staged: accountNonce, end: accountNonce}
	} else if accountNonce > a.committed {
		for _, e := range p.advance(a, accountNonce) {
			dropped = append(dropped, tooOld(e))
		}
	}
	old, err := p.admissible(a, e)
	if err != nil {
		p.forget(a)
		return nil, dropped, err
	}
	if need := p.bytes + e.Size - sizeOf(old) - p.options.MaxBytes; need > 0 {
		// A new transaction that waits for another nonce cannot push out another: it may never run.
		if e.Nonce > a.end || p.gaps.bytes-a.gapBytes < need {
			p.forget(a)
			return nil, dropped, ErrFull
		}
		dropped = append(dropped, p.evict(need, a)...)
	}
	if old != nil {
		p.remove(old)
		dropped = append(dropped, Dropped{Hash: old.Hash, Why: ErrReplaced})
	}
	if !known || old != nil { // what left may have been all that the account had
		p.accounts[e.Sender] = a
	}
	e.account = a
	p.insert(e)
	return e, dropped, nil
}

// AddError says why Add would reject at this moment, nil when it would not, or cannot be told without a change. It changes
// nothing: the gateway asks before it writes the admission to the journal.
func (p *Pool) AddError(tx *ordov1.Transaction, class *ordov1.Class, accountNonce uint64) error {
	e, err := newEntry(time.Time{}, tx, class)
	if err != nil {
		return err
	}
	if p.txs[e.Hash] != nil {
		return ErrDuplicate
	}
	if e.Tx.Type == ordov1.TransactionType_L1_HANDLER {
		return nil
	}
	a := p.accounts[e.Sender]
	switch {
	case a == nil:
		a = &account{committed: accountNonce, end: accountNonce}
	case accountNonce > a.committed:
		return nil
	}
	_, err = p.admissible(a, e)
	return err
}

// Restore is Add for what was in the pool before a restart: it fitted then, so no limit rejects it now, and its time to wait
// begins anew.
func (p *Pool) Restore(now time.Time, tx *ordov1.Transaction, class *ordov1.Class, accountNonce uint64) (*Entry, []Dropped, error) {
	kept := p.options
	defer func() { p.options = kept }()
	p.options.MaxBytes, p.options.AccountBytes, p.options.MaxNonceGap = math.MaxInt, math.MaxInt, math.MaxUint64
	return p.Add(now, tx, class, accountNonce)
}

// admissible says whether the chain can take the new transaction, and which transaction it would replace.
func (p *Pool) admissible(a *account, e *Entry) (old *Entry, err error) {
	if e.Nonce < a.committed {
		return nil, fmt.Errorf("%w: account nonce is %d", ErrNonceTooOld, a.committed)
	}
	if e.Nonce-a.committed > p.options.MaxNonceGap {
		return nil, fmt.Errorf("%w: account nonce is %d, at most %d beyond it is taken", ErrNonceTooFar, a.committed, p.options.MaxNonceGap)
	}
	old = a.find(e.Nonce)
	// One transaction at a time always fits: an account with nothing here gets a class of any size in.
	if size := a.bytes + e.Size - sizeOf(old); size > p.options.AccountBytes && size > e.Size {
		return nil, fmt.Errorf("%w (%d of %d bytes)", ErrShare, size-e.Size, p.options.AccountBytes)
	}
	if old == nil {
		return nil, nil
	}
	if old.lease != 0 {
		return nil, ErrExecuting
	}
	if !p.outbids(new(big.Int).SetUint64(e.Tx.Tip), new(big.Int).SetUint64(old.Tx.Tip)) ||
		!p.outbids(new(big.Int).SetBytes(e.Tx.ResourceBounds.GetL2GasPrice()), new(big.Int).SetBytes(old.Tx.ResourceBounds.GetL2GasPrice())) {
		return nil, fmt.Errorf("%w, each by %d %%", ErrUnderpriced, p.options.BumpPercent)
	}
	return old, nil
}

// outbids: next >= old + ceil(percent of old), in whole numbers.
func (p *Pool) outbids(next, old *big.Int) bool {
	next.Mul(next, big.NewInt(100))
	old.Mul(old, new(big.Int).SetUint64(100+p.options.BumpPercent))
	return next.Cmp(old) >= 0
}

func newEntry(now time.Time, tx *ordov1.Transaction, class *ordov1.Class) (*Entry, error) {
	e := &Entry{Tx: tx, Class: class, Arrival: now, Size: proto.Size(tx)}
	if class != nil {
		e.Size += proto.Size(class)
	}
	if len(tx.Hash) != len(e.Hash) || len(tx.Sender) != len(e.Sender) {
		return nil, fmt.Errorf("%w: hash or sender is not 32 bytes", ErrMalformed)
	}
	e.Hash, e.Sender = Key(tx.Hash), Key(tx.Sender)
	if tx.Type == ordov1.TransactionType_L1_HANDLER {
		return e, nil
	}
	var ok bool
	if e.Nonce, ok = Nonce(tx.Nonce); !ok {
		return nil, ErrNonceTooFar
	}
	return e, nil
}

// Nonce reads a nonce; no account ever reaches one that needs more than 64 bits, and ok is false for those.
func Nonce(b []byte) (n uint64, ok bool) {
	for len(b) > 8 {
		if b[0] != 0 {
			return 0, false
		}
		b = b[1:]
	}
	var full [8]byte
	copy(full[8-len(b):], b)
	return binary.BigEndian.Uint64(full[:]), true
}

func sizeOf(e *Entry) int {
	if e == nil {
		return 0
	}
	return e.Size
}

func (p *Pool) insert(e *Entry) {
	p.seq++
	e.Seq = p.seq
	p.txs[e.Hash] = e
	p.bytes += e.Size
	p.arrivals.push(e)
	p.enqueue(e)
	if a := e.account; a != nil {
		a.insert(e)
		p.regap(a) // nothing to restage: without a score it is not ready
	}
}

// remove takes an entry out of everything. A leased one leaves its lease when that is rewound or its block is committed.
func (p *Pool) remove(e *Entry) {
	p.unlink(e)
	if a := e.account; a != nil {
		a.remove(e)
		p.regap(a)
		p.restage(a)
		p.forget(a)
	}
}

// unlink takes an entry out of everything but its chain.
func (p *Pool) unlink(e *Entry) {
	delete(p.txs, e.Hash)
	p.bytes -= e.Size
	p.arrivals.remove(e)
	p.ready.remove(e)
	if e.lease != 0 {
		p.leased--
	}
	e.gone = true
}

// Expire drops what has waited longer than the TTL; leased transactions stay.
func (p *Pool) Expire(now time.Time) (dropped []Dropped) {
	if p.options.TTL == 0 {
		return nil
	}
	for e := p.arrivals.first; e != nil && now.Sub(e.Arrival) >= p.options.TTL; {
		next := e.next
		if e.lease == 0 {
			p.remove(e)
			dropped = append(dropped, Dropped{Hash: e.Hash, Why: ErrExpired})
		}
		e = next
	}
	return dropped
}

// Get returns the entry of a hash, or nil.
func (p *Pool) Get(hash Key) *Entry { return p.txs[hash] }

// Len counts all transactions, Waiting those that are not leased, Ready those that could be taken at this moment (at
// most one per account). Bytes is the sum of sizes.
func (p *Pool) Len() int { return len(p.txs) }

// Waiting: see Len.
func (p *Pool) Waiting() int { return len(p.txs) - p.leased }

// Ready: see Len.
func (p *Pool) Ready() int { return p.ready.count() }

// Bytes: see Len.
func (p *Pool) Bytes() int { return p.bytes }

// NextNonce is the nonce that the account's next transaction should have, counting what waits here without a gap; ok is
// false when the pool knows nothing of the account.
func (p *Pool) NextNonce(address Key) (nonce uint64, ok bool) {
	a := p.accounts[address]
	if a == nil {
		return 0, false
	}
	return a.end, true
}

// Deploying says whether a DEPLOY_ACCOUNT of this address waits or is being executed.
func (p *Pool) Deploying(address Key) bool {
	a := p.accounts[address]
	return a != nil && len(a.chain) > 0 && a.chain[0].Tx.Type == ordov1.TransactionType_DEPLOY_ACCOUNT
}

// Snapshot lists everything in order of arrival.
func (p *Pool) Snapshot() []*Entry {
	all := make([]*Entry, 0, len(p.txs))
	for e := p.arrivals.first; e != nil; e = e.next {
		all = append(all, e)
	}
	return all
}

// State says where a transaction stands, for people: "ready", "leased", "unscored", "waits for nonce 7".
func (p *Pool) State(e *Entry) string {
	switch {
	case e.lease != 0:
		return "leased"
	case e.stamp != 0:
		return "ready"
	case e.account != nil && e.Nonce > e.account.end:
		return fmt.Sprintf("waits for nonce %d", e.account.end)
	case !e.scored:
		return "unscored"
	default:
		return fmt.Sprintf("after nonce %d", e.Nonce-1)
	}
}

// Hex prints a key the way Starknet does.
func Hex(k Key) string {
	i := 0
	for i < len(k)-1 && k[i] == 0 {
		i++
	}
	s := hex.EncodeToString(k[i:])
	if s[0] == '0' && len(s) > 1 {
		s = s[1:]
	}
	return "0x" + s
}
