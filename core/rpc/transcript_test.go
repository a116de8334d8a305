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
// Every answer is also checked against the specification, in every version, and together they show each result and each error that
// the specification lists for a method.
func TestTranscripts(t *testing.T) {
	checkers := map[*Version]*openrpc.Checker{}
	for _, v := range versions {
		checkers[v] = checker(t, v)
	}
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.HasPrefix(path, filepath.Join("testdata", "sockets")) {
			return // TestSocketTranscripts has them
		}
		worlds := map[*Version]*world{} // one each: what is sent changes them
		for _, v := range versions {
			worlds[v] = newWorld(t)
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			everywhere := func(method, params string, shown *Version) (out string) {
				for _, v := range versions {
					if text := postMethod(t, worlds[v], checkers[v], v, method, params); v == shown {
						out = text
					}
				}
				return out
			}
			switch d.Cmd {
			case "empty": // a chain without blocks, from here on
				for _, v := range versions {
					worlds[v] = withoutBlocks(t)
				}
				return ""
			case "send":
				method, params := broadcast(t, d.CmdArgs[0].Key, d.CmdArgs[1:])
				return everywhere(method, params, newest)
			case "post":
				switch len(d.CmdArgs) {
				case 0:
					return postTranscribed(t, worlds[newest], checkers[newest], d)
				case 1:
					return everywhere(d.CmdArgs[0].Key, d.Input, newest)
				}
				return everywhere(d.CmdArgs[0].Key, d.Input, versionAt(d.CmdArgs[1].Key)) // `post starknet_call /rpc/v0_9`
			case "get":
				r := httptest.NewRecorder()
				worlds[newest].server.ServeHTTP(r, httptest.NewRequest(http.MethodGet, d.CmdArgs[0].Key, nil))
				return http.StatusText(r.Code) + "\n" + indent(r.Body.Bytes())
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
	if t.Failed() {
		return
	}
	for _, v := range versions {
		for _, missing := range checkers[v].Missing(checkers[v].Table, openrpc.Never) {
			t.Errorf("version %s: %s", v.Number, missing)
		}
	}
}

// postMethod posts a request for a method on the last path of a version.
func postMethod(t *testing.T, w *world, check *openrpc.Checker, v *Version, method, params string) string {
	t.Helper()
	if params == "" {
		params = "[]"
	}
	r := httptest.NewRecorder()
	w.server.ServeHTTP(r, httptest.NewRequest(http.MethodPost, v.paths[len(v.paths)-1], strings.NewReader(call1(method, params))))
	var answer struct {
		Result json.RawMessage
		Error  json.RawMessage
	}
	if err := json.Unmarshal(r.Body.Bytes(), &answer); err != nil {
		t.Fatalf("answer is not json: %s", r.Body)
	}
	if err := check.Answer(method, answer.Result, answer.Error); err != nil {
		t.Error(err)
	}
	if answer.Error != nil {
		return "error " + indent(answer.Error)
	}
	return indent(answer.Result)
}

// postTranscribed posts a whole body.
func postTranscribed(t *testing.T, w *world, check *openrpc.Checker, d *datadriven.TestData) string {
	t.Helper()
	r := httptest.NewRecorder()
	w.server.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/rpc", strings.NewReader(d.Input)))
	if r.Body.Len() > 0 {
		compare := openrpc.Transport{Checker: check, Wrong: func(err error) { t.Error(err) }}
		compare.Compare([]byte(d.Input), r.Body.Bytes())
	}
	return http.StatusText(r.Code) + "\n" + indent(r.Body.Bytes())
}

func indent(raw []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, raw, "", " ") != nil {
		return string(raw) + "\n"
	}
	return strings.TrimSpace(out.String()) + "\n"
}
