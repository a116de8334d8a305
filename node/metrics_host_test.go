package node

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ordo-sequencer/ordo/core/rpc"
)

// TestMetricsUnderAForeignName: a page whose name has come to point at the metrics does not read them.
func TestMetricsUnderAForeignName(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	served := named(page, rpc.Access{Hosts: []string{"metrics.example"}}, "Node7.example:9090")
	for host, status := range map[string]int{
		"127.0.0.1:9090": 200, "localhost:9090": 200, "10.1.2.3": 200, "[2001:db8::1]:9090": 200, "ordo:9090": 200,
		"node7.example:9090": 200, "metrics.example:9090": 200,
		"evil.example:9090": 403, "node7.example.evil.example": 403, "": 403,
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if served.ServeHTTP(w, r); w.Code != status {
			t.Errorf("%q: %d %s", host, w.Code, w.Body)
		}
	}
}
