package node

import (
	"io"
	"os"
)

// Progress is where progress bars go: the terminal, and nowhere when there is none to redraw them on.
func Progress() io.Writer {
	if info, err := os.Stderr.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return io.Discard
	}
	return os.Stderr
}
