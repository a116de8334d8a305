package nodetest

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"sync"
)

// Output keeps what a process prints. The zero value is ready.
type Output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed by the next Write; nil while no reader waits
}

// Write adds to the output and wakes its readers.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return o.text.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Lines returns the lines that contain a word.
func (o *Output) Lines(word string) (found []string) {
	for line := range strings.Lines(o.String()) {
		if strings.Contains(line, word) {
			found = append(found, strings.TrimSuffix(line, "\n"))
		}
	}
	return found
}

// Await waits until the output has a match, and returns its groups. It gives up when the context or, if not nil, the process ends.
func (o *Output) Await(ctx context.Context, want *regexp.Regexp, ended <-chan struct{}) (groups []string, ok bool) {
	for last := false; ; {
		o.mu.Lock()
		groups = want.FindStringSubmatch(o.text.String())
		if o.changed == nil {
			o.changed = make(chan struct{})
		}
		changed := o.changed
		o.mu.Unlock()
		if groups != nil || last {
			return groups, groups != nil
		}
		select {
		case <-changed:
		case <-ended:
			last = true // what it printed at its end is looked at, too
		case <-ctx.Done():
			return nil, false
		}
	}
}
