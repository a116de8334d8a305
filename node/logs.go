package node

import (
	"context"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/sdk/progress"
)

// Output is what a node tells its operator. Nothing that it writes to may block for long.
type Output struct {
	Log      io.Writer          // lines of the log
	Colour   bool               // of the log
	Observer driver.Observer    // of transactions and blocks; nil: the log
	Progress *progress.Reporter // what the start waits for; nil: not shown
}

// newLog is the log of a node. The writer must not block: log lines are written in the block path.
func newLog(name, level string, out Output) hclog.Logger {
	options := &hclog.LoggerOptions{Name: name, Level: hclog.LevelFromString(level), Output: out.Log, TimeFormat: "15:04:05.000"}
	if out.Colour {
		options.Color, options.ColorHeaderOnly = hclog.ForceColor, true
	}
	return hclog.New(options)
}

// byLevel is a slog.Handler that tells a hclog.LevelWriter which records are errors, as hclog does.
type byLevel struct{ errors, others slog.Handler }

func newSlog(level string, to io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slogLevel(level)}
	return slog.New(byLevel{errors: slog.NewTextHandler(urgent{to}, options), others: slog.NewTextHandler(to, options)})
}

// urgent writes everything as an error.
type urgent struct{ to io.Writer }

func (u urgent) Write(p []byte) (int, error) {
	if w, ok := u.to.(hclog.LevelWriter); ok {
		return w.LevelWrite(hclog.Error, p)
	}
	return u.to.Write(p)
}

func (b byLevel) Enabled(ctx context.Context, level slog.Level) bool {
	return b.others.Enabled(ctx, level)
}

func (b byLevel) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		return b.errors.Handle(ctx, r)
	}
	return b.others.Handle(ctx, r)
}

func (b byLevel) WithAttrs(attrs []slog.Attr) slog.Handler {
	return byLevel{b.errors.WithAttrs(attrs), b.others.WithAttrs(attrs)}
}

func (b byLevel) WithGroup(name string) slog.Handler {
	return byLevel{b.errors.WithGroup(name), b.others.WithGroup(name)}
}

func slogLevel(name string) slog.Level {
	switch name {
	case "trace", "debug":
		return slog.LevelDebug
	case "info":
		return slog.LevelInfo
	case "error":
		return slog.LevelError
	}
	return slog.LevelWarn
}
