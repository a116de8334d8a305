package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/node/config"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Replay runs the chain that a data folder keeps again from genesis, in new storage and new execution, and compares every
// block.
func Replay(ctx context.Context, c config.Config, installed Installation, out Output) (result *driver.Reexecuted, err error) {
	if c.DataDir == "" {
		return nil, errors.New("which chain? name its folder with --data-dir")
	}
	// Storage makes what is not there; a chain that is not there is a mistake of the caller's.
	if _, err := os.Stat(filepath.Join(c.DataDir, "storage")); err != nil {
		return nil, fmt.Errorf("no chain in %q: name the folder that --data-dir of ordo dev was given", c.DataDir)
	}
	held, err := lock(c.DataDir)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	fresh, err := os.MkdirTemp("", "ordo-replay-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(fresh)

	r := replay{ctx: ctx, log: newLog("replay", c.LogLevel, out)}
	defer func() { err = errors.Join(err, r.close()) }()
	stages, err := specs(c, installed, memoryShares(c.Memory, "/"))
	if err != nil {
		return nil, err
	}
	spec := make(map[ordov1.Stage]host.Spec)
	for _, s := range stages {
		spec[s.Stage] = s
	}
	source := spec[ordov1.Stage_STAGE_STORAGE]
	stored := source
	stored.DataDir = filepath.Join(fresh, "storage")
	out.Progress.Step("starting the plugins")
	defer out.Progress.Done()
	from, err := r.storage(source, filepath.Join(fresh, "old"))
	if err != nil {
		return nil, err
	}
	to, err := r.storage(stored, filepath.Join(fresh, "new"))
	if err != nil {
		return nil, err
	}
	runs := spec[ordov1.Stage_STAGE_EXECUTION]
	runs.Peers = map[string]string{"storage.read": filepath.Join(fresh, "new", "read.sock")}
	execution, err := r.start(runs, filepath.Join(fresh, "run"))
	if err != nil {
		return nil, err
	}
	head, err := ordov1.NewStorageClient(from.plugin.Conn()).Head(ctx, &ordov1.HeadRequest{})
	if err != nil {
		return nil, err
	}
	return driver.Reexecute(ctx, ordov1.NewStorageReadClient(from.read), driver.Options{
		ChainID: c.ChainID, Log: r.log,
		Stages: driver.Stages{Execution: execution.Conn(), Storage: to.plugin.Conn(), StorageRead: to.read},
	}, func(height uint64) { out.Progress.At("blocks", height, head.GetHeight()) })
}

// replay owns what it started.
type replay struct {
	ctx     context.Context
	log     hclog.Logger
	plugins []*host.Plugin
	conns   []*grpc.ClientConn
}

// store is a storage plugin with the connection for reads.
type store struct {
	plugin *host.Plugin
	read   *grpc.ClientConn
}

func (r *replay) start(s host.Spec, runDir string) (*host.Plugin, error) {
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return nil, err
	}
	p, err := host.Start(r.ctx, host.Options{Logger: r.log, RunDir: runDir}, s)
	if err != nil {
		return nil, err
	}
	r.plugins = append(r.plugins, p)
	return p, nil
}

func (r *replay) storage(s host.Spec, runDir string) (store, error) {
	socket := filepath.Join(runDir, "read.sock")
	s.Listen = map[string]string{"read": socket}
	p, err := r.start(s, runDir)
	if err != nil {
		return store{}, err
	}
	read, err := dialRead(socket)
	if err != nil {
		return store{}, err
	}
	r.conns = append(r.conns, read)
	return store{p, read}, nil
}

func (r *replay) close() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), 10*time.Second)
	defer cancel()
	var errs []error
	for _, conn := range r.conns {
		conn.Close()
	}
	for i := len(r.plugins) - 1; i >= 0; i-- {
		errs = append(errs, r.plugins[i].Stop(ctx))
	}
	return errors.Join(errs...)
}
