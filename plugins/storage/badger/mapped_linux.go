package badger

import "syscall"

// letGo takes the pages of a mapping out of the process; of a shared mapping of a file nothing is lost.
func letGo(at, size uintptr) {
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, at, size, syscall.MADV_DONTNEED)
}
