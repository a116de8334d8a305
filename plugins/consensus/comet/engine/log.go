package engine

import (
	"fmt"

	"github.com/cometbft/cometbft/libs/log"
	"github.com/hashicorp/go-hclog"
)

// consensusFailure is what CometBFT logs when its consensus has panicked. The process would live on and vote no more.
const consensusFailure = "CONSENSUS FAILURE!!!"

// logger gives CometBFT's log to the plugin's.
type logger struct {
	to     hclog.Logger
	level  hclog.Level
	failed func(why string)
}

var _ log.Logger = (*logger)(nil)

func (l *logger) show(level hclog.Level, text string, pairs []any) {
	if level < l.level {
		return
	}
	for i, v := range pairs {
		switch v.(type) { // hclog writes JSON: what has a text is shown as that
		case fmt.Stringer, error:
			pairs[i] = fmt.Sprint(v)
		}
	}
	l.to.Log(level, text, pairs...)
}

func (l *logger) Debug(text string, pairs ...any) { l.show(hclog.Debug, text, pairs) }
func (l *logger) Info(text string, pairs ...any)  { l.show(hclog.Info, text, pairs) }
func (l *logger) Error(text string, pairs ...any) {
	if text == consensusFailure {
		why := "unknown"
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == "err" {
				why = fmt.Sprint(pairs[i+1])
			}
		}
		l.failed(why)
	}
	l.show(hclog.Error, text, pairs)
}

func (l *logger) With(pairs ...any) log.Logger {
	again := *l
	again.to = l.to.With(pairs...)
	return &again
}
