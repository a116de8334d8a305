package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc/grpclog"

	"github.com/ordo-sequencer/ordo/sdk/logqueue"
	"github.com/ordo-sequencer/ordo/sdk/progress"
)

// flushTime is how long the end of the process may wait for stdout and stderr to be read.
const flushTime = 2 * time.Second

// terminal is what a node prints to. Neither a reader that stalls nor one that is gone holds the node up or ends it.
type terminal struct {
	out, errs *logqueue.Queue
	progress  *progress.Reporter // on stderr
	// colours say whether stdout and stderr take them.
	colours struct{ out, errs bool }
}

func newTerminal() *terminal {
	dropped := func(lines, bytes int) []byte {
		return fmt.Appendf(nil, "%s [WARN]  ordo: lines of the log were dropped: they were not read in time: lines=%d bytes=%d\n",
			time.Now().Format("15:04:05.000"), lines, bytes)
	}
	options := logqueue.Options{Bytes: 4 << 20, Lines: 32 << 10, Dropped: dropped}
	t := new(terminal)
	t.colours.out, t.colours.errs = coloured(os.Stdout), coloured(os.Stderr)
	if !progress.IsTerminal(os.Stderr) {
		t.out, t.errs = logqueue.New(os.Stdout, logqueue.Options{}), logqueue.New(os.Stderr, options)
		t.progress = progress.Plain("ordo", t.errs)
		return t
	}
	t.progress = progress.New("ordo", os.Stderr)
	t.errs = logqueue.New(t.progress.Through(os.Stderr), options)
	if progress.IsTerminal(os.Stdout) {
		t.out = logqueue.New(t.progress.Through(os.Stdout), logqueue.Options{})
	} else {
		t.out = logqueue.New(os.Stdout, logqueue.Options{})
	}
	return t
}

// coloured says whether a file takes colours: it is a terminal, and its user has not said no, see no-color.org.
func coloured(f *os.File) bool { return progress.IsTerminal(f) && os.Getenv("NO_COLOR") == "" }

// serveOn prepares the process for a node: what libraries log goes the same way, and what happens to the terminal ends
// nothing.
func (t *terminal) serveOn() {
	logqueue.SurviveBrokenPipes()
	signal.Ignore(syscall.SIGTTOU) // a node in the background may write to its terminal, with stty tostop too
	log.SetOutput(t.errs)
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, t.errs))
}

// flush waits a moment for what was printed to be read.
func (t *terminal) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	_ = t.errs.Flush(ctx)
	_ = t.out.Flush(ctx)
}
