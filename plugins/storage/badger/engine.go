package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	lib "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// write is one change of a key; a nil value removes it.
type write struct {
	key, value []byte
}

// engine is the part of Badger that the store uses: point reads and iteration in a snapshot, and atomic batches.
type engine struct {
	db   *lib.DB
	dir  string
	sync bool
	at   func(step string) // told of steps, for tests; never nil

	memTable int64
	free     func(dir string) (uint64, bool)

	names  sync.Mutex
	newest string // log whose name is known to be durable

	// Held for writing while one logical change is written in several transactions, and for reading while a snapshot is
	// taken: no reader sees a part of it.
	split sync.RWMutex
}

// maxBatch is the share of Badger's own limit that one transaction may fill.
const maxBatch = 0.9

// access says what an engine may do with the folder.
type access struct {
	locked   bool // the caller holds the lock of the folder
	readOnly bool
}

// openEngine opens Badger. Its files have been looked at before: what makes Badger panic is not among them.
func openEngine(dir string, o Options, a access) (*engine, error) {
	opts := lib.DefaultOptions(dir).
		WithSyncWrites(o.SyncWrites).
		WithMemTableSize(o.MemTableSize).
		WithNumMemtables(memTables).
		WithNumCompactors(2).
		WithDetectConflicts(false).       // there is one writer
		WithCompression(options.None).    // felts do not compress; blobs are compressed by us
		WithBlockCacheSize(0).            // tables are mapped and not compressed: a cache would hold them twice
		WithIndexCacheSize(o.IndexCache). // bounds the memory that table indexes take
		WithChecksumVerificationMode(options.OnBlockRead).
		WithMetricsEnabled(false).
		WithValueLogFileSize(1 << 20). // nothing goes there: every value is below the threshold
		WithBypassLockGuard(a.locked).
		WithReadOnly(a.readOnly).
		WithLogger(badgerLog{o.Log})
	db, err := openBadger(opts)
	if err != nil {
		return nil, fmt.Errorf("open database in %s: %w", dir, err)
	}
	e := &engine{db: db, dir: dir, sync: o.SyncWrites, at: o.Fault, memTable: o.MemTableSize, free: o.freeSpace()}
	if e.at == nil {
		e.at = func(string) {}
	}
	return e, nil
}

// memTables is how many tables in memory Badger lets wait for their way to disk.
const memTables = 3

// openBadger makes an error of a panic while the database is opened.
func openBadger(opts lib.Options) (db *lib.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("badger gave up: %v", r)
		}
	}()
	return lib.Open(opts)
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
	opt := iteratorOptions()
	opt.Prefix = prefix
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

func iteratorOptions() lib.IteratorOptions {
	opt := lib.DefaultIteratorOptions
	opt.PrefetchValues = false // values lie in the tables, beside their keys
	return opt
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

func sizeOf(writes []write) (n int64) {
	for _, w := range writes {
		n += w.size()
	}
	return n
}

// apply writes one transaction; it is durable when apply returns (with sync writes). The slices belong to Badger until then.
func (e *engine) apply(writes []write) error {
	if err := e.room(e.floor(sizeOf(writes))); err != nil {
		return err
	}
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
	return e.syncNames()
}

// syncNames makes the name of a new log durable: Badger syncs what is in it, but not the folder.
func (e *engine) syncNames() error {
	if !e.sync {
		return nil
	}
	e.names.Lock()
	defer e.names.Unlock()
	list, err := os.ReadDir(e.dir)
	if err != nil {
		return err
	}
	newest := ""
	for _, f := range list { // sorted by name
		if filepath.Ext(f.Name()) == ".mem" && len(f.Name()) >= len(newest) {
			newest = f.Name()
		}
	}
	if newest == e.newest {
		return nil
	}
	if err := syncDir(e.dir); err != nil {
		return fmt.Errorf("sync folder %s: %w", e.dir, err)
	}
	e.newest = newest
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
		e.at("batch")
		writes = writes[n:]
	}
	return nil
}
