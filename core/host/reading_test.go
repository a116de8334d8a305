package host

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestDecodeEntry(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`{"@message":"hi","@level":"warn","@timestamp":"2026-01-02T03:04:05.000006Z","b":2,"a":"x"}`, "warn hi [a x b 2]"},
		{`{"@message":"hi","height":1234567,"share":0.5}`, "info hi [height 1234567 share 0.5]"},
		{`{"@message":1}`, "info 1 []"},
		{`{"@message":{"a":1},"@level":3,"@timestamp":false}`, "info map[a:1] []"},
		{`{"@message":"hi","@level":"loud"}`, "info hi []"},
		{`{"@message":"hi","@level":"off"}`, "info hi []"},
		{`{"message":"of another logger"}`, "no"},
		{`{`, "no"},
		{`{"@message":"x","n":1e999}`, "no"},
		{`{"@message":"x","n":NaN}`, "no"},
		{`{"@message":"x","n":-1e308,"m":123456789012345678901234567890}`, "info x [m 1.2345678901234568e+29 n -1e+308]"},
		{`{"@message":"a\nb\u001b[2J","k\u0007":"\u001b]0;x"}`, "info a\\nb\\x1b[2J [k\\x07 \\x1b]0;x]"},
		{`{"@message":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}`, "no"},
		{`plain`, "no"},
	} {
		got := "no"
		if level, message, fields, ok := decodeEntry(c.line); ok {
			got = fmt.Sprint(level, " ", printable(message), " ", fields)
		}
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.line, got, c.want)
		}
	}
}

func TestLevels(t *testing.T) {
	var l logLines
	for _, c := range []struct {
		line string
		want hclog.Level
	}{
		{"hello", hclog.Info}, {"[WARN] careful", hclog.Warn}, {"[error] bad", hclog.Error}, {"[] x", hclog.Info}, {"[off] x", hclog.Info},
		{"[open", hclog.Info},
	} {
		if got := l.level(c.line); got != c.want {
			t.Errorf("%q: %s, want %s", c.line, got, c.want)
		}
	}
	for _, start := range []string{"panic: x", "fatal error: all goroutines are asleep", "thread 'main' panicked at src/main.rs:1:", "Traceback (most recent call last):"} {
		if !startsTrace(start) {
			t.Errorf("%q starts no trace", start)
		}
	}
}

// FuzzLog: no line harms the host.
func FuzzLog(f *testing.F) {
	f.Add(`{"@message":1,"@level":[],"@timestamp":{}}`)
	f.Add("[WARN] x\n{\"@message\":\"\\ud800\"}\npanic: x")
	log := hclog.New(&hclog.LoggerOptions{Output: &strings.Builder{}, JSONFormat: true, Level: hclog.Trace})
	f.Fuzz(func(t *testing.T, text string) {
		var l logLines
		forLines(strings.NewReader(text), func(line string) { l.log(log, line) })
	})
}

func TestForLines(t *testing.T) {
	long := strings.Repeat("x", maxLine+10)
	var got []string
	forLines(strings.NewReader("a\n\nb\r\n"+long+"\nc\xff\nno end"), func(line string) { got = append(got, line) })
	want := []string{"a", "", "b", long[:maxLine], "c\uFFFD", "no end"}
	if !slices.Equal(got, want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
}

func TestHistogram(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var all []time.Duration
	for range 20000 {
		d := time.Duration(r.Uint64() >> (20 + r.IntN(40)))
		all = append(all, d)
		h.add(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
		exact := all[min(int(q*float64(len(all))), len(all)-1)]
		got := h.quantiles(q)[0]
		if got < exact || float64(got) > float64(exact)*1.126+1 {
			t.Errorf("q%v: %d, exactly %d", q, got, exact)
		}
	}
	if q := (&histogram{}).quantiles(0.5, 0.99); q[0] != 0 || q[1] != 0 {
		t.Error("quantiles of nothing")
	}
	for _, v := range []uint64{0, 1, 7, 8, 9, 15, 16, 1 << 40, 1<<63 - 1, ^uint64(0)} {
		if b := bucketOf(v); b >= buckets || upperBound(b) < v || b > 0 && upperBound(b-1) >= v {
			t.Errorf("%d lies in bucket %d, up to %d", v, b, upperBound(b))
		}
	}
}

func BenchmarkHistogram(b *testing.B) {
	var h histogram
	for b.Loop() {
		h.add(12345)
	}
}
