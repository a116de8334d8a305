package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Directory is the part of a file system that the journal uses: one folder, flat. Names come without a path.
type Directory interface {
	// List names all files, in any order.
	List() ([]string, error)
	// Open opens an existing file for reading; Create makes an empty one, or empties it.
	Open(name string) (File, error)
	Create(name string) (File, error)
	// Rename replaces; Remove forgets. Both are durable, like Create, only after Sync.
	Rename(from, to string) error
	Remove(name string) error
	// Sync makes the names durable, not the contents.
	Sync() error
}

// File is one file. Writes append.
type File interface {
	io.ReaderAt
	io.Writer
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
}

// Folder is a Directory of the operating system, held under an exclusive lock.
type Folder struct {
	path string
	dir  *os.File // open for its lock and for Sync
}

// OpenFolder makes the folder where there is none and locks it against every other process until Close.
func OpenFolder(path string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	// The name of the folder itself must survive too. A parent that may not be opened is another user's, and older than this.
	if parent, err := os.Open(filepath.Dir(path)); err == nil {
		err = errors.Join(parent.Sync(), parent.Close())
		if err != nil {
			return nil, fmt.Errorf("journal: sync %s: %w", filepath.Dir(path), err)
		}
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = dir.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("journal: %s: another process uses it: stop that one or use another data directory", path)
		}
		return nil, fmt.Errorf("journal: lock %s: %w", path, err)
	}
	return &Folder{path, dir}, nil
}

// Close gives the lock back.
func (f *Folder) Close() error { return f.dir.Close() }

// List is of Directory.
func (f *Folder) List() ([]string, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Open is of Directory.
func (f *Folder) Open(name string) (File, error) { return f.open(name, os.O_RDONLY) }

// Create is of Directory.
func (f *Folder) Create(name string) (File, error) {
	return f.open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND)
}

func (f *Folder) open(name string, how int) (File, error) {
	file, err := os.OpenFile(filepath.Join(f.path, name), how, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{file}, nil
}

// Rename is of Directory.
func (f *Folder) Rename(from, to string) error {
	return os.Rename(filepath.Join(f.path, from), filepath.Join(f.path, to))
}

// Remove is of Directory.
func (f *Folder) Remove(name string) error { return os.Remove(filepath.Join(f.path, name)) }

// Sync is of Directory.
func (f *Folder) Sync() error { return f.dir.Sync() }

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
