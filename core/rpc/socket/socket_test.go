package socket

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	"github.com/ordo-sequencer/ordo/core/subscriptions"
)

var (
	here  = netip.MustParsePrefix("192.0.2.1/32")
	there = netip.MustParsePrefix("192.0.2.2/32")
)

// room is a pool whose clients are at the other end of pipes, which hold nothing: what a client does not read is not sent.
type room struct {
	pool   *Pool
	budget *limiter.Budget
	dials  chan net.Conn
	conns  chan *Conn
	from   netip.Prefix

	changes atomic.Uint64
	work    func(ctx context.Context, c *Conn, message string)
}

func newRoom(t *testing.T, change func(*Limits)) *room {
	l := Limits{Most: 8, Queue: 1 << 10, Waiting: 4 << 20, Messages: 2, Idle: 2 * time.Minute, Send: func(int) time.Duration { return 30 * time.Second }}
	if change != nil {
		change(&l)
	}
	budget := limiter.NewBudget("answers", "limits.responses_mib", 8<<20, time.Second, time.Second)
	r := &room{pool: New(l, budget), budget: budget, dials: make(chan net.Conn), conns: make(chan *Conn, 16), from: here}
	r.work = func(_ context.Context, c *Conn, message string) { _ = c.Write([]byte("answer to " + message)) }
	server := &http.Server{Handler: r, ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, wireKey{}, c) }}
	go server.Serve(r)
	t.Cleanup(func() { server.Close() })
	return r
}

// change is the number of one that nothing else brings.
func (r *room) change() uint64 { return r.changes.Add(1) + 100 }

// Accept, Close and Addr implement net.Listener.
func (r *room) Accept() (net.Conn, error) {
	c, ok := <-r.dials
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (r *room) Close() error   { close(r.dials); return nil }
func (r *room) Addr() net.Addr { return &net.TCPAddr{} }

func (r *room) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	c, err := r.pool.Place(q.Context(), r.from)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	ws, err := websocket.Accept(w, q, nil)
	if err != nil {
		c.Abandon()
		return
	}
	r.conns <- c
	c.Serve(q.Context(), ws, pipeWire{q.Context().Value(wireKey{}).(net.Conn)}, r)
}

type wireKey struct{}

// pipeWire gathers nothing.
type pipeWire struct{ net.Conn }

func (pipeWire) Cork()         {}
func (pipeWire) Uncork() error { return nil }

// Receive implements Handler.
func (r *room) Receive(_ context.Context, c *Conn, message io.Reader) (func(), error) {
	text, err := io.ReadAll(message)
	if err != nil {
		return nil, err
	}
	return func() { r.work(c.Context(), c, string(text)) }, nil
}

// open connects a client; the error says when there was no place.
func (r *room) open(t *testing.T, from netip.Prefix) (client *websocket.Conn, c *Conn, err error) {
	r.from = from
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		r.dials <- far
		return near, nil
	}}
	client, _, err = websocket.Dial(t.Context(), "ws://node/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		transport.CloseIdleConnections()
		return nil, nil, err
	}
	client.SetReadLimit(-1)
	t.Cleanup(func() { client.CloseNow() })
	return client, <-r.conns, nil
}

func text(n int) *subscriptions.Fragment {
	return &subscriptions.Fragment{Text: []byte(`"` + strings.Repeat("x", n) + `"`)}
}

// readAll reads until the connection ends, and returns the messages and how it ended.
func readAll(t *testing.T, client *websocket.Conn) (messages []string, end websocket.CloseError) {
	for {
		_, text, err := client.Read(t.Context())
		if err != nil {
			errors.As(err, &end)
			return messages, end
		}
		messages = append(messages, string(text))
	}
}

// TestASlowReaderIsCutOff when its queue is full, and reads why; others are not touched.
func TestASlowReaderIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, nil)
		slow, c, _ := r.open(t, here)
		other, fine, _ := r.open(t, here)
		for range 40 {
			c.Queue(r.change(), "head", text(100))
		}
		synctest.Wait()
		if r.pool.Stats().Cut[SlowReader] != 1 {
			t.Errorf("cut: %v", r.pool.Stats().Cut)
		}
		fine.Queue(r.change(), "head", text(1))
		if _, got, err := other.Read(t.Context()); err != nil || string(got) != `head"x"}}` {
			t.Errorf("the other client: %s %v", got, err)
		}
		_, end := readAll(t, slow)
		if end.Code != websocket.StatusPolicyViolation || !strings.Contains(end.Reason, "limits.socket_kib") {
			t.Errorf("its end: %v", end)
		}
		synctest.Wait()
		if s := r.pool.Stats(); s.Waiting != 0 {
			t.Errorf("%d bytes still wait", s.Waiting)
		}
		other.CloseNow()
		synctest.Wait()
		if open := r.pool.Stats().Open; open != 0 {
			t.Errorf("%d are open", open)
		}
	})
}

// TestWhatOneChangeBringsIsTakenTogether: a block may be larger than the queue, the next change finds it full.
func TestWhatOneChangeBringsIsTakenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, nil)
		client, c, _ := r.open(t, here)
		for range 100 {
			c.Queue(7, "", text(100))
		}
		synctest.Wait()
		if len(r.pool.Stats().Cut) > 0 {
			t.Fatalf("cut: %v", r.pool.Stats().Cut)
		}
		for range 100 {
			if _, _, err := client.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			c.Queue(8, "", text(100))
		}
		synctest.Wait()
		c.Queue(9, "", text(1))
		synctest.Wait()
		if r.pool.Stats().Cut[SlowReader] != 1 {
			t.Errorf("cut: %v", r.pool.Stats().Cut)
		}
		client.CloseNow()
	})
}

// TestAClientThatReadsNothing is cut off after the time that it has for what was sent.
func TestAClientThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, nil)
		_, c, _ := r.open(t, here)
		began := time.Now()
		c.Queue(r.change(), "", text(100))
		<-c.Context().Done()
		after := time.Since(began)
		synctest.Wait()
		if after != 30*time.Second || r.pool.Stats().Cut[NoProgress] != 1 {
			t.Errorf("after %s: %v", after, r.pool.Stats().Cut)
		}
	})
}

// TestASilentClientIsPinged: one that answers stays for ever, one that does not is cut off.
func TestASilentClientIsPinged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, nil)
		_, deaf, _ := r.open(t, here)
		alive, c, _ := r.open(t, here)
		ended := make(chan struct{})
		go func() { readAll(t, alive); close(ended) }()
		<-deaf.Context().Done()
		synctest.Wait()
		if r.pool.Stats().Cut[NoPong] != 1 {
			t.Errorf("cut: %v", r.pool.Stats().Cut)
		}
		time.Sleep(time.Hour)
		if c.Context().Err() != nil {
			t.Errorf("the other: %v", r.pool.Stats().Cut)
		}
		alive.CloseNow()
		<-ended
	})
}

// TestShutdown: the answers that are being made and what is queued come first, then 1001; a client that does not read is left behind.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, nil)
		r.work = func(ctx context.Context, c *Conn, message string) {
			time.Sleep(time.Second)
			_ = c.Write([]byte("late answer to " + message))
		}
		client, c, _ := r.open(t, here)
		_, stuck, _ := r.open(t, here)
		stuck.Queue(r.change(), "", text(1))
		if err := client.Write(t.Context(), websocket.MessageText, []byte("q")); err != nil {
			t.Fatal(err)
		}
		c.Queue(r.change(), "", text(1))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		over := make(chan struct{})
		began := time.Now()
		go func() { r.pool.Shutdown(ctx); close(over) }()
		messages, end := readAll(t, client)
		if len(messages) != 2 || messages[1] != "late answer to q" || end.Code != websocket.StatusGoingAway {
			t.Errorf("%q, then %v", messages, end)
		}
		<-over
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
		if _, _, err := r.open(t, here); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("a newcomer: %v", err)
		}
	})
}

// TestPlaces: one address cannot have them all when another comes, and has to leave when it has most.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, func(l *Limits) { l.Most = 3 })
		var first *websocket.Conn
		for i := range 3 {
			client, _, err := r.open(t, here)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = client
			}
			time.Sleep(time.Second)
		}
		if _, _, err := r.open(t, here); err == nil || !strings.Contains(err.Error(), "503") || r.pool.Stats().Refused != 1 {
			t.Errorf("a fourth: %v", err)
		}
		if _, _, err := r.open(t, there); err != nil {
			t.Fatalf("from another address: %v", err)
		}
		if _, end := readAll(t, first); end.Code != websocket.StatusTryAgainLater || !strings.Contains(end.Reason, "limits.sockets") {
			t.Errorf("the one that was silent for longest: %v", end)
		}
		if _, _, err := r.open(t, there); err == nil {
			t.Error("two of one address and one of the other: none has to give way")
		}
		if s := r.pool.Stats(); s.Open != 3 || s.Cut[Displaced] != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestMemory: a text that waits for many is counted once, is taken from the budget of answers, and given back.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, func(l *Limits) { l.Queue = 1 << 40 })
		var conns []*Conn
		var clients []*websocket.Conn
		for range 4 {
			client, c, _ := r.open(t, here)
			clients, conns = append(clients, client), append(conns, c)
		}
		shared := text(2 << 20)
		for _, c := range conns {
			c.Queue(r.change(), "", shared)
		}
		if s := r.pool.Stats(); s.Waiting < 2<<20 || s.Waiting > 3<<20 {
			t.Errorf("%d bytes wait", s.Waiting)
		}
		if used, _ := r.budget.Used(); used < 2<<20-64<<10 {
			t.Errorf("%d bytes are taken from the budget", used)
		}
		for range 3 { // 4 MiB are for all: this is one too many, and the client that has so much is cut off
			conns[0].Queue(r.change(), "", text(1<<20))
		}
		synctest.Wait()
		if s := r.pool.Stats(); s.Cut[NoMemory] != 1 || conns[0].Context().Err() == nil {
			t.Errorf("%+v", s)
		}
		conns[1].Queue(r.change(), "", text(100)) // a little more is borne, and sent
		for _, client := range clients {
			client.CloseNow()
		}
		synctest.Wait()
		used, _ := r.budget.Used()
		if s := r.pool.Stats(); s.Waiting != 0 || used != 0 || shared.Held.Load() != 0 {
			t.Errorf("at the end %d bytes wait, %d are taken, %d hold the text", s.Waiting, used, shared.Held.Load())
		}
	})
}

// TestMessagesRunSideBySide, so many at a time; the answers come when they are made, and the work ends with the client.
func TestMessagesRunSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, nil)
		var running, most atomic.Int32
		r.work = func(ctx context.Context, c *Conn, message string) {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer running.Add(-1)
			wait := time.Second
			if message == "slow" {
				wait = time.Minute
			}
			select {
			case <-time.After(wait):
				_ = c.Write([]byte(message))
			case <-ctx.Done():
			}
		}
		client, c, _ := r.open(t, here)
		go func() {
			for _, m := range []string{"slow", "1", "2", "3"} {
				_ = client.Write(t.Context(), websocket.MessageText, []byte(m))
			}
		}()
		for _, want := range []string{"1", "2", "3"} {
			if _, got, err := client.Read(t.Context()); err != nil || string(got) != want {
				t.Errorf("%s %v, want %s", got, err, want)
			}
		}
		if most.Load() != 2 {
			t.Errorf("%d at a time", most.Load())
		}
		client.CloseNow()
		<-c.Context().Done()
		synctest.Wait()
		if running.Load() != 0 {
			t.Error("the work goes on without its client")
		}
	})
}

// TestNotificationsWaitForTheAnswer while they are held.
func TestNotificationsWaitForTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, nil)
		r.work = func(ctx context.Context, c *Conn, message string) {
			release := c.Hold()
			c.Queue(r.change(), "told", text(0))
			time.Sleep(time.Second)
			_ = c.Write([]byte("answer"))
			release()
		}
		client, _, _ := r.open(t, here)
		if err := client.Write(t.Context(), websocket.MessageText, []byte("q")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"answer", `told""}}`} {
			if _, got, err := client.Read(t.Context()); err != nil || string(got) != want {
				t.Errorf("%s %v, want %s", got, err, want)
			}
		}
		client.CloseNow()
	})
}

// TestMessagesAreText: anything else ends the connection.
func TestMessagesAreText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, nil)
		client, _, _ := r.open(t, here)
		go client.Write(t.Context(), websocket.MessageBinary, []byte("q"))
		if _, end := readAll(t, client); end.Code != websocket.StatusUnsupportedData {
			t.Errorf("%v", end)
		}
	})
}
