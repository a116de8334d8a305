package host

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Link is the connection to a stage for those who outlive its plugin: it forwards to the newest life, and answers
// Unavailable while there is none. A call that runs when its life ends fails; nothing is carried over to another life.
type Link struct {
	name string

	mu   sync.Mutex
	conn grpc.ClientConnInterface // nil: away
	why  string
	back chan struct{} // closed when a life is ready; nil while one is
}

// NewLink makes a link without a life. The name is how errors call it: "storage/badger".
func NewLink(name string) *Link {
	return &Link{name: name, why: "not started yet", back: make(chan struct{})}
}

// Attach forwards to a life from now on. Patient callers wait until it is Ready.
func (l *Link) Attach(conn grpc.ClientConnInterface) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
}

// Ready lets patient callers use the life: it has been told all that it needs to answer them.
func (l *Link) Ready() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.back != nil {
		close(l.back)
		l.back = nil
	}
}

// Detach answers Unavailable from now on, and says why.
func (l *Link) Detach(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.why = nil, why
	if l.back == nil {
		l.back = make(chan struct{})
	}
}

// current returns the newest life, or the error to answer and what to wait for.
func (l *Link) current() (grpc.ClientConnInterface, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil, l.back, status.Errorf(codes.Unavailable, "%s: away: %s", l.name, l.why)
	}
	return l.conn, l.back, nil
}

// Invoke implements grpc.ClientConnInterface.
func (l *Link) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	conn, _, err := l.current()
	if err != nil {
		return err
	}
	return conn.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (l *Link) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	conn, _, err := l.current()
	if err != nil {
		return nil, err
	}
	return conn.NewStream(ctx, desc, method, opts...)
}

// Patient is the link for callers that only ask: while the stage is away they wait for it, up to a limit, and a unary call
// that was cut by the end of a life is asked once more. It is not for calls that change anything.
func (l *Link) Patient(limit time.Duration) grpc.ClientConnInterface { return &patient{l, limit} }

type patient struct {
	link  *Link
	limit time.Duration
}

// wait returns a life, waiting for one if need be.
func (p *patient) wait(ctx context.Context) (grpc.ClientConnInterface, error) {
	timer := time.NewTimer(p.limit)
	defer timer.Stop()
	for {
		conn, back, err := p.link.current()
		if back == nil {
			return conn, nil
		}
		if err == nil {
			err = status.Errorf(codes.Unavailable, "%s: away: it is back and not ready yet", p.link.name)
		}
		select {
		case <-back:
		case <-timer.C:
			return nil, err
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

func (p *patient) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	conn, err := p.wait(ctx)
	if err != nil {
		return err
	}
	err = conn.Invoke(ctx, method, args, reply, opts...)
	if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
		return err
	}
	// The life may have ended under the call; the link learns of it a moment later than the call does.
	again, waitErr := p.next(ctx, conn)
	if waitErr != nil {
		return err
	}
	return again.Invoke(ctx, method, args, reply, opts...)
}

func (p *patient) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	conn, err := p.wait(ctx)
	if err != nil {
		return nil, err
	}
	return conn.NewStream(ctx, desc, method, opts...)
}

// next waits for a life other than the one that failed.
func (p *patient) next(ctx context.Context, failed grpc.ClientConnInterface) (grpc.ClientConnInterface, error) {
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	for {
		conn, err := p.wait(ctx)
		if err != nil || conn != failed {
			return conn, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
