package host

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Link is a connection to a stage that outlives the plugin's process: it forwards to the newest instance, and answers Unavailable
// while there is none. A call that runs when its instance ends fails; nothing is carried over to the next one.
type Link struct {
	name string

	mu   sync.Mutex
	conn grpc.ClientConnInterface // nil: away
	why  string
}

// NewLink makes a link without an instance. The name is how errors call it: "storage/badger".
func NewLink(name string) *Link {
	return &Link{name: name, why: "not started yet"}
}

// Attach forwards to an instance from now on.
func (l *Link) Attach(conn grpc.ClientConnInterface) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
}

// Detach answers Unavailable from now on, and says why.
func (l *Link) Detach(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.why = nil, why
}

// newest returns the connection to the newest instance, or the error to answer.
func (l *Link) newest() (grpc.ClientConnInterface, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil, status.Errorf(codes.Unavailable, "%s: away: %s", l.name, l.why)
	}
	return l.conn, nil
}

// Invoke implements grpc.ClientConnInterface.
func (l *Link) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	conn, err := l.newest()
	if err != nil {
		return err
	}
	return conn.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (l *Link) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	conn, err := l.newest()
	if err != nil {
		return nil, err
	}
	return conn.NewStream(ctx, desc, method, opts...)
}
