package rpc

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/ordo-sequencer/ordo/test/openrpc"
)

// TestTranscripts posts each request of testdata/*.txt and compares the answer; `go test ./core/rpc -rewrite` writes them anew.
// Every answer is also checked against the specification.
func TestTranscripts(t *testing.T) {
	spec := loadSpec(t)
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.HasPrefix(path, filepath.Join("testdata", "sockets")) {
			return // TestSocketTranscripts has them
		}
		w := newWorld(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "post":
				return post(t, w, spec, d)
			case "get":
				r := httptest.NewRecorder()
				w.server.ServeHTTP(r, httptest.NewRequest(http.MethodGet, d.CmdArgs[0].Key, nil))
				return http.StatusText(r.Code) + "\n" + indent(r.Body.Bytes())
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func post(t *testing.T, w *world, spec *openrpc.Table, d *datadriven.TestData) string {
	body := d.Input
	// `post starknet_call` takes only the parameters.
	if len(d.CmdArgs) > 0 {
		method := d.CmdArgs[0].Key
		if body == "" {
			body = "[]"
		}
		body = `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + body + `}`
		r := httptest.NewRecorder()
		w.server.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		var answer struct {
			Result json.RawMessage
			Error  json.RawMessage
		}
		if err := json.Unmarshal(r.Body.Bytes(), &answer); err != nil {
			t.Fatalf("answer is not json: %s", r.Body)
		}
		checkAnswer(t, spec, method, answer.Result, answer.Error)
		if answer.Error != nil {
			return "error " + indent(answer.Error)
		}
		return indent(answer.Result)
	}
	r := httptest.NewRecorder()
	w.server.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/rpc", strings.NewReader(body)))
	return http.StatusText(r.Code) + "\n" + indent(r.Body.Bytes())
}

func indent(raw []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, raw, "", " ") != nil {
		return string(raw) + "\n"
	}
	return strings.TrimSpace(out.String()) + "\n"
}
