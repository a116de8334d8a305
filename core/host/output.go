package host

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	maxLine  = 64 << 10 // of output; what is longer is cut
	maxHello = 4 << 10  // of the handshake
	maxRate  = 2000     // lines a second that are logged; the rest is counted
	tailSize = 12       // lines kept to explain a failed start
)

// output reads what a plugin writes, so that the plugin never blocks on a full pipe and no line harms the host.
type output struct {
	log     hclog.Logger
	readers sync.WaitGroup
	files   []*os.File

	mu    sync.Mutex
	first string   // line on stdout: the handshake
	seen  bool     // there was one
	tail  []string // newest lines on stderr
	held  []string // those of tail that are not logged: an error about the start ends with them, and once is enough
	lines logLines // under logging

	released bool // the first line was a handshake: from then on stderr is logged as it comes

	logging sync.Mutex // keeps the lines of stderr in order in the log

	second         time.Time // for which lines are counted
	passed, missed int
}

func newOutput(log hclog.Logger) *output { return &output{log: log} }

// read starts the readers. The first line of stdout goes to hello as well.
func (o *output) read(stdout, stderr *os.File, hello *io.PipeWriter) {
	o.files = []*os.File{stdout, stderr}
	o.readers.Add(2)
	go func() {
		defer o.readers.Done()
		// Without a line the host waits until the process has ended, and can tell how: the end of stdout comes before that.
		forLines(stdout, func(line string) {
			if o.takeFirst(line) {
				if isHello(line) {
					o.release()
				}
				_, _ = io.WriteString(hello, cut(line, maxHello)+"\n")
				return
			}
			if line != "" && o.pass() {
				o.logger().Info(printable(line), "stream", "stdout")
			}
		})
	}()
	go func() {
		defer o.readers.Done()
		forLines(stderr, func(line string) {
			for _, line := range o.remember(line) {
				o.logStderr(line)
			}
		})
	}()
}

func (o *output) logStderr(line string) {
	if !o.pass() {
		return
	}
	o.logging.Lock()
	defer o.logging.Unlock()
	o.lines.log(o.logger(), line)
}

// release logs what was held back until the handshake.
func (o *output) release() {
	o.mu.Lock()
	held := o.held
	o.held, o.released = nil, true
	o.mu.Unlock()
	for _, line := range held {
		o.logStderr(line)
	}
}

// pass tells whether one more line may be logged: a plugin that floods must not fill the disk or hold up the node.
func (o *output) pass() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.Sub(o.second) >= time.Second {
		if o.missed > 0 {
			o.log.Warn("the plugin writes too much, lines were dropped", "dropped", o.missed)
		}
		o.second, o.passed, o.missed = now, 0, 0
	}
	if o.passed >= maxRate {
		o.missed++
		return false
	}
	o.passed++
	return true
}

// finish waits for the readers to come to the end of the pipes, and ends them if another process holds these open or
// no reader takes the handshake.
func (o *output) finish(grace time.Duration, hello *io.PipeReader) {
	over := make(chan struct{})
	go func() { o.readers.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(grace):
	}
	for _, f := range o.files {
		f.Close()
	}
	hello.Close()
	<-over
}

func (o *output) takeFirst(line string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen {
		return false
	}
	o.first, o.seen = line, true
	return true
}

// remember keeps a line of stderr for an error message, and returns those that are to be logged now.
func (o *output) remember(line string) (now []string) {
	if line == "" {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(o.tail, cut(line, 500))
	if len(o.tail) > tailSize {
		o.tail = o.tail[1:]
	}
	if o.released {
		return []string{line}
	}
	o.held = append(o.held, line)
	if len(o.held) > tailSize {
		now, o.held = o.held[:1:1], o.held[1:]
	}
	return now
}

// hello returns the handshake line, if there was any.
func (o *output) hello() (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.first, o.seen
}

// lastOutput returns the end of stderr, for an error message.
func (o *output) lastOutput() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.tail, "\n  ")
}

// forLines calls do for each line, cut at maxLine. The rest of a longer line is read and dropped.
func forLines(r io.Reader, do func(string)) {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 || err == nil {
			do(strings.ToValidUTF8(strings.TrimRight(string(line), "\r\n"), "\uFFFD"))
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// rename gives the output another logger, once it is known what the plugin calls itself.
func (o *output) rename(log hclog.Logger) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log = log
}

func (o *output) logger() hclog.Logger {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.log
}

// lineLog logs what a plugin prints through go-plugin's stdio service, an author's fmt.Println, as part of its output.
type lineLog struct {
	output *output
	stream string
	mu     sync.Mutex
	rest   []byte
}

func (l *lineLog) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, data...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < maxLine {
			return len(data), nil
		}
		line := l.rest
		if i >= 0 {
			line, l.rest = l.rest[:i], l.rest[i+1:]
		} else {
			l.rest = nil
		}
		if l.output.pass() {
			l.output.logger().Info(printable(strings.ToValidUTF8(string(line), "\uFFFD")), "stream", l.stream)
		}
	}
}
