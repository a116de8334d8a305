package host

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/stats"

	"github.com/ordo-sequencer/ordo/core/crash"
)

// Blame says what an end of a plugin is put down to, and so what it costs.
type Blame int

const (
	Process   Blame = iota // the plugin itself, or nothing that is known: one of its restarts
	Block                  // maybe a transaction of a block: one of its restarts, given back when that is found
	Questions              // what clients asked: none, and no long pause before the restart
)

// Ended is the end of a plugin, as Events.Lost is told of it.
type Ended struct {
	Name   string
	Why    string
	Forced bool // it did not fail by itself: it was ended from outside, or by the node
}

func (e *Ended) Error() string { return fmt.Sprintf("%s: the plugin has ended: %s", e.Name, e.Why) }

// end describes the end of a plugin.
func (p *Plugin) end() *Ended {
	why := p.ExitReason()
	return &Ended{Name: p.Name(), Why: why, Forced: p.killReason.Load() != nil || outside(why)}
}

// outside: these ends come to a process, whatever it does. The kernel's own, for want of memory, is one of them.
func outside(why string) bool {
	signal, ok := strings.CutPrefix(why, "signal: ")
	if !ok {
		return !strings.HasPrefix(why, "exit status")
	}
	switch signal {
	case "killed", "terminated", "interrupt", "hangup", "quit":
		return true
	}
	return false
}

// sent tells the ledger of questions which of them reached the process.
type sent struct{}

func (sent) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); ok {
		crash.Sent(ctx)
	}
}

func (sent) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (sent) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (sent) HandleConn(context.Context, stats.ConnStats)                       {}
