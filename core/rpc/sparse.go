package rpc

import (
	"log/slog"
	"sync"
	"time"
)

// quietTime is how long an event of a kind that strangers cause is not logged again.
const quietTime = 10 * time.Second

// sparse logs one event of a kind now and then, and counts the others: what strangers do must not fill the log.
type sparse struct {
	mu     sync.Mutex
	last   time.Time
	missed int
}

func (s *sparse) log(to *slog.Logger, text string, args ...any) {
	s.mu.Lock()
	now := time.Now()
	if !s.last.IsZero() && now.Sub(s.last) < quietTime {
		s.missed++
		s.mu.Unlock()
		return
	}
	args = append(args, "more", s.missed)
	s.last, s.missed = now, 0
	s.mu.Unlock()
	to.Warn(text, args...)
}
