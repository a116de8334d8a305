// Package progress shows what a command waits for: a spinner or a bar on a terminal, now and then a plain line elsewhere.
//
// A short wait shows nothing. Other output of the same terminal goes through Through, so that it never lands in the spinner's line.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	// shownAfter is how long a wait shows nothing on a terminal.
	shownAfter = 500 * time.Millisecond
	redraw     = 100 * time.Millisecond
	// patience is how long a wait shows nothing elsewhere; each line after the first comes when the wait is twice as long.
	patience = 2 * time.Second
)

// IsTerminal says whether a line of this file can be drawn again.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" }

// Reporter shows one wait at a time. Step, At and Done never wait for what reads the terminal. A nil Reporter shows nothing.
type Reporter struct {
	to     io.Writer
	name   string     // of the command, before plain lines
	width  func() int // columns of the terminal; nil: plain lines
	screen sync.Mutex // held while something is written to the terminal
	drawn  bool       // the spinner's line is there; guarded by screen

	mu   sync.Mutex
	now  wait
	stop chan struct{} // of the goroutine that shows the wait; nil: nothing is waited for
	over chan struct{} // closed when the last such goroutine has ended
}

// wait is what is waited for.
type wait struct {
	what        string
	begun       time.Time
	done, total uint64 // total 0: it is not known how much there is
}

// New makes a reporter for stderr: with a spinner if that is a terminal.
func New(name string, to io.Writer) *Reporter {
	if f, isFile := to.(*os.File); isFile && IsTerminal(f) {
		return onTerminal(f, func() int {
			columns, _, err := term.GetSize(int(f.Fd()))
			if err != nil || columns <= 0 { // a terminal that does not know
				return 80
			}
			return columns
		})
	}
	return Plain(name, to)
}

// Plain makes a reporter that writes lines, each in one call.
func Plain(name string, to io.Writer) *Reporter { return &Reporter{name: name, to: to} }

func onTerminal(to io.Writer, width func() int) *Reporter { return &Reporter{to: to, width: width} }

// Step says what is waited for from now on.
func (r *Reporter) Step(what string) { r.At(what, 0, 0) }

// At says what is waited for, and how far that is.
func (r *Reporter) At(what string, done, total uint64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.what, r.now.done, r.now.total = what, done, total
	if r.stop != nil {
		return
	}
	r.now.begun = time.Now()
	r.stop, r.over = make(chan struct{}), make(chan struct{})
	go r.show(r.stop, r.over)
}

// Done says that nothing is waited for any more. The spinner goes with the next output that goes through Through, or soon.
func (r *Reporter) Done() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		close(r.stop)
		r.stop = nil
	}
}

// Close is Done, and waits until the spinner is gone: for commands that then write to the terminal themselves.
func (r *Reporter) Close() {
	if r == nil {
		return
	}
	r.Done()
	r.mu.Lock()
	over := r.over
	r.mu.Unlock()
	if over != nil {
		<-over
	}
}

// Through returns a writer for other output of the same terminal.
func (r *Reporter) Through(w io.Writer) io.Writer {
	if r == nil || r.width == nil {
		return w
	}
	return through{r, w}
}

type through struct {
	reporter *Reporter
	to       io.Writer
}

func (t through) Write(p []byte) (int, error) {
	t.reporter.screen.Lock()
	defer t.reporter.screen.Unlock()
	t.reporter.erase()
	return t.to.Write(p)
}

// show shows the wait until stop is closed.
func (r *Reporter) show(stop, over chan struct{}) {
	defer close(over)
	if r.width == nil {
		r.tell(stop)
		return
	}
	for frame := 0; ; frame++ {
		next := time.NewTimer(redraw)
		select {
		case <-next.C:
		case <-stop:
			next.Stop()
			r.screen.Lock()
			defer r.screen.Unlock()
			r.erase()
			return
		}
		if now := r.current(); time.Since(now.begun) >= shownAfter {
			r.draw(stop, now.bar(frame, r.width()))
		}
	}
}

func (r *Reporter) current() wait {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// draw shows a line, unless the wait is over by now.
func (r *Reporter) draw(stop <-chan struct{}, line string) {
	r.screen.Lock()
	defer r.screen.Unlock()
	select {
	case <-stop:
		return
	default:
	}
	_, _ = fmt.Fprintf(r.to, "\r%s\x1b[K", line)
	r.drawn = true
}

// erase removes the spinner's line. The caller holds screen.
func (r *Reporter) erase() {
	if r.drawn {
		_, _ = io.WriteString(r.to, "\r\x1b[K")
		r.drawn = false
	}
}

// tell writes lines: at two seconds, four, eight and so on.
func (r *Reporter) tell(stop <-chan struct{}) {
	begun := r.current().begun
	for after := patience; ; after *= 2 {
		next := time.NewTimer(time.Until(begun.Add(after)))
		select {
		case <-next.C:
			_, _ = fmt.Fprintf(r.to, "%s: %s\n", r.name, r.current().text())
		case <-stop:
			next.Stop()
			if after > patience {
				_, _ = fmt.Fprintf(r.to, "%s: done after %s\n", r.name, time.Since(begun).Round(time.Second))
			}
			return
		}
	}
}

// text is the wait in words.
func (w wait) text() string {
	text := w.what
	if w.total > 0 {
		text += fmt.Sprintf(" %d of %d", w.done, w.total)
	}
	return text + fmt.Sprintf(", %s so far", time.Since(w.begun).Round(time.Second))
}

const barWidth = 30

// bar is the wait as a line that is shorter than the terminal is wide.
func (w wait) bar(frame, width int) string {
	text := string(`|/-\`[frame%4]) + " " + w.what
	if w.total > 0 {
		full := int(min(w.done, w.total) * barWidth / w.total)
		text += fmt.Sprintf(" [%s%s] %d/%d", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), w.done, w.total)
	}
	text += " " + time.Since(w.begun).Truncate(time.Second).String()
	if letters := []rune(text); len(letters) >= width {
		return string(letters[:max(0, width-1)])
	}
	return text
}
