package rpc

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestPiecesAreTheWhole: an answer that is written in pieces is, byte for byte, what encoding/json makes of it. The answers are
// those to all requests of the transcripts.
func TestPiecesAreTheWhole(t *testing.T) {
	w, _ := extendedWorld(t)
	results := 0
	for method, list := range corpus(t, w.server) {
		if !w.server.methods[method].repeatable {
			continue
		}
		for _, body := range list {
			requests, _, failed := requests(body, 10)
			if failed != nil {
				t.Fatal(failed)
			}
			result, failed := w.server.Call(t.Context(), method, requests[0].params)
			if failed != nil {
				continue
			}
			results++
			var want bytes.Buffer
			encoder := json.NewEncoder(&want)
			encoder.SetEscapeHTML(false)
			if err := encoder.Encode(result); err != nil {
				t.Fatal(err)
			}
			pieces := bytes.Buffer{}
			j := jsonWriter{spill: func(text []byte) error { pieces.Write(text); return nil }}
			if err := j.value(result, true); err != nil {
				t.Errorf("%s: %v", body, err)
			}
			pieces.Write(j.buf)
			if got := strings.TrimSuffix(want.String(), "\n"); got != pieces.String() {
				t.Errorf("%s:\nwhole  %s\npieces %s", body, got, &pieces)
			}
		}
	}
	if results < 60 {
		t.Errorf("%d results are too few to say much", results)
	}
}

// TestALargeAnswerIsNeverWhole: what is gathered of it stays about a piece, whatever it is made of.
func TestALargeAnswerIsNeverWhole(t *testing.T) {
	class := json.RawMessage(`["` + strings.Repeat("a", 1<<20) + `"]`)
	calls := &ordov1.FunctionInvocation{Calldata: make([]byte, 32*100_000)}
	for range 20 {
		calls = &ordov1.FunctionInvocation{Calls: []*ordov1.FunctionInvocation{calls, calls}}
		if len(calls.Calls[0].Calls) > 0 {
			calls.Calls[1] = nil
		}
	}
	var events []emittedEvent
	for range 1000 {
		events = append(events, emittedEvent{event: event{Keys: make(hexFelts, 32*300)}})
	}
	for name, v := range map[string]any{"class": class, "trace": newInvocation(calls), "events": &eventPage{Events: events}, "felts": hexFelts(make([]byte, 32*100_000))} {
		most, total := 0, 0
		j := jsonWriter{spill: func(text []byte) error {
			most, total = max(most, cap(text)), total+len(text)
			return nil
		}}
		if err := j.value(v, true); err != nil {
			t.Error(name, err)
		}
		if total < 500_000 || most > 4*piece {
			t.Errorf("%s: %d bytes in all, %d at a time", name, total, most)
		}
		if held := weight(v); held < 500_000 {
			t.Errorf("%s weighs %d", name, held)
		}
	}
}

// TestGarbledClass: what is no JSON is found before anything of it is sent.
func TestGarbledClass(t *testing.T) {
	j := jsonWriter{spill: func([]byte) error { t.Error("something is sent"); return nil }}
	if err := j.value(json.RawMessage(`{"abi":`+strings.Repeat(" ", 1<<20)), true); err == nil || len(j.buf) > 0 {
		t.Errorf("%v, %d bytes", err, len(j.buf))
	}
}

// TestPositiveIsLinear: a compiled class may have a hundred thousand negative immediates.
func TestPositiveIsLinear(t *testing.T) {
	hints := func(n int) []byte { return []byte("[" + strings.Repeat(`"-0x1",`, n) + `0]`) }
	if got := positive(hints(2)); string(got) != `["0x800000000000011000000000000000000000000000000000000000000000000","0x800000000000011000000000000000000000000000000000000000000000000",0]` {
		t.Errorf("%s", got)
	}
	for _, odd := range []string{`["-0x` + strings.Repeat("1", 1000) + `"]`, `["-0xg"]`, `["-0x1`, `["0x1"]`} {
		if got := positive([]byte(odd)); string(got) != odd {
			t.Errorf("%s became %s", odd, got)
		}
	}
	count := func(n int) uint64 {
		text := hints(n)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		positive(text)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if few, many := count(100), count(10_000); many > 300*few {
		t.Errorf("100 take %d bytes of copies, 10,000 take %d", few, many)
	}
}

func TestLongTokens(t *testing.T) {
	for text, ok := range map[string]bool{"1-2": true, "ffffffffffffffff-ffffffffffffffff": true, "01-2": false, "1-2 ": false, strings.Repeat("f", 1<<20) + "-1": false, "": false} {
		if _, err := parseToken(text); (err == nil) != ok {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}

// postBody posts a body without a connection and returns the answer.
func postBody(s *Server, body string) string { return postAt(s, "/", body) }

func postAt(s *Server, path, body string) string {
	r := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	request.Host, request.Header = "127.0.0.1", http.Header{"Content-Type": {"application/json"}}
	s.ServeHTTP(r, request)
	return r.Body.String()
}
