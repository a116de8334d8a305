package badger

import (
	"fmt"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// badgerLog passes Badger's own log lines on. Its info is our trace: a node is not told of every compaction.
type badgerLog struct {
	log hclog.Logger
}

func (b badgerLog) Errorf(format string, args ...any)   { b.log.Error(line(format, args)) }
func (b badgerLog) Warningf(format string, args ...any) { b.log.Warn(line(format, args)) }
func (b badgerLog) Infof(format string, args ...any)    { b.log.Trace(line(format, args)) }
func (b badgerLog) Debugf(format string, args ...any)   { b.log.Trace(line(format, args)) }

func line(format string, args []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(format, args...))
}
