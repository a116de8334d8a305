package machine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/config"
	"github.com/ordo-sequencer/ordo/core/genesis"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/core/ingress"
	"github.com/ordo-sequencer/ordo/core/node"
	"github.com/ordo-sequencer/ordo/core/pool"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// stopTimeout is for everything between the signal and the end of the last plugin.
const stopTimeout = 20 * time.Second

// exitNotice is how long the end of a process may come after the end of its connections.
const exitNotice = 2 * time.Second

// Machine is a node with its plugins and its JSON-RPC.
type Machine struct {
	Genesis *genesis.Genesis
	URL     string

	config   config.Config
	log      hclog.Logger
	listener net.Listener
	lock     *os.File // on the data folder
	set      *host.Set
	read     *grpc.ClientConn
	node     *node.Node
	ingress  *ingress.Ingress
	server   *rpc.Server
}

// Start brings a node up to where it can serve. What it needs from the system (the port, the data folder) is taken first,
// so that a second node on the same ends at once.
func Start(ctx context.Context, c config.Config, installed Installation) (*Machine, error) {
	m := &Machine{config: c, log: hclog.New(&hclog.LoggerOptions{
		Name: "ordo", Level: hclog.LevelFromString(c.LogLevel), Output: os.Stderr, TimeFormat: "15:04:05.000",
	})}
	if err := m.start(ctx, installed); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *Machine) start(ctx context.Context, installed Installation) (err error) {
	if m.listener, err = listen(ctx, m.config); err != nil {
		return err
	}
	m.URL = "http://" + m.listener.Addr().String()
	if m.config.DataDir != "" {
		if m.config.DataDir, err = filepath.Abs(m.config.DataDir); err != nil {
			return err
		}
		if m.lock, err = lock(m.config.DataDir); err != nil {
			return err
		}
	}
	m.Genesis, err = genesis.New(genesis.Options{
		Seed: m.config.Seed, Accounts: m.config.Accounts, InitialBalance: m.config.InitialBalance,
		AccountClass: m.config.AccountClass, Contracts: installed.Contracts,
	})
	if err != nil {
		return err
	}
	stages, err := specs(m.config, installed)
	if err != nil {
		return err
	}
	if m.set, err = host.StartSet(ctx, host.Options{Logger: m.log}, stages...); err != nil {
		return err
	}
	if m.read, err = dialRead(m.set.ReadSocket()); err != nil {
		return err
	}
	if err := m.startNode(ctx); err != nil {
		return err
	}
	return m.startServer()
}

func (m *Machine) startNode(ctx context.Context) (err error) {
	plugin := m.set.Plugin
	gas := m.config.Gas
	m.node, err = node.New(node.Options{
		Stages: node.Stages{
			Ordering:              plugin(ordov1.Stage_STAGE_ORDERING).Conn(),
			Execution:             plugin(ordov1.Stage_STAGE_EXECUTION).Conn(),
			Storage:               plugin(ordov1.Stage_STAGE_STORAGE).Conn(),
			StorageRead:           m.read,
			Consensus:             plugin(ordov1.Stage_STAGE_CONSENSUS).Conn(),
			OrderingCapabilities:  plugin(ordov1.Stage_STAGE_ORDERING).Info().GetCapabilities(),
			ConsensusCapabilities: plugin(ordov1.Stage_STAGE_CONSENSUS).Info().GetCapabilities(),
		},
		ChainID: m.config.ChainID,
		Block: node.Block{StarknetVersion: StarknetVersion, Prices: node.Prices{
			L1Wei: gas.L1Wei, L1Fri: gas.L1Fri, L1DataWei: gas.L1DataWei, L1DataFri: gas.L1DataFri, L2Wei: gas.L2Wei, L2Fri: gas.L2Fri,
		}},
		Genesis:         &node.Genesis{Diff: m.Genesis.Diff, Classes: m.Genesis.Classes},
		ConsensusConfig: plugin(ordov1.Stage_STAGE_CONSENSUS).Spec().Config,
		Pool:            pool.Options{TTL: m.config.PoolTTL, MaxBytes: m.config.PoolCapacityMiB << 20},
		Log:             m.log,
	})
	if err != nil {
		return err
	}
	return m.node.Start(ctx)
}

func (m *Machine) startServer() error {
	execution := ordov1.NewExecutionClient(m.set.Plugin(ordov1.Stage_STAGE_EXECUTION).Conn())
	read := ordov1.NewStorageReadClient(m.read)
	chainID := felt.MustShortString(m.config.ChainID)
	m.ingress = ingress.New(ingress.Options{
		ChainID: chainID, Execution: execution, Storage: read, Pool: door{m.node}, Chain: m.node.Chain(), Validators: 2,
	})
	m.server = rpc.New(rpc.Options{
		ChainID: chainID, Chain: m.node.Chain(), Storage: read, Execution: execution, Ingress: m.ingress,
		Log:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slogLevel(m.config.LogLevel)})),
		Devnet: m.devnet(), Plugins: m.Plugins,
	})
	return nil
}

// Wait serves until the context ends or the node or a plugin fails, then stops everything in order.
func (m *Machine) Wait(ctx context.Context) error {
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	var work errgroup.Group
	work.Go(func() error {
		defer cancel()
		return m.server.Serve(serving, m.listener)
	})
	work.Go(func() error {
		defer cancel()
		return m.watch(serving)
	})
	err := work.Wait()
	return errors.Join(err, m.close())
}

// watch returns when the context ends, or with the reason why the node cannot go on. In this version the end of any
// plugin is the end of the node: the chain is on disk and the next start goes on from it.
func (m *Machine) watch(ctx context.Context) error {
	plugin := func(stage ordov1.Stage) *host.Plugin { return m.set.Plugin(stage) }
	died := func(p *host.Plugin) error {
		return fmt.Errorf("%s: the plugin ended with %s: the chain is as it was at the last block; start again", p.Name(), p.ExitReason())
	}
	ordering, execution := plugin(ordov1.Stage_STAGE_ORDERING), plugin(ordov1.Stage_STAGE_EXECUTION)
	storage, consensus := plugin(ordov1.Stage_STAGE_STORAGE), plugin(ordov1.Stage_STAGE_CONSENSUS)
	select {
	case <-ctx.Done():
		return nil
	case <-m.node.Done():
		err := m.node.Err()
		if status.Code(err) != codes.Unavailable {
			return err
		}
		// A connection broke: if that is because a plugin has died, its end is what the operator needs to read.
		select {
		case <-execution.Exited():
			return died(execution)
		case <-storage.Exited():
			return died(storage)
		case <-consensus.Exited():
			return died(consensus)
		case <-time.After(exitNotice):
			return err
		}
	case <-ordering.Exited():
		return died(ordering)
	case <-execution.Exited():
		return died(execution)
	case <-storage.Exited():
		return died(storage)
	case <-consensus.Exited():
		return died(consensus)
	}
}

// close stops what was started, the last first.
func (m *Machine) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var errs []error
	if m.listener != nil {
		m.listener.Close()
	}
	if m.ingress != nil {
		m.ingress.Close()
	}
	if m.node != nil {
		errs = append(errs, ended(m.node.Stop(ctx)))
	}
	if m.read != nil {
		m.read.Close()
	}
	if m.set != nil {
		errs = append(errs, m.set.Close(ctx))
	}
	if m.lock != nil {
		m.lock.Close()
	}
	return errors.Join(errs...)
}

// ended hides what the caller knows already: the fault that made it stop the node.
func ended(err error) error {
	if errors.Is(err, node.ErrStopped) {
		return nil
	}
	return err
}

// dialRead connects to the socket that storage serves for reads.
func dialRead(socket string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		return nil, fmt.Errorf("storage: read socket: %w", err)
	}
	return conn, nil
}

// listen takes the port.
func listen(ctx context.Context, c config.Config) (net.Listener, error) {
	address := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	var l net.ListenConfig
	listener, err := l.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d is in use on %s: choose another with --port, or 0 for any free one", c.Port, c.Host)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return listener, nil
}

// lock keeps a second node away from a data folder; the kernel gives it back when the process ends, however it ends.
func lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("data folder %s is in use by another node: stop it, or choose another with --data-dir", dir)
	}
	return f, nil
}

func (m *Machine) port() int { return m.listener.Addr().(*net.TCPAddr).Port }

func slogLevel(name string) slog.Level {
	switch name {
	case "trace", "debug":
		return slog.LevelDebug
	case "info":
		return slog.LevelInfo
	case "error":
		return slog.LevelError
	}
	return slog.LevelWarn
}
