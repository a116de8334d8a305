package nodetest

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestServingEndsWithTheProcess: an end before the node serves is told at once, with what it printed.
func TestServingEndsWithTheProcess(t *testing.T) {
	p, err := Start(exec.Command("sh", "-c", "echo no port; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Serving(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no port") {
		t.Errorf("told %v", err)
	}
	p, err = Start(exec.Command("sh", "-c", "echo listening on http://127.0.0.1:1; exec sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Serving(t.Context()); err != nil || p.URL != "http://127.0.0.1:1" {
		t.Errorf("%v, at %s", err, p.URL)
	}
	if err := p.Kill(); err != nil || !p.Ended() || p.Err() == nil {
		t.Errorf("%v, ended %v with %v", err, p.Ended(), p.Err())
	}
}

// TestStopTellsOfAnEndWithAnError: a node that does not end, and one that ends with an error, are told apart from one that ends well.
func TestStopTellsOfAnEndWithAnError(t *testing.T) {
	for script, want := range map[string]string{
		`trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done`: "",
		`trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done`: "exit status 7",
		`trap '' TERM QUIT; echo ready; while :; do sleep 0.01; done`:  "does not end",
	} {
		p, err := Start(exec.Command("sh", "-c", script))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := p.Out.Await(t.Context(), regexp.MustCompile("ready"), p.Done()); !ok {
			t.Fatal(p.Out)
		}
		limit := time.Minute
		if want == "does not end" {
			limit = time.Millisecond
		}
		if err := p.Stop(limit); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
	}
}

// TestAwaitSeesWhatComesLater: a reader that waits is woken by each write.
func TestAwaitSeesWhatComesLater(t *testing.T) {
	o := new(Output)
	found := make(chan []string)
	go func() {
		groups, _ := o.Await(t.Context(), regexp.MustCompile(`a(b+)c`), nil)
		found <- groups
	}()
	for _, part := range []string{"xx a", "bb", "bc yy"} {
		fmt.Fprint(o, part)
	}
	if groups := <-found; len(groups) != 2 || groups[1] != "bbb" {
		t.Errorf("found %v", groups)
	}
	ended := make(chan struct{})
	close(ended)
	if _, ok := o.Await(t.Context(), regexp.MustCompile("never"), ended); ok {
		t.Error("found what is not there")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := o.Await(ctx, regexp.MustCompile("never"), nil); ok {
		t.Error("found what is not there")
	}
	if lines := o.Lines("yy"); len(lines) != 1 {
		t.Errorf("lines %v", lines)
	}
}
