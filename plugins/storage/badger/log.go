package badger

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// badgerLog passes Badger's own log lines on. Its info is our debug: a node is not told of every compaction.
type badgerLog struct {
	log *slog.Logger
}

func (b badgerLog) Errorf(format string, args ...any)   { b.line(slog.LevelError, format, args) }
func (b badgerLog) Warningf(format string, args ...any) { b.line(slog.LevelWarn, format, args) }
func (b badgerLog) Infof(format string, args ...any)    { b.line(slog.LevelDebug, format, args) }
func (b badgerLog) Debugf(format string, args ...any)   { b.line(slog.LevelDebug, format, args) }

func (b badgerLog) line(level slog.Level, format string, args []any) {
	b.log.Log(context.Background(), level, "badger: "+strings.TrimSpace(fmt.Sprintf(format, args...)))
}
