package comet_test

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestANodeThatFellBehindStartsAgain takes two minutes: ORDO_COMET_LONG=1.
func TestANodeThatFellBehindStartsAgain(t *testing.T) {
	if os.Getenv("ORDO_COMET_LONG") == "" {
		t.Skip("takes two minutes: ORDO_COMET_LONG=1")
	}
	nodes, _ := network(t, 4)
	for _, n := range nodes {
		n.start()
	}
	quiet := traffic(nodes)
	t.Cleanup(func() { quiet() })
	for began := time.Now(); time.Since(began) < 35*time.Second; { // it does not start again sooner after a start
		nodes[0].blocks(len(nodes[0].snapshot()) + 10)
	}
	late := nodes[3]
	if err := late.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	at := len(nodes[0].snapshot())
	nodes[0].blocks(at + 240)
	if err := late.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		own, best := len(late.snapshot()), len(nodes[0].snapshot())
		if own+5 > best {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("at %d, the others at %d", own, best)
		}
	}
	d, err := ordov1.NewPluginClient(late.conn).Describe(context.Background(), &ordov1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("240 blocks behind, with the others after %s: %v", time.Since(began), d.GetCounters())
	quiet()
	agree(t, nodes)
}
