package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestPhases: each plugin ends a phase, also over midnight; what is no start of a plugin is none.
func TestPhases(t *testing.T) {
	begun := time.Date(2026, 3, 1, 23, 59, 59, 900e6, time.Local)
	log := `noise
23:59:59.950 [INFO]  ordo.storage/badger: started: version=0.1.0 pid=7
00:00:00.100 [WARN]  ordo.storage/badger: started: not this one
00:00:00.300 [INFO]  ordo.execution/blockifier: started: version=0.1.0
2026-03-01T00:00:00.500Z [INFO]  other: started: another form
00:00:00.400 [INFO]  ordo.node: block decided: number=1
`
	var got []string
	for _, p := range phases(log, begun, 600*time.Millisecond) {
		got = append(got, fmt.Sprintf("%s %.0f", p.Until, p.MS))
	}
	if s := strings.Join(got, ", "); s != "storage/badger ready 50, execution/blockifier ready 350, first answer 200" {
		t.Error(s)
	}
	if list := phases("", begun, time.Second); len(list) != 1 || list[0].MS != 1000 {
		t.Errorf("without a log: %v", list)
	}
}

// TestStarts: the phases are those of the median start.
func TestStarts(t *testing.T) {
	s := starts([]started{{3 * time.Second, []Phase{{"c", 3}}}, {time.Second, []Phase{{"a", 1}}}, {2 * time.Second, []Phase{{"b", 2}}}})
	if s.Median != 2000 || s.Phases[0].Until != "b" || len(s.All) != 3 || s.All[0] != 1000 {
		t.Errorf("%+v", s)
	}
}

func TestField(t *testing.T) {
	text := "processor\t: 0\nmodel name\t: Some CPU @ 1: 2\nmodel name\t: other\n"
	if got := field(text, "model name"); got != "Some CPU @ 1: 2" {
		t.Errorf("%q", got)
	}
	if got := field(text, "model"); got != "" {
		t.Errorf("%q", got)
	}
}

func TestTail(t *testing.T) {
	var l tail
	for range 30_000 {
		fmt.Fprintln(&l, "x")
	}
	fmt.Fprint(&l, "the end")
	if s := l.String(); len(s) > 64<<10 || !strings.HasSuffix(s, "the end") {
		t.Errorf("%d bytes", len(s))
	}
}
