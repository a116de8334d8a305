// Package attack sends damaged requests and crowds of sockets to a real node with its four plugins.
// The same attack on the server alone is part of core/rpc's tests.
//
//	ORDO_ATTACK=short go test ./test/attack                 200 bodies per method, 200 sockets
//	ORDO_ATTACK=full  go test ./test/attack -timeout 1h     10,000 and 2,000
//
// ORDO_ATTACK_BODIES is another number of bodies. Needs make build.
package attack

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/attack/attacker"
	"github.com/ordo-sequencer/ordo/test/mutate"
	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

func size(t *testing.T) (bodies, sockets int) {
	switch os.Getenv("ORDO_ATTACK") {
	case "":
		t.Skip("ORDO_ATTACK is not set: short or full")
	case "full":
		bodies, sockets = 10_000, 2000
	default:
		bodies, sockets = 200, 200
	}
	if n, err := strconv.Atoi(os.Getenv("ORDO_ATTACK_BODIES")); err == nil {
		bodies = n
	}
	return bodies, sockets
}

// start runs the node and waits until it serves.
func start(t *testing.T) (url string, pid int) {
	t.Helper()
	n := nodetest.Run(t, exec.Command(filepath.Join(need.Binaries(t), "ordo"), "dev", "--port", "0"), time.Minute)
	n.Serve(t, time.Minute)
	t.Cleanup(func() {
		if n.Ended() {
			t.Errorf("the node is gone: %v", n.Err())
		}
	})
	return n.URL, n.PID()
}

// use is what a process of the node takes.
type use struct {
	name           string
	rss            int // KiB
	files, threads int
}

func (u use) String() string {
	return fmt.Sprintf("%s %d MiB %d files %d threads", u.name, u.rss>>10, u.files, u.threads)
}

// processes are the core and its children.
func processes(t *testing.T, core int) map[int]use {
	t.Helper()
	all := map[int]use{}
	list, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range list {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		field := func(name string) string {
			_, rest, _ := strings.Cut(string(raw), "\n"+name+":")
			line, _, _ := strings.Cut(rest, "\n")
			return strings.TrimSpace(strings.TrimSuffix(line, "kB"))
		}
		number := func(name string) int { n, _ := strconv.Atoi(field(name)); return n }
		pid := number("Pid")
		if pid != core && number("PPid") != core {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		name, _, _ := bytes.Cut(line, []byte{0})
		files, _ := os.ReadDir(filepath.Join(filepath.Dir(file), "fd"))
		all[pid] = use{filepath.Base(string(name)), number("VmRSS"), len(files), number("Threads")}
	}
	if len(all) != 5 {
		t.Errorf("%d processes: %v", len(all), all)
	}
	return all
}

// settled waits until no process has more open files than before, nor much more memory.
func settled(t *testing.T, core int, before map[int]use, extra int) {
	t.Helper()
	var now map[int]use
	fine := false
	for end := time.Now().Add(30 * time.Second); !fine && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		now, fine = processes(t, core), true
		for pid, was := range before {
			u, there := now[pid]
			fine = fine && there && u.files <= was.files+10 && u.rss <= was.rss+extra<<10
		}
	}
	for pid, was := range before {
		t.Logf("before %v; after %v", was, now[pid])
	}
	if !fine {
		t.Errorf("files or memory did not return (memory: at most %d MiB more)", extra)
	}
}

// corpus are valid requests of each method, about a chain that has some of everything.
func corpus(t *testing.T, n client.Node) map[string][][]byte {
	t.Helper()
	account := genesis.Accounts(0, 2)
	sender := client.NewAccount(account[0], "SN_SEPOLIA")
	token := genesis.STRKAddress()
	transfer := func(nonce uint64) *client.Tx {
		return sender.Invoke(nonce, client.Transfer(token, account[1].Address, 1))
	}
	for nonce := range uint64(3) {
		if _, err := n.Submit(t.Context(), transfer(nonce)); err != nil {
			t.Fatal(err)
		}
	}
	hash := transfer(0).ID()
	if _, err := n.Wait(t.Context(), hash, "ACCEPTED_ON_L2"); err != nil {
		t.Fatal(err)
	}
	var class felt.Felt
	if err := n.Call(t.Context(), "starknet_getClassHashAt", []any{"latest", account[0].Address.Hex()}, &class); err != nil {
		t.Fatal(err)
	}
	deploy := client.NewAccountAt(sender, class, felt.FromUint64(7), felt.FromUint64(7)).DeployAccount(class, felt.FromUint64(7))
	all, err := attacker.Corpus(t.Context(), n, attacker.Subject{
		Account: account[0].Address, Token: token, Class: class, Hash: hash, Nonce: 3,
		Invoke: func(nonce uint64) any { return transfer(nonce).JSON() }, Deploy: deploy.JSON(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRealNode(t *testing.T) {
	bodies, sockets := size(t)
	url, pid := start(t)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	n := client.Node{URL: url, HTTP: &http.Client{Transport: transport, Timeout: 2 * time.Minute}}
	requests := corpus(t, n)
	t.Logf("at rest: %v", processes(t, pid))

	type job struct {
		method string
		body   []byte
	}
	jobs := make(chan job)
	var sent, results, wrong atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for j := range jobs {
				status, answer, err := n.Post(context.Background(), j.body)
				if err == nil {
					err = mutate.Check(j.method, status, answer)
				}
				sent.Add(1)
				if bytes.Contains(answer, []byte(`"result":`)) {
					results.Add(1)
				}
				if err != nil && wrong.Add(1) < 20 {
					t.Errorf("%s: %v\nrequest %.600s\nanswer %.600s", j.method, err, j.body, answer)
				}
			}
		})
	}
	var before map[int]use
	for _, share := range []int{bodies / 5, bodies - bodies/5} { // what the first fifth takes are caches
		for method, list := range requests {
			seed := fnv.New64a()
			io.WriteString(seed, method)
			r := rand.New(rand.NewPCG(seed.Sum64(), uint64(share)))
			for range share {
				jobs <- job{method, mutate.Body(r, list[r.IntN(len(list))])}
			}
		}
		if before == nil {
			before = processes(t, pid)
		}
	}
	close(jobs)
	all.Wait()
	transport.CloseIdleConnections()
	var head int
	if err := n.Call(t.Context(), "starknet_blockNumber", []any{}, &head); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bodies for %d methods, %d with a result, %d wrong answers; the chain has %d blocks", sent.Load(), len(requests), results.Load(), wrong.Load(), head+1)
	settled(t, pid, before, 256)

	transport.CloseIdleConnections()
	before = processes(t, pid)
	t.Run("sockets", func(t *testing.T) {
		address := strings.TrimPrefix(url, "http://")
		var conns []net.Conn
		for i := range sockets {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conns = append(conns, c)
			switch i % 4 {
			case 1:
				io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nX-")
			case 2:
				io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
			case 3:
				io.WriteString(c, "POST / HTTP/1.1\r\n")
				c.(*net.TCPConn).CloseWrite()
			}
		}
		began := time.Now()
		if err := n.Call(t.Context(), "starknet_blockNumber", []any{}, &head); err != nil {
			t.Error(err)
		}
		t.Logf("%d sockets, idle, slow or half closed: another client was answered in %v; %v", len(conns), time.Since(began).Round(time.Millisecond), processes(t, pid)[pid])
	})
	transport.CloseIdleConnections()
	settled(t, pid, before, 64)
	for p, was := range before {
		if _, there := processes(t, pid)[p]; !there {
			t.Errorf("%s ended", was.name)
		}
	}
}
