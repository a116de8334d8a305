package localnet

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// source stands between a follower and the node that it follows. It passes everything on, and changes what the node says of its blocks.
type source struct {
	*httptest.Server

	mu     sync.Mutex
	target string
	lie    func([]map[string]any) []map[string]any // nil: it is honest
	told   int                                     // lies since the last change
	about  uint64                                  // the lowest block that a lie was about
	other  func(http.ResponseWriter)               // nil: it answers
	more   chan struct{}
}

func newSource(t *testing.T, target string) *source {
	s := &source{target: target, more: make(chan struct{}, 1)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// set changes the node that is behind it, and the lie.
func (s *source) set(target string, lie func([]map[string]any) []map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target, s.lie, s.told, s.about, s.other = target, lie, 0, math.MaxUint64, nil
	select {
	case <-s.more:
	default:
	}
}

// instead has it write something else where it is asked for blocks.
func (s *source) instead(write func(http.ResponseWriter)) {
	s.set("", nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.other = write
}

// lies waits until the lie was told so often, and returns the lowest block that it was about.
func (s *source) lies(t *testing.T, times int) (about uint64) {
	t.Helper()
	ctx := within(t, patient)
	for {
		s.mu.Lock()
		enough, about := s.told >= times, s.about
		s.mu.Unlock()
		if enough {
			return about
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			t.Fatalf("the lie was told fewer than %d times", times)
		}
	}
}

func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	target, other := s.target, s.other
	s.mu.Unlock()
	if other != nil && bytes.Contains(body, []byte("ordo_decidedBlocks")) {
		w.Header().Set("Content-Type", "application/json")
		other(w)
		s.mu.Lock()
		s.told++
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		return
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return
	}
	request.Header = r.Header.Clone()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		http.Error(w, "the node is away", http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		http.Error(w, "the node is away", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.changed(body, text))
}

// changed tells the lie, where there is one, of an answer with blocks.
func (s *source) changed(request, answer []byte) []byte {
	var asked struct {
		Method string `json:"method"`
		Params struct {
			From uint64 `json:"from"`
		} `json:"params"`
	}
	var said map[string]any
	if json.Unmarshal(request, &asked) != nil || asked.Method != "ordo_decidedBlocks" || asked.Params.From == 0 || json.Unmarshal(answer, &said) != nil {
		return answer
	}
	result, _ := said["result"].(map[string]any)
	list, _ := result["blocks"].([]any)
	if len(list) == 0 {
		return answer
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lie == nil {
		return answer
	}
	var blocks, honest []map[string]any
	for _, one := range list {
		blocks = append(blocks, one.(map[string]any))
		honest = append(honest, maps.Clone(one.(map[string]any)))
	}
	changed := s.lie(blocks)
	result["blocks"] = changed
	first := 0
	for first < len(changed) && reflect.DeepEqual(changed[first], honest[first]) {
		first++
	}
	text, err := json.Marshal(said)
	if err != nil || first == len(changed) {
		return answer // nothing to lie about
	}
	s.told++
	s.about = min(s.about, uint64(honest[first]["height"].(float64)))
	select {
	case s.more <- struct{}{}:
	default:
	}
	return text
}

// flipped changes one byte of a field in base64.
func flipped(field string) func([]map[string]any) []map[string]any {
	return func(blocks []map[string]any) []map[string]any {
		raw, err := base64.StdEncoding.DecodeString(blocks[0][field].(string))
		if err == nil && len(raw) > 0 {
			raw[len(raw)/2] ^= 1
		}
		blocks[0][field] = base64.StdEncoding.EncodeToString(raw)
		return blocks
	}
}

// proposal changes the body of the first block with transactions, and leaves its value.
func proposal(change func(*ordov1.Proposal)) func([]map[string]any) []map[string]any {
	return func(blocks []map[string]any) []map[string]any {
		for _, b := range blocks {
			p := &ordov1.Proposal{}
			raw, err := base64.StdEncoding.DecodeString(b["body"].(string))
			if err != nil || proto.Unmarshal(raw, p) != nil || len(p.Transactions) == 0 {
				continue
			}
			change(p)
			if raw, err = proto.Marshal(p); err == nil {
				b["body"] = base64.StdEncoding.EncodeToString(raw)
			}
			break
		}
		return blocks
	}
}
