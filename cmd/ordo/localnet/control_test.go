package localnet

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// controlled is a localnet of two validators that do not run, with its control socket.
func controlled(t *testing.T) (dir string, stopped chan struct{}) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), strings.Repeat("a-long-name-", 15)) // a socket in it has no path that the system takes
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l := newLayout("SN_SEPOLIA", time.Now())
	l.BasePort, l.Consensus = 6000, "solo"
	if err := create(dir, l, 2); err != nil {
		t.Fatal(err)
	}
	stopped = make(chan struct{})
	c, err := serveControl(newLocalnet(dir, "/nowhere", l, func(Event) {}), func() { close(stopped) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return dir, stopped
}

// TestControlAnswers: faults change, actions on nodes that do not run say what to do, and stop ends the localnet.
func TestControlAnswers(t *testing.T) {
	dir, stopped := controlled(t)
	if info, err := os.Stat(filepath.Join(dir, controlFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v %v", info, err)
	}
	for _, c := range []struct {
		ask    Request
		faults string
		fails  string
	}{
		{Request{Command: "partition", Groups: "0|1"}, "partition 0|1", ""},
		{Request{Command: "delay", Delay: "us-east,eu-west", Jitter: time.Millisecond}, "partition 0|1, delays of us-east,eu-west, jitter 1ms", ""},
		{Request{Command: "heal"}, "delays of us-east,eu-west, jitter 1ms", ""},
		{Request{Command: "partition", Groups: "x"}, "delays of us-east,eu-west, jitter 1ms", "no node"},
		{Request{Command: "delay", Delay: "0"}, "", ""},
		{Request{Command: "kill", Node: 1}, "", "restart 1 starts it"},
		{Request{Command: "pause", Node: 7}, "", "there is no node 7"},
		{Request{Command: "resume", Node: -1}, "", "there is no node -1"},
		{Request{Command: "restart", Node: 2}, "", "there is no node 2"},
		{Request{Command: "twin", Node: 9}, "", "no validator"},
		{Request{Command: "dance"}, "", "no command"},
	} {
		a, err := Ask(t.Context(), dir, c.ask)
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) || a.Faults != c.faults {
			t.Errorf("%+v: %+v, %v", c.ask, a, err)
		}
	}
	a, err := Ask(t.Context(), dir, Request{Command: "status"})
	if err != nil || a.Status == nil || len(a.Status.Nodes) != 2 || a.Status.Nodes[1].State != Stopped {
		t.Errorf("%+v: %v", a, err)
	}
	if _, err := Ask(t.Context(), dir, Request{Command: "stop"}); err != nil {
		t.Error(err)
	}
	<-stopped
}

// TestControlIsBounded: a line that is no request is refused, and one that does not end is not read for ever.
func TestControlIsBounded(t *testing.T) {
	dir, _ := controlled(t)
	path, closing, err := socketPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closing()
	for _, text := range []string{"hello\n", "[]\n", strings.Repeat("x", 2*maxRequest)} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(text))
		if line, err := bufio.NewReader(c).ReadString('\n'); err == nil && !strings.Contains(line, "not a line of JSON") {
			t.Errorf("%.20q: %s", text, line)
		}
		_ = c.Close()
	}
}

// TestWithoutALocalnet: the error says what to do.
func TestWithoutALocalnet(t *testing.T) {
	dir := t.TempDir()
	if _, err := Ask(t.Context(), dir, Request{Command: "status"}); err == nil || !strings.Contains(err.Error(), "--dir") {
		t.Error(err)
	}
	if err := create(dir, newLayout("SN_SEPOLIA", time.Now()), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := Ask(t.Context(), dir, Request{Command: "status"}); err == nil || !strings.Contains(err.Error(), "no localnet runs in") {
		t.Error(err)
	}
}
