package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// TestLinesOfDev: ordo dev prints a line for each transaction and block, which say what the JSON-RPC says of them; --quiet and the
// level warn leave them out.
func TestLinesOfDev(t *testing.T) {
	n := start(t, "--accounts", "1", "--initial-balance", "10000000000000000000")
	a := accounts(0, 1)[0]
	succeeded := n.submit(t, a.Invoke(0, client.Transfer(strk(), felt.FromUint64(7), 1)))
	reverted := n.submit(t, a.Invoke(1, client.Transfer(strk(), felt.FromUint64(7), math.MaxUint64)))
	for hash, want := range map[string]string{succeeded: "SUCCEEDED", reverted: "REVERTED"} {
		status := n.accepted(t, hash)
		if status.Execution != want {
			t.Errorf("%s: %s", hash, status.Execution)
		}
		var receipt struct {
			ActualFee          struct{ Amount string } `json:"actual_fee"`
			BlockNumber        uint64                  `json:"block_number"`
			RevertReason       string                  `json:"revert_reason"`
			ExecutionResources struct {
				L2Gas uint64 `json:"l2_gas"`
			} `json:"execution_resources"`
		}
		n.call(t, "starknet_getTransactionReceipt", []any{hash}, &receipt)
		groups, _ := n.Out.Await(within(t, patient), regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d\d\d INVOKE `+hash+` from (0x[0-9a-f]+) ([A-Z]+) block (\d+) fee ([0-9.]+) STRK l1_data_gas \d+ l2_gas ([0-9,]+)(: .*)?$`), n.Done())
		if groups == nil {
			t.Fatalf("no line of %s:\n%s", hash, n.Out)
		}
		fee, _ := felt.ParseHex(receipt.ActualFee.Amount)
		if groups[1] != a.Address.Hex() || groups[2] != want || groups[3] != fmt.Sprint(receipt.BlockNumber) || strings.ReplaceAll(groups[5], ",", "") != fmt.Sprint(receipt.ExecutionResources.L2Gas) {
			t.Errorf("%q, the receipt is %+v", groups, receipt)
		}
		if digits := strings.TrimLeft(strings.Replace(groups[4], ".", "", 1), "0"); !strings.HasPrefix(fee.Big().String(), digits) {
			t.Errorf("fee %s, the receipt says %s", groups[4], fee.Big())
		}
		if want == "REVERTED" && (!strings.Contains(receipt.RevertReason, "balance") || !strings.Contains(groups[6], "balance")) {
			t.Errorf("reason %q, the receipt says %q", groups[6], receipt.RevertReason)
		}
		block := n.rooted(t, receipt.BlockNumber)
		line := regexp.MustCompile(fmt.Sprintf(`(?m)^\S+ block %d ACCEPTED_ON_L2 \d+ transactions? time \S+ root %s hash %s$`, block.Number, block.Root, block.Hash))
		if _, ok := n.Out.Await(within(t, patient), line, n.Done()); !ok {
			t.Errorf("no line of block %d:\n%s", block.Number, n.Out)
		}
	}
	if strings.ContainsRune(n.Out.String(), '\x1b') {
		t.Error("escape sequences in a file")
	}
	n.stop(t)

	for _, args := range [][]string{{"--quiet"}, {"--log-level", "warn"}} {
		var out, errs nodetest.Output
		n := launchWith(t, func(c *exec.Cmd) { c.Stdout, c.Stderr = io.MultiWriter(&out), &errs }, append([]string{"dev", "--port", "0", "--accounts", "1"}, args...)...)
		groups, ok := out.Await(within(t, patient), regexp.MustCompile(`ordo listening on (\S+)\n`), n.Done())
		if !ok {
			t.Fatalf("%s%s", &out, &errs)
		}
		n.URL = groups[1]
		n.mint(t, 2)
		n.stop(t)
		if strings.Contains(out.String(), "INVOKE") || len(errs.Lines("[INFO]")) > 0 {
			t.Errorf("%s: it prints\n%s%s", args, &out, &errs)
		}
		if args[0] == "--quiet" && out.String() != groups[0] {
			t.Errorf("quiet: it prints\n%s", &out)
		}
	}
}

// pty opens a terminal: what a process writes to it is read from the other end.
func pty(t *testing.T) (reader, tty *os.File) {
	t.Helper()
	reader, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		need.Absent(t, err.Error(), "mount devpts")
	}
	t.Cleanup(func() { reader.Close() })
	number, err := unix.IoctlGetInt(int(reader.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(reader.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return reader, tty
}

// TestColoursOnATerminal: lines are coloured on a terminal, unless NO_COLOR or TERM=dumb say no.
func TestColoursOnATerminal(t *testing.T) {
	for _, c := range []struct {
		variables []string
		want      bool
	}{{[]string{"TERM=xterm"}, true}, {[]string{"TERM=xterm", "NO_COLOR=1"}, false}, {[]string{"TERM=dumb"}, false}} {
		t.Run(strings.Join(c.variables, " "), func(t *testing.T) {
			reader, tty := pty(t)
			var out nodetest.Output
			var copied sync.WaitGroup
			n := launchWith(t, func(cmd *exec.Cmd) {
				cmd.Env = append(nodetest.Environment(), c.variables...)
				cmd.Stdout, cmd.Stderr = tty, tty
			}, "dev", "--port", "0", "--accounts", "1")
			tty.Close()
			copied.Go(func() { _, _ = io.Copy(&out, reader) }) // until the last process has closed it
			groups, ok := out.Await(within(t, patient), regexp.MustCompile(`ordo listening on (\S+)\r\n`), n.Done())
			if !ok {
				t.Fatal(out.String())
			}
			n.URL = groups[1]
			n.mint(t, 1)
			if _, ok := out.Await(within(t, patient), regexp.MustCompile(`ACCEPTED_ON_L2`), n.Done()); !ok {
				t.Error("no line of a block")
			}
			n.stop(t)
			copied.Wait()
			text := []byte(out.String())
			if got := bytes.Contains(text, []byte("\x1b[32mSUCCEEDED\x1b[0m")); got != c.want {
				t.Errorf("coloured: %v\n%q", got, text)
			}
			if !c.want && bytes.Contains(text, []byte("\x1b[3")) {
				t.Errorf("colours:\n%q", text)
			}
		})
	}
}

// TestLongStart: a start that takes more than two seconds says what it waits for: a spinner that leaves nothing behind on a terminal, a
// line elsewhere, nothing when it is to be quiet.
func TestLongStart(t *testing.T) {
	slow := filepath.Join(t.TempDir(), "slow")
	script := fmt.Sprintf("#!/bin/sh\nsleep 3\nexec %s/plugins/ordo-ordering-fifo\n", need.Binaries(t))
	if err := os.WriteFile(slow, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	const told = "starting the plugin ordering/slow"
	n := start(t, "--ordering", slow)
	if len(n.Out.Lines("ordo: "+told+", 2s so far")) != 1 || len(n.Out.Lines("ordo: done after ")) != 1 {
		t.Errorf("it does not say what it waits for:\n%s", n.Out)
	}
	n.stop(t)
	n = start(t, "--ordering", slow, "--quiet")
	if strings.Contains(n.Out.String(), told) {
		t.Errorf("quiet, it prints\n%s", n.Out)
	}
	n.stop(t)

	reader, tty := pty(t)
	var out nodetest.Output
	var copied sync.WaitGroup
	n = launchWith(t, func(cmd *exec.Cmd) {
		cmd.Env = append(nodetest.Environment(), "TERM=xterm")
		cmd.Stdout, cmd.Stderr = tty, tty
	}, "dev", "--port", "0", "--accounts", "1", "--ordering", slow)
	tty.Close()
	copied.Go(func() { _, _ = io.Copy(&out, reader) })
	if _, ok := out.Await(within(t, patient), regexp.MustCompile(`ordo listening on (\S+)\r\n`), n.Done()); !ok {
		t.Fatal(out.String())
	}
	n.stop(t)
	copied.Wait()
	if !strings.Contains(out.String(), told) {
		t.Errorf("no spinner:\n%q", out.String())
	}
	for line := range strings.Lines(out.String()) { // as the terminal shows it in the end
		line = strings.TrimRight(line, "\r\n")
		if line = line[strings.LastIndex(line, "\r")+1:]; strings.Contains(line, told) {
			t.Errorf("the spinner is left behind: %q", line)
		}
	}
}
