package badger

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	lib "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/ristretto/v2/z"
)

// write is one change of a key; a nil value removes it.
type write struct {
	key, value []byte
}

// engine is the part of Badger that the store uses: point reads and iteration in a snapshot, and atomic batches.
type engine struct {
	db *lib.DB

	// Held for writing while one logical change is written in several transactions, and for reading while a snapshot is
	// taken: nobody sees a part of it.
	split sync.RWMutex
}

// maxUnborn bounds how many logs without content are mended at one start.
const maxUnborn = 8

// maxBatch is the share of Badger's own limit that one transaction may fill.
const maxBatch = 0.9

func openEngine(dir string, o Options) (*engine, error) {
	opts := lib.DefaultOptions(dir).
		WithSyncWrites(o.SyncWrites).
		WithMemTableSize(o.MemTableSize).
		WithNumMemtables(3).
		WithNumCompactors(2).
		WithDetectConflicts(false).       // there is one writer
		WithCompression(options.None).    // felts do not compress; blobs are compressed by us
		WithBlockCacheSize(0).            // tables are mapped and not compressed: a cache would hold them twice
		WithIndexCacheSize(o.IndexCache). // bounds the memory that table indexes take
		WithChecksumVerificationMode(options.OnTableAndBlockRead).
		WithMetricsEnabled(false).
		WithValueLogFileSize(64 << 20). // nothing goes there: every value is below the threshold
		WithLogger(badgerLog{o.Log})
	db, err := lib.Open(opts)
	// A process that was killed between creating a log and giving it a size leaves an empty file, one for each such death.
	// Badger refuses it, but only after it has made it whole: under the lock of the folder, so that the next try, which
	// finds nothing in it, is right.
	for range maxUnborn {
		if err == nil || !strings.Contains(err.Error(), z.NewFile.Error()) {
			break
		}
		db, err = lib.Open(opts)
	}
	if err != nil {
		return nil, fmt.Errorf("open database in %s: %w", dir, err)
	}
	return &engine{db: db}, nil
}

func (e *engine) close() error { return e.db.Close() }

// view is a snapshot of the database.
type view struct {
	txn  *lib.Txn
	done func() // told when the snapshot is closed; may be nil
}

func (e *engine) view() view {
	e.split.RLock()
	defer e.split.RUnlock()
	return view{txn: e.db.NewTransaction(false)}
}

func (v view) close() {
	v.txn.Discard()
	if v.done != nil {
		v.done()
	}
}

// get returns a copy of the value, nil when the key is not there.
func (v view) get(key []byte) ([]byte, error) {
	item, err := v.txn.Get(key)
	if errors.Is(err, lib.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %x: %w", key, err)
	}
	value, err := item.ValueCopy(nil)
	if err != nil {
		return nil, fmt.Errorf("read %x: %w", key, err)
	}
	if value == nil {
		value = []byte{}
	}
	return value, nil
}

// scan calls f for every key with the prefix, from `from` on, in order; f must not keep the slices. f stops the scan by
// returning false.
func (v view) scan(prefix, from []byte, keysOnly bool, f func(key, value []byte) (bool, error)) error {
	opt := lib.DefaultIteratorOptions
	opt.Prefix = prefix
	opt.PrefetchValues = false // values lie in the tables, beside their keys
	it := v.txn.NewIterator(opt)
	defer it.Close()
	if from == nil {
		from = prefix
	}
	for it.Seek(from); it.Valid(); it.Next() {
		item := it.Item()
		if keysOnly {
			if more, err := f(item.Key(), nil); err != nil || !more {
				return err
			}
			continue
		}
		more := true
		err := item.Value(func(value []byte) (err error) {
			more, err = f(item.Key(), value)
			return err
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// fits reports whether the writes go into one transaction.
func (e *engine) fits(writes []write) bool {
	size, count := e.limits()
	if int64(len(writes)) > count {
		return false
	}
	for _, w := range writes {
		size -= w.size()
	}
	return size > 0
}

func (e *engine) limits() (size, count int64) {
	return int64(maxBatch * float64(e.db.MaxBatchSize())), int64(maxBatch * float64(e.db.MaxBatchCount()))
}

func (w write) size() int64 { return int64(len(w.key)+len(w.value)) + 24 }

// apply writes one transaction; it is durable when apply returns (with sync writes). The slices belong to Badger until then.
func (e *engine) apply(writes []write) error {
	txn := e.db.NewTransaction(true)
	defer txn.Discard()
	for _, w := range writes {
		var err error
		if w.value == nil {
			err = txn.Delete(w.key)
		} else {
			err = txn.Set(w.key, w.value)
		}
		if err != nil {
			return fmt.Errorf("write %d entries: %w", len(writes), err)
		}
	}
	if err := txn.Commit(); err != nil {
		return fmt.Errorf("write %d entries: %w", len(writes), err)
	}
	return nil
}

// applySplit writes any number of entries, in as many transactions as it takes. It is not atomic.
func (e *engine) applySplit(writes []write) error {
	size, count := e.limits()
	for len(writes) > 0 {
		n, bytes := 0, int64(0)
		for n < len(writes) && int64(n) < count && bytes < size {
			bytes += writes[n].size()
			n++
		}
		if n > 1 && bytes >= size {
			n--
		}
		if err := e.apply(writes[:n]); err != nil {
			return err
		}
		writes = writes[n:]
	}
	return nil
}
