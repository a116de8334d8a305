//go:build linux || darwin

package badger

import "syscall"

// freeSpace is what the file system of a directory has left for us; ok is false when it does not say.
func freeSpace(dir string) (bytes uint64, ok bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return uint64(st.Bavail) * uint64(st.Bsize), true
}
