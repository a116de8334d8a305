package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sendBuffer is what the system may hold of an answer that a client does not read, beside the node.
const sendBuffer = 128 << 10

// Serve answers HTTP on the listener until the context ends, then lets running requests finish for a moment.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	l := s.Limits
	room, err := s.room()
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
	listener = newConnLimiter(listener, room, l.Turn)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
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

// room is how many connections there may be, by the configuration and by the open files that the system allows.
func (s *Server) room() (room, error) {
	most := s.Limits.Connections
	r := room{most: most, each: s.Limits.PerAddress, waiting: max(1, most/4), parting: max(1, min(most/4, 256))}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return r, nil
	}
	return s.roomWithin(r, int(min(limit.Cur, 1<<30)), openFiles())
}

// roomWithin: of the files that are left, three quarters are for connections, and an eighth each for those that wait for room
// and for those that are refused.
func (s *Server) roomWithin(r room, limit, open int) (room, error) {
	free := limit - open - spareFiles
	if free < leastFiles {
		return r, fmt.Errorf("rpc: the system allows %d open files, and the node has %d and needs %d more to serve: raise the limit (ulimit -n, LimitNOFILE) to 1024 or more",
			limit, open, spareFiles+leastFiles)
	}
	if most := free * 3 / 4; most < r.most {
		s.Log.Warn("rpc: fewer connections than configured: the system allows few open files, see ulimit -n", "connections", most, "configured", r.most)
		r.most = most
	}
	r.each = min(r.each, r.most)
	r.waiting, r.parting = max(1, min(r.waiting, free/8)), max(1, min(r.parting, free/8))
	return r, nil
}

// openFiles counts those of the process.
func openFiles() int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 64 // a system without it: about what a node has
	}
	return len(files)
}

// temporary: the system has no file for a connection at this moment, or the client left before it was taken.
func temporary(err error) bool {
	for _, passing := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// unread: the client has sent something that is not read yet.
func unread(conn net.Conn) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n > 0
}
