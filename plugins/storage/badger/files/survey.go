package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Damage is a file that is not what was written.
type Damage struct {
	File   string
	Offset int64
	Text   string
}

func (d *Damage) Error() string {
	if d.Offset > 0 {
		return fmt.Sprintf("file %s is damaged at %d: %s", d.File, d.Offset, d.Text)
	}
	return fmt.Sprintf("file %s is damaged: %s", d.File, d.Text)
}

// Table is one table of the manifest.
type Table struct {
	ID    uint64
	Name  string
	Level int
	Size  int64
	Keys  uint32
	Err   error // why it cannot be read; nil for one that is whole
}

// Survey is what was found in a folder.
type Survey struct {
	Dir      string
	New      bool // there is no database
	Manifest Manifest
	Bad      error    // the manifest cannot be read
	Tables   []Table  // of the manifest, by id
	Logs     []*Log   // in order of their numbers
	Orphans  []string // tables that the manifest does not list
	Idle     []string // files that hold no data: values never leave the tables, and nothing is encrypted
}

// Watch is told what Look reads; both may be nil.
type Watch struct {
	Table func(bytes int64)                     // of tables, from several goroutines
	Entry func(key, value []byte, deleted bool) // of logs, in order
}

// Look reads the files in dir. Blocks of tables are read only up to `limit` bytes of tables, the newest first.
func Look(dir string, limit int64, w Watch) (*Survey, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Survey{Dir: dir, New: true}
	onDisk := map[uint64]string{}
	var logs []string
	for _, e := range list {
		name := e.Name()
		switch ext := filepath.Ext(name); {
		case e.IsDir():
		case name == ManifestName:
			s.New = false
		case ext == ".sst":
			if id, err := strconv.ParseUint(strings.TrimSuffix(name, ext), 10, 64); err == nil {
				onDisk[id], s.New = name, false
			}
		case ext == ".mem":
			logs, s.New = append(logs, name), false
		case ext == ".vlog" || name == "DISCARD" || name == "KEYREGISTRY":
			s.Idle = append(s.Idle, name)
		}
	}
	if err := s.logs(logs, w.Entry); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, ManifestName))
	switch {
	case errors.Is(err, os.ErrNotExist):
		if s.New {
			return s, nil
		}
		s.Bad = &Damage{File: ManifestName, Text: "it is missing, and there are tables or logs"}
	case err != nil:
		return nil, err
	default:
		s.Manifest, s.Bad = ReadManifest(data)
	}
	if s.Bad != nil {
		// Every key says of which transaction it is, so tables may be read in any order: all of them, side by side.
		s.Manifest.Tables = map[uint64]int{}
		for id := range onDisk {
			s.Manifest.Tables[id] = 0
		}
	}
	for id, level := range s.Manifest.Tables {
		s.Tables = append(s.Tables, Table{ID: id, Name: tableName(id), Level: level})
		delete(onDisk, id)
	}
	for _, name := range onDisk {
		s.Orphans = append(s.Orphans, name)
	}
	slices.Sort(s.Orphans)
	slices.SortFunc(s.Tables, func(a, b Table) int { return int(b.ID) - int(a.ID) })
	s.checkTables(limit, w.Table)
	slices.Reverse(s.Tables)
	return s, nil
}

func tableName(id uint64) string { return fmt.Sprintf("%06d.sst", id) }

func (s *Survey) logs(names []string, entry func(key, value []byte, deleted bool)) error {
	number := func(name string) int {
		n, err := strconv.Atoi(strings.TrimSuffix(name, ".mem"))
		if err != nil {
			return -1
		}
		return n
	}
	slices.SortFunc(names, func(a, b string) int { return number(a) - number(b) })
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(s.Dir, name))
		if err != nil {
			return err
		}
		s.Logs = append(s.Logs, ReadLog(name, data, entry))
	}
	return nil
}

// checkTables fills in what the tables of the manifest are.
func (s *Survey) checkTables(limit int64, checked func(n int64)) {
	var wg sync.WaitGroup
	work := make(chan *Table)
	for range min(4, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for t := range work {
				t.Size, t.Keys, t.Err = checkTableFile(filepath.Join(s.Dir, t.Name), t.Name)
				if checked != nil {
					checked(t.Size)
				}
			}
		})
	}
	for i := range s.Tables {
		t := &s.Tables[i]
		st, err := os.Stat(filepath.Join(s.Dir, t.Name))
		switch {
		case errors.Is(err, os.ErrNotExist):
			t.Err = &Damage{File: t.Name, Text: "it is missing"}
		case err != nil:
			t.Err = err
		case limit < 0:
			t.Size, t.Keys, t.Err = checkTableEnd(filepath.Join(s.Dir, t.Name), t.Name)
		default:
			limit -= st.Size()
			work <- t
		}
	}
	close(work)
	wg.Wait()
}

// checkTableEnd looks at the index of a table alone.
func checkTableEnd(path, name string) (int64, uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	_, keys, err := tableIndex(f, st.Size())
	if err != nil {
		err = &Damage{File: name, Text: err.Error()}
	}
	return st.Size(), keys, err
}

// Damaged is the first thing that makes the database unreadable; nil when Badger can open it. Torn ends are none.
func (s *Survey) Damaged() error {
	if s.Bad != nil {
		return s.Bad
	}
	for _, t := range s.Tables {
		if t.Err != nil {
			return t.Err
		}
	}
	return nil
}

// Torn lists the files whose end was cut off or broken, with what is known of it.
func (s *Survey) Torn() []string {
	var out []string
	if m := s.Manifest; m.End < m.Size {
		out = append(out, fmt.Sprintf("%s: %d bytes from %d on are no whole record", ManifestName, m.Size-m.End, m.End))
	}
	for _, l := range s.Logs {
		if l.Torn() {
			out = append(out, fmt.Sprintf("%s: %d bytes from %d on are no whole transaction (%d whole ends behind)", l.Name, l.Used-l.End, l.End, l.Behind))
		}
	}
	return out
}

// Widen takes the tables that the manifest does not list too. Every key says of which transaction it is, so tables may be
// read in any order: they all lie side by side then.
func (s *Survey) Widen() {
	for i := range s.Tables {
		s.Tables[i].Level = 0
	}
	for _, name := range s.Orphans {
		id, err := strconv.ParseUint(strings.TrimSuffix(name, ".sst"), 10, 64)
		if err != nil {
			continue
		}
		t := Table{ID: id, Name: name}
		if t.Size, t.Keys, t.Err = checkTableFile(filepath.Join(s.Dir, name), name); t.Err == nil {
			s.Tables = append(s.Tables, t)
		}
	}
	s.Orphans = nil
}

// Bytes is the size of the tables and of what the logs hold.
func (s *Survey) Bytes() (n int64) {
	for _, t := range s.Tables {
		n += t.Size
	}
	for _, l := range s.Logs {
		n += l.End
	}
	return n
}

// Mend takes away what a crash left unfinished and what holds no data, so that Badger finds nothing to stumble over:
// torn ends, logs without a transaction, value logs, the key registry. It must not be called on Damaged files.
func (s *Survey) Mend() error {
	for _, name := range s.Idle {
		if err := remove(filepath.Join(s.Dir, name)); err != nil {
			return err
		}
	}
	for _, l := range s.Logs {
		path := filepath.Join(s.Dir, l.Name)
		switch {
		case l.Transactions == 0:
			if err := remove(path); err != nil {
				return err
			}
		default:
			if err := cut(path, l); err != nil {
				return err
			}
		}
	}
	if m := s.Manifest; m.End < m.Size {
		return os.Truncate(filepath.Join(s.Dir, ManifestName), m.End)
	}
	return nil
}

// cut ends a log behind its last whole transaction; a damaged key id is made the one that it was.
func cut(path string, l *Log) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if l.End < l.Size {
		if err := f.Truncate(l.End); err != nil {
			return err
		}
	}
	if l.Encrypted {
		if _, err := f.WriteAt(make([]byte, 8), 0); err != nil {
			return err
		}
	}
	return f.Sync() // what a killed process left to the kernel is to be on the device before it is promised
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Mirror fills an empty folder with a database that can be opened for reading and holds what can be read of this one:
// links to the whole tables, copies of the unbroken beginnings of the logs. Nothing in Dir is touched.
func (s *Survey) Mirror(to string) error {
	from, err := filepath.Abs(s.Dir)
	if err != nil {
		return err
	}
	whole := map[uint64]int{}
	for _, t := range s.Tables {
		if t.Err != nil {
			continue
		}
		whole[t.ID] = t.Level
		if err := os.Symlink(filepath.Join(from, t.Name), filepath.Join(to, t.Name)); err != nil {
			return err
		}
	}
	data, err := encodeManifest(whole)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(to, ManifestName), data, 0o600); err != nil {
		return err
	}
	for _, l := range s.Logs {
		if l.Transactions == 0 {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, l.Name))
		if err != nil {
			return err
		}
		data = data[:l.End]
		clear(data[:8])
		if err := os.WriteFile(filepath.Join(to, l.Name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
