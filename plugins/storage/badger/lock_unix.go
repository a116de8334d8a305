//go:build linux || darwin

package badger

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockPatience is how long a lock may be held by another process before that is an error.
const lockPatience = 5 * time.Second

// lockDir takes the lock that Badger takes, so that no other process has the database open, and before Badger does: files
// are looked at and mended under it. Badger is told not to lock again.
func lockDir(dir string) (release func() error, bypass bool, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, false, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	// The process before this one may have been killed a moment ago and not have ended yet: it unmaps its files first.
	for patience := time.Now().Add(lockPatience); errors.Is(err, syscall.EWOULDBLOCK) && time.Now().Before(patience); {
		time.Sleep(20 * time.Millisecond)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, false, fmt.Errorf("data directory %s is in use by another process: stop the node that uses it, or use another directory", dir)
		}
		return nil, false, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return f.Close, true, nil
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
