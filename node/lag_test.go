package node

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestProgressIsTold: a node that is far behind says so at once, then every ten seconds with its rate and what is left, and that it has caught
// up. One that is a little behind says nothing.
func TestProgressIsTold(t *testing.T) {
	var out bytes.Buffer
	p := &lagLog{log: hclog.New(&hclog.LoggerOptions{Output: &out, DisableTime: true})}
	now := time.Unix(1_800_000_000, 0)
	lines := func() string { defer out.Reset(); return out.String() }
	for next := range uint64(50) {
		p.at(now, next+1, next+60)
	}
	if got := lines(); got != "" {
		t.Errorf("a node that is a little behind says: %s", got)
	}
	p.at(now, 1000, 4999)
	if got := lines(); !strings.Contains(got, "catching up: number=1000 head=4999 behind=4000") {
		t.Errorf("at the first block: %q", got)
	}
	p.at(now.Add(9*time.Second), 1900, 4999)
	if got := lines(); got != "" {
		t.Errorf("after 9 s: %s", got)
	}
	p.at(now.Add(10*time.Second), 2000, 4999)
	if got := lines(); !strings.Contains(got, `behind=3000 rate="100 blocks/s" left=30s`) {
		t.Errorf("after 10 s: %q", got)
	}
	p.at(now.Add(41*time.Second), 5000, 4999)
	if got := lines(); !strings.Contains(got, "caught up: number=4999 blocks=4000 took=41s") {
		t.Errorf("at the end: %q", got)
	}
	p.at(now.Add(2*time.Minute), 5001, 5000)
	p.at(now.Add(3*time.Minute), 5001, 5001)
	if got := lines(); got != "" {
		t.Errorf("afterwards: %s", got)
	}
}

// TestLagOfAFalseHead: whatever a head says, the lag is a number of blocks.
func TestLagOfAFalseHead(t *testing.T) {
	for _, c := range []struct {
		head, next uint64
		lag        int64
	}{{0, 0, 1}, {4, 5, 0}, {5, 5, 1}, {0, 9, 0}, {math.MaxUint64, 0, math.MaxInt64}, {math.MaxUint64, 1 << 63, math.MaxInt64}} {
		if got := lagOf(c.head, c.next); got != c.lag {
			t.Errorf("head %d, next %d: %d, want %d", c.head, c.next, got, c.lag)
		}
	}
}

// TestAnswerOfASourceIsBounded: a list of more blocks than an answer has is not read to its end.
func TestAnswerOfASourceIsBounded(t *testing.T) {
	list := func(n int) []byte {
		return []byte(`{"head": 7, "blocks": [` + strings.Repeat(`{},`, n-1) + `{"height": 9}]}`)
	}
	var a decidedBlocks
	if err := json.Unmarshal(list(decidedCount), &a); err != nil || len(a.Blocks) != decidedCount || a.Blocks[decidedCount-1].Height != 9 || a.Head != 7 {
		t.Errorf("%d blocks: %v", len(a.Blocks), err)
	}
	a = decidedBlocks{}
	if err := json.Unmarshal(list(decidedCount+1), &a); err == nil || !strings.Contains(err.Error(), "more than 64 blocks") {
		t.Errorf("one more: %d blocks, %v", len(a.Blocks), err)
	}
	for _, text := range []string{`{"blocks": 7}`, `{"blocks": {"a": 1}}`, `{"blocks": [7]}`, `{"blocks": [{"height": -1}]}`} {
		if err := json.Unmarshal([]byte(text), &decidedBlocks{}); err == nil {
			t.Errorf("%s is read", text)
		}
	}
}
