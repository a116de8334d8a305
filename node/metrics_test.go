package node

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestMetricsCrowd: scrapers that connect and say nothing hold no more than their few places, and give them back.
func TestMetricsCrowd(t *testing.T) {
	s, err := listenMetrics(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	s.server.ReadHeaderTimeout, s.server.ReadTimeout = 100*time.Millisecond, 100*time.Millisecond
	s.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	opened := make(chan struct{}, 1000)
	s.server.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened <- struct{}{}
		}
	}
	go s.server.Serve(s.listener)
	for range 3 * scrapers {
		conn, err := net.Dial("tcp", s.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for range scrapers {
		<-opened
	}
	conn, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusNoContent {
		t.Errorf("behind a silent crowd: %v, %v", answer, err)
	}
}
