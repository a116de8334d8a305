package printer

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// output is what was written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	held chan struct{} // not nil: writes wait until it is closed
}

func (o *output) Write(p []byte) (int, error) {
	if o.held != nil {
		<-o.held
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// take returns what was written since the last call.
func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.text.Reset()
	return o.text.String()
}

// utc is the clock of the test's bubble.
func utc() time.Time { return time.Now().UTC() }

// TestTranscript: what is printed of transactions and blocks. `go test ./node/printer -rewrite` writes it again.
func TestTranscript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, file := range []string{"testdata/lines", "testdata/colours"} {
			out := new(output)
			l := New(Options{To: out, Colour: strings.HasSuffix(file, "colours"), Clock: utc})
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				tell(t, l, d)
				time.Sleep(pace)
				synctest.Wait()
				return visible(out.take())
			})
			l.Close()
		}
	})
}

// visible writes what does something to a terminal as Go does.
func visible(text string) string { return strings.ReplaceAll(text, "\x1b", "ESC") }

// tell carries out a command of a transcript.
func tell(t *testing.T, l *Printer, d *datadriven.TestData) {
	t.Helper()
	var height, n uint64
	d.MaybeScanArgs(t, "block", &height)
	d.MaybeScanArgs(t, "n", &n)
	txs, results := transactions(t, d.Input)
	switch d.Cmd {
	case "preconfirmed":
		l.Preconfirmed(height, txs, results)
	case "decided":
		l.Decided(chainview.NewBlock(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: height}}, txs, results, &ordov1.StateDiff{}, nil))
	case "accepted":
		l.Accepted(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: height, Timestamp: 1780000000}, TransactionCount: uint32(n),
			StateRoot: bytesOf(t, "0xabc"), Hash: bytesOf(t, "0x77"), Degraded: d.HasArg("degraded")})
	case "reset":
		l.Reset(height)
	case "dropped":
		l.Dropped(txs[0], errors.New(results[0].Reason))
	case "rejected":
		l.Dropped(txs[0], &pipeline.Rejection{Code: ordov1.RejectionCode_VALIDATION_FAILURE, Reason: results[0].Reason})
	default:
		d.Fatalf(t, "unknown command")
	}
}

func bytesOf(t *testing.T, hex string) []byte {
	t.Helper()
	f, err := felt.ParseHex(hex)
	if err != nil {
		t.Fatal(err)
	}
	return f.Append(nil)
}

// transactions reads lines like `INVOKE 0x12 0x34 REVERTED fee l2_gas "reason"`.
func transactions(t *testing.T, input string) (txs []*ordov1.Transaction, results []*ordov1.TransactionResult) {
	t.Helper()
	for line := range strings.Lines(input) {
		var kind, hash, sender, status, reason string
		var fee, gas uint64
		if _, err := fmt.Sscanf(line, "%s %s %s %s %d %d %q", &kind, &hash, &sender, &status, &fee, &gas, &reason); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		txs = append(txs, &ordov1.Transaction{Type: ordov1.TransactionType(ordov1.TransactionType_value[kind]), Hash: bytesOf(t, hash), Sender: bytesOf(t, sender),
			ClassHash: bytesOf(t, "0xc1a55")})
		amount := make([]byte, 16)
		for i := range 8 {
			amount[15-i] = byte(fee >> (8 * i))
		}
		results = append(results, &ordov1.TransactionResult{Status: ordov1.TransactionResult_Status(ordov1.TransactionResult_Status_value[status]),
			ActualFee: amount, Gas: &ordov1.Gas{L2Gas: gas, L1DataGas: gas / 1000}, Reason: reason})
	}
	return txs, results
}

// TestUntrustedReason: no text of a stranger reaches the terminal as anything but one line of bounded length.
func TestUntrustedReason(t *testing.T) {
	for _, reason := range []string{
		"\x1b[2J\x1b]0;title\x07", "a\r\nINVOKE 0x1 SUCCEEDED", "\u202egnp.exe", "\u009b31m", strings.Repeat("\x00", 1<<20), strings.Repeat("é", 1<<20)[1:], "\xff\xfe",
	} {
		one := line{height: 1, tx: facts{status: "REVERTED", reason: excerpt(reason)}}
		text := string(one.append(nil, false))
		if strings.Count(text, "\n") != 1 || strings.ContainsFunc(text[:len(text)-1], func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' }) {
			t.Errorf("%q", text)
		}
		if len(text) > 4096 {
			t.Errorf("%d bytes", len(text))
		}
	}
}

// TestFlood: a flood costs a bounded number of lines; every transaction has a line or is counted, and so is what was reverted.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(output)
		l := New(Options{To: out, Clock: utc})
		ok, failed := same(127, ordov1.TransactionResult_SUCCEEDED), same(1, ordov1.TransactionResult_REVERTED)
		const seconds, perSecond = 20, 24 // of 128 transactions
		for n := range uint64(seconds * perSecond) {
			l.Preconfirmed(n, ok.txs, ok.results)
			l.Preconfirmed(n, failed.txs, failed.results)
			l.Decided(chainview.NewBlock(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: n}}, append(ok.txs, failed.txs...), append(ok.results, failed.results...), &ordov1.StateDiff{}, nil))
			time.Sleep(time.Second / perSecond)
		}
		l.Close()
		text := out.take()
		if alone := strings.Count(text, " SUCCEEDED "); alone < Burst-reserve || alone > Burst+seconds*Rate {
			t.Errorf("%d lines of transactions that succeeded", alone)
		}
		if alone := strings.Count(text, " REVERTED "); alone != seconds*perSecond {
			t.Errorf("%d reverted transactions have a line, of %d", alone, seconds*perSecond)
		}
		counted := 0
		for one := range strings.Lines(text) {
			if _, after, found := strings.Cut(one, ": "); found && strings.Contains(one, "more transaction") {
				var n int
				if _, err := fmt.Sscan(after, &n); err != nil {
					t.Fatal(one, err)
				}
				counted += n
			}
		}
		if told := counted + strings.Count(text, " fee "); told != seconds*perSecond*128 {
			t.Errorf("%d transactions are told of, of %d", told, seconds*perSecond*128)
		}
	})
}

type some struct {
	txs     []*ordov1.Transaction
	results []*ordov1.TransactionResult
}

func same(n int, status ordov1.TransactionResult_Status) (s some) {
	for range n {
		s.txs = append(s.txs, &ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Hash: make([]byte, 32), Sender: make([]byte, 32)})
		s.results = append(s.results, &ordov1.TransactionResult{Status: status})
	}
	return s
}

// TestHeldOutput: an output that takes nothing holds the path of the blocks up for no moment, costs bounded memory, and what was
// lost is counted.
func TestHeldOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &output{held: make(chan struct{})}
		l := New(Options{To: out, Clock: utc})
		const blocks = 3 * waitingMost
		for n := range uint64(blocks) {
			l.Accepted(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: n}})
		}
		if len(l.waiting) > waitingMost+1 {
			t.Errorf("%d lines wait", len(l.waiting))
		}
		close(out.held)
		l.Close()
		text := out.take()
		var dropped int
		for one := range strings.Lines(text) {
			if strings.Contains(one, "dropped") {
				var clock string
				var n string
				if _, err := fmt.Sscan(one, &clock, &n); err != nil {
					t.Fatal(err)
				}
				if _, err := fmt.Sscan(strings.ReplaceAll(n, ",", ""), &dropped); err != nil {
					t.Fatal(err)
				}
			}
		}
		if told := strings.Count(text, "ACCEPTED"); told+dropped != blocks || dropped == 0 {
			t.Errorf("%d lines and %d dropped, of %d", told, dropped, blocks)
		}
		l.Accepted(&ordov1.BlockHeader{Context: &ordov1.BlockContext{}}) // must not panic
	})
}

// TestExactFee: an amount of fri is written in STRK without rounding.
func TestExactFee(t *testing.T) {
	for fri, want := range map[[16]byte]string{
		{}: "0", {15: 1}: "0.000000000000000001", {8: 0x0d, 9: 0xe0, 10: 0xb6, 11: 0xb3, 12: 0xa7, 13: 0x64}: "1",
		{0: 0xff, 1: 0xff, 2: 0xff, 3: 0xff, 4: 0xff, 5: 0xff, 6: 0xff, 7: 0xff, 8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff, 14: 0xff, 15: 0xff}: "340282366920938463463.374607431768211455",
	} {
		if got := strk(fri); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// BenchmarkBlock is what the path of the blocks pays for 128 transactions.
func BenchmarkBlock(b *testing.B) {
	l := New(Options{To: new(discard)})
	s := same(128, ordov1.TransactionResult_SUCCEEDED)
	block := chainview.NewBlock(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: 1}}, s.txs, s.results, &ordov1.StateDiff{}, nil)
	for b.Loop() {
		l.Preconfirmed(1, s.txs, s.results)
		l.Decided(block)
	}
	l.Close()
}

// BenchmarkLine is what a line costs beside that path.
func BenchmarkLine(b *testing.B) {
	s := same(1, ordov1.TransactionResult_SUCCEEDED)
	one, text := line{height: 1, tx: factsOf(s.txs[0], s.results[0])}, []byte(nil)
	for b.Loop() {
		text = one.append(text[:0], false)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
