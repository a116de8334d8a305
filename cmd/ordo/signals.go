package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// interrupted is why a command is to end.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string {
	if i.signal == syscall.SIGHUP {
		return "the terminal is closed (SIGHUP)"
	}
	return fmt.Sprintf("%s (SIG%s)", i.signal, map[syscall.Signal]string{syscall.SIGINT: "INT", syscall.SIGTERM: "TERM"}[i.signal])
}

// untilSignal returns a context that the first SIGINT, SIGTERM or SIGHUP ends, with the signal as its cause. A second
// SIGINT or SIGTERM, when the end takes too long, ends the process at once; a closing terminal sends SIGHUP more than once,
// and service managers send it beside SIGTERM, so it never counts as the second. What nohup ignores stays ignored.
func untilSignal(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	heard := make(chan os.Signal, 8)
	signal.Notify(heard, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(heard, syscall.SIGHUP)
	}
	go func() {
		asked := false
		for s := range heard {
			got := s.(syscall.Signal)
			cancel(interrupted{got})
			if got == syscall.SIGHUP {
				continue
			}
			if asked {
				signal.Reset(got)
				_ = syscall.Kill(syscall.Getpid(), got)
			}
			asked = true
		}
	}()
	return ctx
}
