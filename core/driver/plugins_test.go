package driver

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/test/fakestage"
	"github.com/ordo-sequencer/ordo/test/grammar"
)

// processes runs the shipped Go plugins as processes beside a fake execution. The execution process has tests of its own.
type processes struct {
	*world
	bin, data string
}

func newProcesses(t *testing.T) *processes {
	if testing.Short() {
		t.Skip("starts processes")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "./plugins/storage/badger/cmd/...", "./plugins/ordering/fifo/cmd/...", "./plugins/ordering/fee/cmd/...", "./plugins/consensus/solo/cmd/...")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return &processes{newWorld(t), bin, t.TempDir()}
}

// up starts the processes and a node over them; down stops both in order.
func (p *processes) up(ordering, solo string) (down func()) {
	p.t.Helper()
	run := p.t.TempDir()
	plain := &ordov1.Chain{ChainId: p.options.ChainID, StarknetVersion: starknet.LatestVersion}
	start := func(stage ordov1.Stage, name string, change func(*host.Spec)) *host.Plugin {
		spec := host.Spec{Stage: stage, Path: filepath.Join(p.bin, name), Chain: plain}
		if change != nil {
			change(&spec)
		}
		plugin, err := host.Start(ctx(p.t), host.Options{RunDir: run}, spec)
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(plugin.Kill)
		return plugin
	}
	socket := filepath.Join(run, "r.sock")
	storage := start(ordov1.Stage_STAGE_STORAGE, "ordo-storage-badger", func(s *host.Spec) {
		s.DataDir, s.Listen = p.data, map[string]string{"read": socket}
	})
	order := start(ordov1.Stage_STAGE_ORDERING, ordering, nil)
	consensus := start(ordov1.Stage_STAGE_CONSENSUS, "ordo-consensus-solo", func(s *host.Spec) { s.Config = []byte(solo) })
	read, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.execution = &fakestage.Execution{Broken: map[mempool.Key]bool{}, Read: ordov1.NewStorageReadClient(read), Limit: 50}
	p.options.Stages = Stages{Storage: storage.Conn(), StorageRead: read, Ordering: order.Conn(), Consensus: consensus.Conn(),
		Execution:            serve(p.t, &grammar.Recorder{}, func(s *grpc.Server) { ordov1.RegisterExecutionServer(s, p.execution) }),
		OrderingCapabilities: order.Info().Capabilities, ConsensusCapabilities: consensus.Info().Capabilities}
	p.options.ConsensusConfig = []byte(solo)
	if p.node, err = New(p.options); err != nil {
		p.t.Fatal(err)
	}
	if err := p.node.Start(ctx(p.t)); err != nil {
		p.t.Fatal(err)
	}
	return func() {
		p.t.Helper()
		if err := p.node.Stop(ctx(p.t)); err != nil {
			p.t.Error(err)
		}
		for _, plugin := range []*host.Plugin{order, consensus, storage} {
			if err := plugin.Stop(ctx(p.t)); err != nil {
				p.t.Error(err)
			}
		}
		_ = read.Close()
	}
}

// Real storage, ordering and consensus: a chain with true roots, stopped, started again, and executed again elsewhere.
func TestWithRealProcesses(t *testing.T) {
	p := newProcesses(t)
	down := p.up("ordo-ordering-fifo", `{"mode":"transaction"}`)
	var all []*ordov1.Transaction
	for nonce := range uint64(40) {
		for account := uint64(1); account <= 5; account++ {
			all = append(all, p.tx(account, nonce, nonce%2*reverts, 0))
		}
	}
	p.submit(all...)
	p.await(chainview.Accepted, all...)
	for range 10 {
		if _, _, err := p.node.CreateBlock(ctx(t)); err != nil {
			t.Fatal(err)
		}
	}
	down()
	head := p.node.Chain().Latest()
	if head.Context.Number < 11 || len(head.StateRoot) == 0 {
		t.Fatalf("head %d, root %x", head.Context.Number, head.StateRoot)
	}

	down = p.up("ordo-ordering-fee", `{"mode":"interval","interval_ms":30}`)
	if got := p.node.Chain().Latest(); !bytes.Equal(got.Hash, head.Hash) || !bytes.Equal(got.StateRoot, head.StateRoot) {
		t.Fatalf("another head after the restart: block %d", got.Context.Number)
	}
	for i := uint64(1); i <= 5; i++ {
		tx := p.tx(i, 40, plain, i)
		p.submit(tx)
		all = append(all, tx)
	}
	p.await(chainview.Accepted, all[200:]...)
	source, stored := p.execution.Read, p.node.Chain().Latest()

	again := &processes{newWorld(t), p.bin, t.TempDir()}
	again.options.Genesis = nil
	o := again.empty()
	found, err := Reexecute(ctx(t), source, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if found.Transactions != 205 || !bytes.Equal(found.Head.StateRoot, stored.StateRoot) || !bytes.Equal(found.Head.Hash, stored.Hash) {
		t.Errorf("%d transactions again, root %x, stored %x", found.Transactions, found.Head.StateRoot, stored.StateRoot)
	}
	down()
}

// empty starts a storage process of its own and a fresh execution, for Reexecute.
func (p *processes) empty() Options {
	p.t.Helper()
	run := p.t.TempDir()
	socket := filepath.Join(run, "r.sock")
	storage, err := host.Start(ctx(p.t), host.Options{RunDir: run}, host.Spec{Stage: ordov1.Stage_STAGE_STORAGE, Path: filepath.Join(p.bin, "ordo-storage-badger"),
		Chain: &ordov1.Chain{ChainId: p.options.ChainID, StarknetVersion: starknet.LatestVersion}, DataDir: p.data, Listen: map[string]string{"read": socket}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(storage.Kill)
	read, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.execution = &fakestage.Execution{Broken: map[mempool.Key]bool{}, Read: ordov1.NewStorageReadClient(read)}
	p.options.Stages = Stages{Storage: storage.Conn(), StorageRead: read,
		Execution: serve(p.t, &grammar.Recorder{}, func(s *grpc.Server) { ordov1.RegisterExecutionServer(s, p.execution) })}
	return p.options
}
