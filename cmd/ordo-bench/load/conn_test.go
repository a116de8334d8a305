package load

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestConn: a connection is used again, opened again when the server has closed it, and a rejection is told.
func TestConn(t *testing.T) {
	remotes := map[string]int{}
	closing := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		remotes[r.RemoteAddr]++
		body, _ := io.ReadAll(r.Body)
		if string(body) == "bad" {
			http.Error(w, "no such page", http.StatusNotFound)
			return
		}
		if closing {
			w.Header().Set("Connection", "close")
		}
		io.WriteString(w, `{"path":"`+r.URL.Path+`","body":`+string(body)+`}`+strings.Repeat(" ", 5000)) // chunked
	}))
	defer server.Close()
	to, err := parseTarget(server.URL + "/rpc")
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(to)
	defer c.close()
	ask := func(body, want string) {
		t.Helper()
		answer, err := c.post(t.Context(), []byte(body))
		if got := strings.TrimSpace(string(answer)); err != nil || got != want {
			t.Fatalf("%s, %v", got, err)
		}
	}
	ask("1", `{"path":"/rpc","body":1}`)
	ask("2", `{"path":"/rpc","body":2}`)
	if len(remotes) != 1 {
		t.Errorf("two requests over %d connections", len(remotes))
	}
	server.CloseClientConnections()
	ask("3", `{"path":"/rpc","body":3}`)
	closing = true
	ask("4", `{"path":"/rpc","body":4}`)
	ask("5", `{"path":"/rpc","body":5}`)
	if _, err := c.post(t.Context(), []byte("bad")); err == nil || !strings.Contains(err.Error(), "status 404: no such page") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := c.post(ctx, []byte("6")); err == nil {
		t.Error("a request beyond its deadline is answered")
	}
	closing = false
	ask("7", `{"path":"/rpc","body":7}`)
}

func TestParseTarget(t *testing.T) {
	for raw, want := range map[string]target{
		"http://127.0.0.1:5050":    {address: "127.0.0.1:5050", host: "127.0.0.1:5050", path: "/"},
		"https://a.example/rpc?x=": {address: "a.example:443", host: "a.example", path: "/rpc?x=", tls: true},
		"http://[::1]/":            {address: "[::1]:80", host: "[::1]", path: "/"},
	} {
		if got, err := parseTarget(raw); err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{"", "127.0.0.1:5050", "ws://a", "http://", "http://%"} {
		if _, err := parseTarget(raw); err == nil {
			t.Errorf("%q is a target", raw)
		}
	}
}
