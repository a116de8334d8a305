package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/test/mutate"
)

// The attack in its short form is a part of every test run; ORDO_ATTACK=full is 10,000 bodies per method and 2,000 sockets.
func full() bool { return os.Getenv("ORDO_ATTACK") == "full" }

func bodiesPerMethod() int {
	if full() {
		return 10_000
	}
	return 100
}

func sockets() int {
	if full() {
		return 2000
	}
	return 200
}

// corpus are the requests of the transcripts, by method.
func corpus(t testing.TB, s *Server) map[string][][]byte {
	t.Helper()
	all := map[string][][]byte{}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for i, line := range lines {
			method, ok := strings.CutPrefix(line, "post ")
			if !ok || s.methods[method].Call == nil {
				continue
			}
			var params []string
			for _, more := range lines[i+1:] {
				if more == "----" {
					break
				}
				params = append(params, more)
			}
			if body := mutate.Request(method, strings.Join(params, "\n")); json.Valid(body) {
				all[method] = append(all[method], body)
			}
		}
	}
	for name, m := range s.methods { // what no transcript has
		var fields []string
		for _, p := range m.Params {
			if right[p] != "" {
				fields = append(fields, fmt.Sprintf("%q:%s", p, right[p]))
			}
		}
		all[name] = append(all[name], mutate.Request(name, "{"+strings.Join(fields, ",")+"}"))
	}
	return all
}

// level is what a leak would raise.
type level struct {
	goroutines, files int
	heap              uint64
}

func (l level) String() string {
	return fmt.Sprintf("%d goroutines, %d open files, %d KiB heap", l.goroutines, l.files, l.heap>>10)
}

func measure() level {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, _ := os.ReadDir("/proc/self/fd")
	return level{runtime.NumGoroutine(), len(files), m.HeapAlloc}
}

// returns waits until the level is again what it was, but for a little.
func returns(t *testing.T, before level) {
	t.Helper()
	var now level
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		now = measure()
		if now.goroutines <= before.goroutines+5 && now.files <= before.files+5 && now.heap <= before.heap+8<<20 {
			t.Logf("before: %v; after: %v", before, now)
			return
		}
	}
	t.Errorf("before: %v; after: %v", before, now)
}

// attackWorld is a chain whose stages make sense whatever is sent.
func attackWorld(t testing.TB) *world {
	w, _ := extendedWorld(t)
	w.server.Log = slog.New(slog.DiscardHandler)
	for sender := range refusedSenders { // some refuse an invoke as if it were a declaration
		if sender >= 0x1005 && sender <= 0x100c {
			delete(w.execution.verdicts, Key(fe(sender)))
		}
	}
	return w
}

// attackable is one that listens.
func attackable(t *testing.T, change func(*Limits)) (s *Server, address string) {
	s = limited(t, attackWorld(t), change)
	return s, serve(t, s)
}

// TestMutatedBodies: damaged requests of every method are answered, in JSON-RPC and with errors that the method may have, and
// leave nothing behind.
func TestMutatedBodies(t *testing.T) {
	s, address := attackable(t, func(*Limits) {})
	requests := corpus(t, s)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	send := func(body []byte) (int, []byte, error) {
		r, err := client.Post("http://"+address, "application/json", bytes.NewReader(body))
		if err != nil {
			return 0, nil, err
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		return r.StatusCode, text, err
	}
	for method, list := range requests { // caches are warm, and the valid requests are
		for _, body := range list {
			if code, answer, err := send(body); err != nil || mutate.Check(method, code, answer) != nil {
				t.Errorf("%s: %.300s: %v %v", method, body, err, mutate.Check(method, code, answer))
			}
		}
	}
	transport.CloseIdleConnections()
	before := measure()

	type job struct {
		method string
		body   []byte
	}
	jobs := make(chan job)
	var sent, results, failed atomic.Int64
	var all sync.WaitGroup
	for range 24 {
		all.Go(func() {
			for j := range jobs {
				code, answer, err := send(j.body)
				if err == nil {
					err = mutate.Check(j.method, code, answer)
				}
				sent.Add(1)
				if bytes.Contains(answer, []byte(`"result":`)) {
					results.Add(1)
				}
				if err != nil && failed.Add(1) < 20 {
					t.Errorf("%s: %v\nrequest %.600s\nanswer %.600s", j.method, err, j.body, answer)
				}
			}
		})
	}
	methods := 0
	for method, list := range requests {
		methods++
		seed := fnv.New64a()
		io.WriteString(seed, method)
		r := rand.New(rand.NewPCG(seed.Sum64(), 1)) // the same bodies in every run
		for range bodiesPerMethod() {
			jobs <- job{method, mutate.Body(r, list[r.IntN(len(list))])}
		}
	}
	close(jobs)
	all.Wait()
	if code, answer, err := send([]byte(chainIDRequest)); err != nil || code != 200 || !bytes.Contains(answer, []byte("0x534e")) {
		t.Errorf("afterwards: %d %s %v", code, answer, err)
	}
	t.Logf("%d bodies for %d methods, %d with a result, %d wrong answers", sent.Load(), methods, results.Load(), failed.Load())
	if results.Load() < sent.Load()/50 || results.Load() > sent.Load()*9/10 {
		t.Errorf("%d of %d have a result: the damage is too large or too small to test much", results.Load(), sent.Load())
	}
	transport.CloseIdleConnections()
	returns(t, before)
}

// crowd opens connections, each of which does something to the node.
func crowd(t *testing.T, address string, n int, do func(i int, c net.Conn)) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	var all sync.WaitGroup
	next := atomic.Int32{}
	for range 16 {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = c
				do(i, c)
			}
		})
	}
	all.Wait()
	return slices.DeleteFunc(conns, func(c net.Conn) bool { return c == nil })
}

// TestSocketAttack: idle, trickling, half-closed and unreading clients in large numbers keep no other client out, and leave nothing behind.
func TestSocketAttack(t *testing.T) {
	head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
	whole := fmt.Sprintf(head, len(chainIDRequest)) + chainIDRequest
	for _, attack := range []struct {
		name string
		do   func(i int, c net.Conn)
		ends bool // the node ends it by itself
	}{
		{"idle", func(int, net.Conn) {}, false},
		{"slow head", func(_ int, c net.Conn) { io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nX-") }, true},
		{"slow body", func(_ int, c net.Conn) { io.WriteString(c, fmt.Sprintf(head, 1000)+`{"jsonrpc":`) }, true},
		{"half closed", func(i int, c net.Conn) {
			io.WriteString(c, whole[:len(whole)*(i%11)/10%len(whole)])
			c.(*net.TCPConn).CloseWrite()
		}, true},
		{"reset in the middle", func(i int, c net.Conn) {
			io.WriteString(c, whole[:1+len(whole)*(i%10)/10])
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}, true},
		{"garbage", func(i int, c net.Conn) {
			noise := make([]byte, 100)
			rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(noise)
			c.Write(noise)
		}, true},
		{"answers that are not read", func(_ int, c net.Conn) { io.WriteString(c, strings.Repeat(whole, 100)) }, false},
	} {
		t.Run(attack.name, func(t *testing.T) {
			_, address := attackable(t, func(l *Limits) {
				l.Header, l.Receive, l.Idle, l.Send = time.Second, time.Second, 5*time.Second, time.Second
			})
			if _, _, err := postTo(address, chainIDRequest); err != nil {
				t.Fatal(err)
			}
			before := measure()
			conns := crowd(t, address, sockets(), attack.do)
			began := time.Now()
			if code, text, err := postTo(address, chainIDRequest); err != nil || code != 200 || !strings.Contains(text, "0x534e") {
				t.Errorf("beside %d sockets: %d %s %v", len(conns), code, text, err)
			}
			answered := time.Since(began)
			during := measure()
			if attack.ends {
				for _, c := range conns {
					if !closed(c, 15*time.Second) {
						t.Error("the node does not end it")
						break
					}
				}
			}
			for _, c := range conns {
				c.Close()
			}
			t.Logf("%d sockets: another client was answered in %v; at the time %v", len(conns), answered.Round(time.Millisecond), during)
			returns(t, before)
		})
	}
}
