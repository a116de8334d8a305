package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ownPrefix begins the names of run folders that the host makes itself.
const ownPrefix = "ordo-run-"

// ownDir makes a run folder and holds a lock in it until the process ends, however it ends. Folders of nodes that were
// killed, and the chains in them, are removed on the way: nothing else would.
func ownDir() (dir string, held *os.File, err error) {
	if dir, err = os.MkdirTemp("", ownPrefix); err != nil { // 0700
		return "", nil, fmt.Errorf("run folder: %w", err)
	}
	// The lock is taken before it has its name, or another node could take it first and find the folder stale.
	making := filepath.Join(dir, "lock.new")
	if held, err = os.OpenFile(making, os.O_CREATE|os.O_RDWR, 0o600); err == nil {
		if err = syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			err = os.Rename(making, filepath.Join(dir, "lock"))
		}
	}
	if err != nil {
		held.Close()
		return "", nil, errors.Join(fmt.Errorf("run folder: %w", err), os.RemoveAll(dir))
	}
	removeStale(filepath.Dir(dir))
	return dir, held, nil
}

// removeStale removes the run folders in a folder that no process holds any more. What it may not touch it leaves.
func removeStale(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), ownPrefix) {
			continue
		}
		dir := filepath.Join(parent, e.Name())
		lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|syscall.O_NOFOLLOW, 0)
		switch {
		case err == nil:
			if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
				removeLockLast(dir)
			}
			lock.Close()
		case errors.Is(err, os.ErrNotExist):
			// Killed between making the folder and its lock, which takes no time, or between the last two steps of removing it.
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > unlockedAge {
				os.RemoveAll(dir)
			}
		}
	}
}

// unlockedAge is after what time a run folder without a lock belongs to no node.
const unlockedAge = time.Minute

// removeLockLast removes a folder so that, if this process is killed meanwhile, another node can see that it is stale.
func removeLockLast(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	os.RemoveAll(dir)
}
