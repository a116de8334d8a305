package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/ordo-sequencer/ordo/core/internal/connlimit"
)

// sendBuffer is what the system may hold of an answer that a client does not read, beside the node.
const sendBuffer = 128 << 10

// Serve answers HTTP on the listener until the context ends, then lets running requests finish for a moment.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	l := s.Limits
	limits, err := s.connLimits()
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: l.Header,
		ReadTimeout:       l.Receive,
		IdleTimeout:       l.Idle,
		MaxHeaderBytes:    64 << 10,
		ConnContext:       remember,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug), // what clients do wrong is no news
	}
	listener = &framedListener{connlimit.New(listener, limits)}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var sockets sync.WaitGroup
	sockets.Go(func() { s.sockets.Shutdown(grace) }) // the server knows nothing of them
	defer sockets.Wait()
	if server.Shutdown(grace) != nil {
		server.Close()
	}
	if err := <-stopped; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

const (
	// spareFiles are left to the node itself: the journal's next file, a plugin that is started anew.
	spareFiles = 16
	// leastFiles is what it takes to serve at all.
	leastFiles = 8
)

// connLimits is how many connections there may be, by the configuration and by the open files that the system allows.
func (s *Server) connLimits() (connlimit.Limits, error) {
	most := s.Limits.Connections
	l := connlimit.Limits{Most: most, Each: s.Limits.PerAddress, Waiting: max(1, most/4), Rejecting: max(1, min(most/4, 256)),
		Wait: s.Limits.Turn, SendBuffer: sendBuffer, Rejection: []byte(noConnection)}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return l, nil
	}
	return s.connLimitsWithin(l, int(min(limit.Cur, 1<<30)), openFiles())
}

// connLimitsWithin divides the files that are left: three quarters are for connections, and an eighth each for those that wait
// and for those that are rejected.
func (s *Server) connLimitsWithin(l connlimit.Limits, limit, open int) (connlimit.Limits, error) {
	free := limit - open - spareFiles
	if free < leastFiles {
		return l, fmt.Errorf("rpc: the system allows %d open files, and the node has %d and needs %d more to serve: raise the limit (ulimit -n, LimitNOFILE) to 1024 or more",
			limit, open, spareFiles+leastFiles)
	}
	if most := free * 3 / 4; most < l.Most {
		s.Log.Warn("rpc: fewer connections than configured: the system allows few open files, see ulimit -n", "connections", most, "configured", l.Most)
		l.Most = most
	}
	l.Each = min(l.Each, l.Most)
	l.Waiting, l.Rejecting = max(1, min(l.Waiting, free/8)), max(1, min(l.Rejecting, free/8))
	return l, nil
}

// openFiles counts those of the process.
func openFiles() int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 64 // a system without it: about what a node has
	}
	return len(files)
}
