package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is what the calling thread has used so far; lock it to the goroutine.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
