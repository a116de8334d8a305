package badger

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// fullDir tells TestDiskFullChild where to mount its disk.
const fullDir = "ORDO_TEST_FULL_DIR"

// TestDiskFull runs a store on a small disk of its own: a tmpfs in a namespace of its own, which needs no root where users
// may have namespaces.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a process")
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestDiskFullChild$", "-test.v")
	cmd.Env = append(os.Environ(), fullDir+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		t.Skipf("no namespace of our own: %v", err)
	case strings.Contains(string(out), "cannot mount"):
		t.Skipf("%s", out)
	case err != nil || !strings.Contains(string(out), "--- PASS: TestDiskFullChild"):
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "full_linux_test") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// fatBlock takes about as much room as `size` says: a class that does not compress.
func fatBlock(c *testChain, size int) *block {
	c.classes++
	hash := felt.FromUint64(5000 + c.classes)
	definition := make([]byte, size)
	for i := range definition {
		definition[i] = byte(c.r.Uint32())
	}
	return c.append(&block{
		diff:    &ordov1.StateDiff{Declared: felt.Pack([]felt.Felt{hash, felt.FromUint64(9000 + c.classes)})},
		classes: []*ordov1.Class{{Hash: hash.Append(nil), Kind: ordov1.Class_SIERRA, Definition: definition, SierraVersion: "1.7.0"}},
	})
}

func TestDiskFullChild(t *testing.T) {
	disk := os.Getenv(fullDir)
	if disk == "" {
		t.Skip("a part of TestDiskFull")
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=150m"); err != nil {
		fmt.Println("cannot mount a tmpfs:", err)
		return
	}
	dir := filepath.Join(disk, "storage")
	o := testOptions()
	o.SyncWrites = true
	s := must(Open(dir, o))
	c := newTestChain(77)
	var refused error
	for range 400 {
		if _, err := s.commit(t.Context(), fatBlock(c, 500<<10)); err != nil {
			refused = err
			break
		}
	}
	if status.Code(refused) != codes.ResourceExhausted || !strings.Contains(refused.Error(), "MB are needed") || !strings.Contains(refused.Error(), "MB are free") {
		t.Fatalf("the disk was never full: %v", refused)
	}
	held := c.blocks[len(c.blocks)-1]
	stored := c.fork(len(c.blocks)-1, 1)
	free, _ := freeSpace(dir)
	t.Logf("%d blocks, then, with %d MB free: %v", len(stored.blocks), free>>20, refused)
	waitRoots(t, s, stored)
	time.Sleep(time.Second) // flushes and compactions end

	// Another file takes the rest, to the last byte.
	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	for range 3 {
		if _, err := s.commit(t.Context(), held); status.Code(err) != codes.ResourceExhausted {
			t.Fatal(err)
		}
		if _, err := s.Revert(t.Context(), revertTo(s)); status.Code(err) != codes.ResourceExhausted {
			t.Fatal(err)
		}
		checkBlocks(t, s, stored)
		checkState(t, s, stored, 0)
	}
	// The end on a full disk is one too, and so is a start.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, o); err == nil || !strings.Contains(err.Error(), "not enough room to open") {
		t.Fatal(err)
	}
	// Room again, but not enough to go on: the store opens, and refuses.
	if err := os.Truncate(filler, must(os.Stat(filler)).Size()-(34<<20)); err != nil {
		t.Fatal(err)
	}
	s = must(Open(dir, o))
	waitRoots(t, s, stored)
	if _, err := s.commit(t.Context(), held); status.Code(err) != codes.ResourceExhausted {
		t.Fatal(err)
	}
	done, twice := make(chan error), make(chan struct{})
	go func() { // the core asks again until it may
		for asked := 1; ; asked++ {
			_, err := s.commit(t.Context(), held)
			if status.Code(err) != codes.ResourceExhausted {
				done <- err
				return
			}
			if asked == 2 {
				close(twice)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	<-twice
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, "size=300m"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("there is room, and the block is still refused")
	}
	waitRoots(t, s, c)
	checkBlocks(t, s, c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Check(t.Context(), dir, nil)
	if err != nil || r.Damaged {
		t.Fatalf("%+v, %v", r, err)
	}
	t.Logf("went on when there was room: %d blocks, all good", r.Blocks)
}

// fill takes all the room there is.
func fill(t *testing.T, path string) {
	f := must(os.Create(path))
	defer f.Close()
	for _, chunk := range []int{1 << 20, 4096} {
		for {
			if _, err := f.Write(make([]byte, chunk)); err != nil {
				if !errors.Is(err, syscall.ENOSPC) {
					t.Fatal(err)
				}
				break
			}
		}
	}
}
