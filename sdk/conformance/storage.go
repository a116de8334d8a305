package conformance

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Storage is a storage plugin under test: configured for chain SN_TEST, and empty.
type Storage struct {
	Storage      ordov1.StorageClient
	Read         ordov1.StorageReadClient
	Capabilities []string // as the plugin describes itself

	// Restart stops the plugin, the harder the better, and starts it again on the same data. nil: tests that need it are skipped.
	Restart func(t *testing.T) *Storage
}

// RunStorage runs StorageTests over a subject: a process is killed where a test restarts it, a service is drained.
func RunStorage(t *testing.T, s Subject) {
	tests := StorageTests()
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run("storage/"+name, func(t *testing.T) {
			quote(t, "storage", name)
			life := storageLife{subject: s, data: t.TempDir()}
			tests[name](t, life.start(t))
		})
	}
}

// storageLife starts one plugin over and over on the same data.
type storageLife struct {
	subject    Subject
	data       string
	generation uint64
}

func (l *storageLife) start(t *testing.T) *Storage {
	t.Helper()
	l.generation++
	sockets, err := os.MkdirTemp("", "ordo-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	i := l.subject.Start(t)
	r := l.subject.configuration(t)
	r.Chain = &ordov1.Chain{ChainId: "SN_TEST", StarknetVersion: "0.14.1"}
	r.DataDir, r.Generation, r.Listen = l.data, l.generation, map[string]string{"read": filepath.Join(sockets, "read")}
	answer, err := i.plugin().Configure(timeout(t), r)
	if err != nil {
		t.Fatalf("configure: %v", err)
	}
	for _, d := range answer.GetDiagnostics() {
		if d.GetSeverity() == ordov1.Diagnostic_ERROR {
			t.Fatalf("configure: %s: %s (%s)", d.GetPath(), d.GetSummary(), d.GetDetail())
		}
	}
	d, err := i.plugin().Describe(timeout(t), &ordov1.DescribeRequest{})
	if err != nil {
		t.Fatalf("describe: %v", err)
	}
	read, err := sdk.Dial(r.Listen["read"], l.subject.answers.options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		read.Close()
		if i.process == nil { // a process is killed by its own cleanup; a service has files open
			_, _ = i.plugin().Drain(context.Background(), &ordov1.DrainRequest{DeadlineMs: 10_000})
		}
	})
	return &Storage{Storage: ordov1.NewStorageClient(i.Conn), Read: ordov1.NewStorageReadClient(read), Capabilities: d.GetCapabilities(),
		Restart: func(t *testing.T) *Storage {
			read.Close()
			if i.process != nil {
				_ = i.process.cmd.Process.Kill()
				<-i.process.ended
			} else if _, err := i.plugin().Drain(timeout(t), &ordov1.DrainRequest{DeadlineMs: 10_000}); err != nil {
				t.Fatalf("drain: %v", err)
			}
			return l.start(t)
		}}
}

func (s *Storage) can(capability string) bool { return slices.Contains(s.Capabilities, capability) }

// StorageTests are what every storage plugin must pass, by name. Each wants a store of its own. RunStorage runs them.
//
// The blocks are fixed (storage_chain.json): real hashes and commitments of protocol version 0.14.1, with roots that
// were computed apart from any store.
func StorageTests() map[string]func(t *testing.T, s *Storage) {
	return map[string]func(t *testing.T, s *Storage){
		"empty":                     storageEmpty,
		"commit":                    storageCommit,
		"commit in parts":           storageParts,
		"commit again":              storageAgain,
		"commit refused":            storageRefused,
		"roots":                     storageRoots,
		"state":                     storageState,
		"state at height":           storageHistory,
		"blocks":                    storageBlocks,
		"classes":                   storageClasses,
		"snapshot":                  storageSnapshot,
		"restart":                   storageRestart,
		"proofs":                    storageProofs,
		"proofs refused":            storageProofsRefused,
		"revert":                    storageRevert,
		"revert and again":          storageRevertAgain,
		"reads while blocks arrive": storageConcurrent,
	}
}

// ---- calls ----

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// commit sends a block in the messages given.
func (s *Storage) commit(t *testing.T, messages ...*ordov1.CommitRequest) (*ordov1.CommitResponse, error) {
	t.Helper()
	stream, err := s.Storage.Commit(timeout(t))
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if err := stream.Send(m); errors.Is(err, io.EOF) {
			break // refused already; CloseAndRecv says why
		} else if err != nil {
			return nil, err
		}
	}
	return stream.CloseAndRecv()
}

// mustCommit sends blocks, each in one message, and wants them to be new.
func (s *Storage) mustCommit(t *testing.T, blocks ...*storageBlock) {
	t.Helper()
	for _, b := range blocks {
		r, err := s.commit(t, b.commit)
		if err != nil {
			t.Fatalf("commit of block %d: %v", b.num(), err)
		}
		if r.Repeated || r.Height != b.num() {
			t.Fatalf("commit of block %d: answer %s", b.num(), hexed(r))
		}
	}
}

func (s *Storage) head(t *testing.T) *ordov1.HeadResponse {
	t.Helper()
	h, err := s.Storage.Head(timeout(t), &ordov1.HeadRequest{})
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	return h
}

// roots reads the roots of the blocks in order, starting at the first of them.
func (s *Storage) mustHaveRoots(t *testing.T, all []*storageBlock, from int) {
	t.Helper()
	if !s.can(sdk.CapRoots) {
		return
	}
	ctx, cancel := context.WithCancel(timeout(t))
	defer cancel()
	stream, err := s.Storage.Roots(ctx, &ordov1.RootsRequest{From: uint64(from)})
	if err != nil {
		t.Fatalf("roots: %v", err)
	}
	parent := make([]byte, 32)
	if from > 0 {
		parent = all[from-1].hash
	}
	for _, b := range all[from:] {
		got, err := stream.Recv()
		if err != nil {
			t.Fatalf("root of block %d: %v", b.num(), err)
		}
		want := &ordov1.Root{Height: b.num(), StateRoot: b.root, BlockHash: b.hash, ParentHash: parent}
		if text := difference(got, want); text != "" {
			t.Fatalf("root of block %d: %s", b.num(), text)
		}
		parent = b.hash
	}
}

// receive reads a stream to its end.
func receive[M any](t *testing.T, what string, recv func() (M, error)) []M {
	t.Helper()
	var out []M
	for {
		m, err := recv()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		out = append(out, m)
	}
}

func (s *Storage) blocks(t *testing.T, r *ordov1.BlocksRequest) []*ordov1.Block {
	t.Helper()
	stream, err := s.Read.Blocks(timeout(t), r)
	if err != nil {
		t.Fatalf("blocks: %v", err)
	}
	return receive(t, "blocks", stream.Recv)
}

func (s *Storage) classes(t *testing.T, r *ordov1.ClassesRequest) []*ordov1.Class {
	t.Helper()
	stream, err := s.Read.Classes(timeout(t), r)
	if err != nil {
		t.Fatalf("classes: %v", err)
	}
	return receive(t, "classes", stream.Recv)
}

func mustBe(t *testing.T, what string, err error, code codes.Code) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("%s: want %s, got %v", what, code, err)
	}
}
