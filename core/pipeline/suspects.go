package pipeline

import (
	"fmt"
	"maps"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Bounds of what is remembered of transactions that may end execution, and for how long.
const (
	maxSuspects = 4096
	maxParties  = 1024
	rememberMs  = 600_000
)

// cause is what is known of why execution, or the stream of a build, ended.
type cause struct {
	why    string
	weight int
	shared bool // calls of clients ran beside the build: it may have been one of them
}

// crashes is what is remembered of the transactions that may end execution.
type crashes struct {
	suspects map[mempool.Key]*suspicion // by hash
	parties  map[mempool.Key]party
}

func (c *crashes) any() bool { return len(c.suspects) > 0 || len(c.parties) > 0 }

// suspicion is what speaks against a transaction: execution ended while it had this one and had not answered it.
type suspicion struct {
	ends  int
	score int // certain: it is the cause
}

// party is an account, a called contract or a deployed class of a transaction that ended execution. Transactions that name it
// are handed over alone, so that the next one of their kind costs one end of execution and no search.
type party struct {
	until   uint64 // ms
	account bool   // else it is forgotten as soon as a transaction that names it has run
}

// recordCrash notes an end of execution against the transactions that it had not answered, and drops the one that is found to be
// the cause. The first end finds those in question; they are handed over one by one then, in whatever attempt they come
// again, so that the next end has one of them alone.
func (m *Machine) recordCrash(a *attempt, in span, c cause) error {
	a.resume.unexplained = span{}
	given := a.given()
	low, up := in.low, min(in.up, len(given))
	if low >= up {
		return nil
	}
	alone := up-low == 1 && !c.shared
	if len(m.crashes.suspects)+up-low > maxSuspects {
		clear(m.crashes.suspects)
	}
	for _, item := range given[low:up] {
		hash := mempool.Key(item.Tx.Hash)
		s := m.crashes.suspects[hash]
		if s == nil {
			s = &suspicion{}
			if m.crashes.suspects == nil {
				m.crashes.suspects = map[mempool.Key]*suspicion{}
			}
			m.crashes.suspects[hash] = s
			if alone && m.namesSuspectParty(item.Tx) {
				s.score = failedWeight
			}
		}
		s.ends++
		if alone {
			s.score += c.weight
		} else {
			s.score = max(s.score, c.weight)
		}
	}
	if c.weight < failedWeight { // an end from outside hits another transaction each time: nothing is left against those before
		in := map[mempool.Key]bool{}
		for _, item := range given[low:up] {
			in[mempool.Key(item.Tx.Hash)] = true
		}
		maps.DeleteFunc(m.crashes.suspects, func(hash mempool.Key, _ *suspicion) bool { return !in[hash] })
	}
	if s := m.crashes.suspects[mempool.Key(given[low].Tx.Hash)]; alone && s.score >= certain {
		return m.dropCulprit(a, low, fmt.Sprintf("execution ended %s while running this transaction: %s", times(s.ends), c.why))
	}
	return nil
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// isolate cuts a chunk so that a transaction in question is handed over with nothing beside it; none: it has to wait.
func (m *Machine) isolate(a *attempt, chunk []Item) []Item {
	if !m.crashes.any() {
		return chunk
	}
	busy := len(a.items) > len(a.results)
	if busy && m.questionable(a.items[len(a.items)-1].Tx) {
		return nil
	}
	for i, item := range chunk {
		switch {
		case !m.questionable(item.Tx):
		case i > 0:
			return chunk[:i]
		case busy:
			return nil
		default:
			return chunk[:1]
		}
	}
	return chunk
}

func (m *Machine) questionable(tx *ordov1.Transaction) bool {
	return m.crashes.suspects[mempool.Key(tx.Hash)] != nil || m.namesSuspectParty(tx)
}

// clearSuspect forgets what speaks against a transaction: it ran, and execution is still there.
func (m *Machine) clearSuspect(tx *ordov1.Transaction, r *ordov1.TransactionResult) {
	delete(m.crashes.suspects, mempool.Key(tx.Hash))
	if len(m.crashes.parties) == 0 || r.Status == ordov1.TransactionResult_REJECTED {
		return
	}
	for _, key := range parties(tx)[1:] {
		if p, ok := m.crashes.parties[key]; ok && !p.account {
			delete(m.crashes.parties, key)
		}
	}
}

// remember keeps what a transaction that ended execution names.
func (m *Machine) remember(tx *ordov1.Transaction) {
	if len(m.crashes.parties) >= maxParties {
		maps.DeleteFunc(m.crashes.parties, func(_ mempool.Key, p party) bool { return p.until <= m.now })
	}
	if len(m.crashes.parties) >= maxParties {
		clear(m.crashes.parties)
	}
	if m.crashes.parties == nil {
		m.crashes.parties = map[mempool.Key]party{}
	}
	for i, key := range parties(tx) {
		m.crashes.parties[key] = party{m.now + rememberMs, i == 0}
	}
}

// namesSuspectParty says whether the transaction names a party of one that ended execution.
func (m *Machine) namesSuspectParty(tx *ordov1.Transaction) bool {
	if len(m.crashes.parties) == 0 {
		return false
	}
	for _, key := range parties(tx) {
		if p, ok := m.crashes.parties[key]; ok {
			if p.until > m.now {
				return true
			}
			delete(m.crashes.parties, key)
		}
	}
	return false
}

// mostCalls bounds what is remembered of one transaction.
const mostCalls = 8

// parties of a transaction: the account, or the contract of a message from L1, first, then what it calls, or the class that it deploys.
func parties(tx *ordov1.Transaction) []mempool.Key {
	keys := []mempool.Key{keyOf(tx.Sender)}
	if tx.Type == ordov1.TransactionType_DEPLOY_ACCOUNT {
		return append(keys, keyOf(tx.ClassHash))
	}
	for _, call := range mempool.Calls(tx) {
		if keys = append(keys, keyOf(call.To)); len(keys) > mostCalls {
			break
		}
	}
	return keys
}

func keyOf(felt []byte) (key mempool.Key) {
	copy(key[:], felt)
	return key
}

// Searching says whether execution has ended, or may end again, over what the open attempt has: until those in question have
// run, nothing else should run beside them in the process, or the cause of the next end would not be known.
func (m *Machine) Searching() bool {
	a := m.open
	if a == nil || len(m.crashes.suspects) == 0 && a.resume.closings == 0 {
		return false
	}
	working := a.state.waiting() || a.state.streaming()
	if a.resume.closings > 0 && (working || a.state == closing) {
		return true
	}
	if !working {
		return false
	}
	for _, item := range a.given()[min(len(a.results), len(a.given())):] {
		if m.crashes.suspects[mempool.Key(item.Tx.Hash)] != nil {
			return true
		}
	}
	return false
}
