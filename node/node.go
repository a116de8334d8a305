package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Node is a node with its plugins and its JSON-RPC.
type Node struct {
	Genesis *genesis.Genesis
	URL     string

	config   config.Config
	log      hclog.Logger
	listener net.Listener
	lock     *os.File // on the data folder
	crashes  *crash.Ledger
	set      *host.Set
	sup      *host.Supervisor
	journal  *journal.Journal // nil: nothing outlives the process
	folder   *journal.Folder
	node     *driver.Driver
	ingress  *gateway.Ingress
	server   *rpc.Server
	metrics  *metrics // nil: not served

	errs   io.Writer // stderr, where nothing that writes has to wait
	ending progress
}

// Start brings a node up to where it can serve. What it needs from the system (the port, the data folder) is taken first,
// so that a second node on the same ends at once.
// The log goes to errs, which must not block.
func Start(ctx context.Context, c config.Config, installed Installation, errs io.Writer) (*Node, error) {
	m := &Node{config: c, errs: errs, log: newLog("ordo", c.LogLevel, errs)}
	if err := m.start(ctx, installed); err != nil {
		over := make(chan error, 1)
		go func() { over <- m.close(planned(time.Now(), c.Supervision.Shutdown)) }()
		return nil, errors.Join(err, within(c.Supervision.Shutdown, over, &m.ending, m.set, m.log))
	}
	return m, nil
}

func (m *Node) start(ctx context.Context, installed Installation) (err error) {
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
	shares := memoryShares(m.config.Memory, "/")
	limitCore(shares, os.LookupEnv)
	stages, err := specs(m.config, installed, shares)
	if err != nil {
		return err
	}
	if m.metrics, err = listenMetrics(ctx, m.config.MetricsAddr); err != nil {
		return err
	}
	recovery, err := m.openJournal()
	if err != nil {
		return err
	}
	v := m.config.Supervision
	m.crashes = crash.New(crash.Options{Crashes: v.QuestionCrashes, Window: v.Window, Pause: v.QuestionPause, Memory: v.QuestionMemory, Log: m.log})
	if m.set, err = host.StartSet(ctx, host.Options{Logger: m.log, Silence: v.Silence, CallLimit: v.CallTimeout}, stages...); err != nil {
		return err
	}
	if m.sup, err = host.Supervise(m.set, host.Supervision{Restarts: v.Restarts, Window: v.Window}); err != nil {
		return err
	}
	if err := m.startNode(ctx, recovery); err != nil {
		return errors.Join(err, m.gone())
	}
	m.sup.Watch(events{m.node})
	return m.startServer()
}

// openJournal reads what a node that used the data folder before had promised.
func (m *Node) openJournal() (*journal.Recovery, error) {
	if m.config.DataDir == "" {
		return nil, nil
	}
	var err error
	if m.folder, err = journal.OpenFolder(filepath.Join(m.config.DataDir, "journal")); err != nil {
		return nil, err
	}
	var found *journal.Recovery
	if m.journal, found, err = journal.Open(m.folder, journal.Options{Chain: m.config.ChainID}); err != nil {
		return nil, err
	}
	return found, nil
}

func (m *Node) startNode(ctx context.Context, recovery *journal.Recovery) (err error) {
	plugin, link, gas := m.set.Plugin, m.sup.Link, m.config.Gas
	options := driver.Options{
		Stages: driver.Stages{
			Ordering:              link(ordov1.Stage_STAGE_ORDERING),
			Execution:             link(ordov1.Stage_STAGE_EXECUTION),
			Storage:               link(ordov1.Stage_STAGE_STORAGE),
			StorageRead:           m.sup.ReadLink(),
			Consensus:             link(ordov1.Stage_STAGE_CONSENSUS),
			OrderingCapabilities:  plugin(ordov1.Stage_STAGE_ORDERING).Info().GetCapabilities(),
			ConsensusCapabilities: plugin(ordov1.Stage_STAGE_CONSENSUS).Info().GetCapabilities(),
		},
		ChainID: m.config.ChainID,
		Block: driver.Block{StarknetVersion: StarknetVersion, Prices: driver.Prices{
			L1Wei: gas.L1Wei, L1Fri: gas.L1Fri, L1DataWei: gas.L1DataWei, L1DataFri: gas.L1DataFri, L2Wei: gas.L2Wei, L2Fri: gas.L2Fri,
		}},
		Genesis:         &driver.Genesis{Diff: m.Genesis.Diff, Classes: m.Genesis.Classes},
		ConsensusConfig: plugin(ordov1.Stage_STAGE_CONSENSUS).Spec().Config,
		Pool: mempool.Options{TTL: m.config.PoolTTL, MaxBytes: m.config.PoolCapacityMiB << 20,
			AccountBytes: m.config.PoolAccountMiB << 20, MaxNonceGap: uint64(m.config.PoolNonceGap)},
		TransactionMiB: m.config.TransactionMiB,
		Suspect:        m.sup.Suspect,
		CulpritFound:   m.sup.Forgive,
		Questions:      m.crashes,
		BuildStall:     stall(m.config.Supervision.CallTimeout),
		CallLimit:      stall(m.config.Supervision.CallTimeout),
		RootStall:      4 * stall(m.config.Supervision.CallTimeout),
		Recovery:       recovery,
		Log:            m.log,
	}
	if m.journal != nil { // a nil pointer in the interface would not be nil
		options.Journal = m.journal
	}
	if m.node, err = driver.New(options); err != nil {
		return err
	}
	if start := m.config.StartTime; start != 0 {
		m.node.SetTimeOffset(int64(start) - time.Now().Unix())
	}
	if err := m.node.Start(ctx); err != nil {
		return err
	}
	m.keepTime()
	return nil
}

// keepTime lets block time go on from the newest block's. It can be far ahead of the clock on a chain of development, whose
// users set it; on any other the clock catches up, and block time waits for it.
func (m *Node) keepTime() {
	offset := m.node.TimeOffset()
	ahead := int64(m.node.Chain().Snapshot().Next().GetTimestamp()) - time.Now().Unix() - offset
	switch {
	case ahead <= 1:
	case m.config.Devnet:
		m.node.SetTimeOffset(offset + ahead)
	default:
		m.log.Warn("the newest block is ahead of the clock: block time stands still until the clock has caught up: look at the clock of this machine, or go on from there with --devnet",
			"seconds", ahead)
	}
}

// access is where the methods beside the specification's, and the metrics, are served to.
func (m *Node) access() rpc.Access {
	return rpc.Access{Origins: m.config.AllowedOrigins, Hosts: m.config.AllowedHosts, Listen: m.config.Host}
}

// stall: no limit at all is a long one for the node.
func stall(limit time.Duration) time.Duration {
	if limit == 0 {
		return 365 * 24 * time.Hour
	}
	return limit
}

// events carries the supervisor's news to the node.
type events struct{ node *driver.Driver }

func (e events) Lost(stage ordov1.Stage, why *host.Ended) host.Blame {
	switch in := e.node.StageDown(stage, why, why.Forced); {
	case in.Asked:
		return host.Questions
	case in.Block:
		return host.Block
	}
	return host.Process
}

func (e events) Back(stage ordov1.Stage, p *host.Plugin) error {
	return e.node.StageUp(stage, driver.Instance{Capabilities: p.Info().GetCapabilities(), Generation: p.Generation()})
}

func (m *Node) startServer() error {
	// They wait for a stage that is being started again themselves, see limits.grace.
	execution := ordov1.NewExecutionClient(m.sup.Link(ordov1.Stage_STAGE_EXECUTION))
	read := ordov1.NewStorageReadClient(m.sup.ReadLink())
	serving, admission := limits(m.config)
	chainID := felt.MustShortString(m.config.ChainID)
	m.ingress = gateway.New(gateway.Options{
		ChainID: chainID, Execution: execution, Storage: read, Pool: door{m.node}, Chain: m.node.Chain(), Validators: 2, Limits: admission,
		Crashes: m.crashes,
	})
	m.server = rpc.New(rpc.Options{
		ChainID: chainID, Chain: m.node.Chain(), Storage: read, Execution: execution, Ingress: m.ingress, Limits: serving,
		Log:       newSlog(m.config.LogLevel, m.errs),
		Extension: m.extension(), Plugins: m.Plugins, Access: m.access(), Crashes: m.crashes,
	})
	return nil
}

// limits are those of the configuration, but that no question of a client takes longer than a plugin may be silent: it would be
// killed for what the client asked.
func limits(c config.Config) (rpc.Limits, gateway.Limits) {
	serving, admission := c.Limits, c.Admission
	admission.Turn, admission.Grace, admission.TransactionMemory = serving.Turn, serving.Grace, c.TransactionMiB
	if most := c.Supervision.CallTimeout * 4 / 5; most > 0 {
		serving.View, serving.Read = min(serving.View, most), min(serving.Read, most)
		admission.Validate, admission.Compile = min(admission.Validate, most), min(admission.Compile, 2*most)
	}
	return serving, admission
}

// Wait serves until the context ends or the node or a plugin fails, then stops everything in order, within the time that
// the configuration gives a shutdown. When that was not enough something still runs: the process has to end.
func (m *Node) Wait(ctx context.Context) error {
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	var work errgroup.Group
	part := func(name string, run func() error) {
		work.Go(func() (err error) {
			defer cancel()
			m.ending.wait(name, func() { err = run() })
			return err
		})
	}
	work.Go(func() error {
		returnMemory(serving)
		return nil
	})
	part("requests that are being answered", func() error { return m.server.Serve(serving, m.listener) })
	if m.metrics != nil {
		part("metrics", func() error { return m.metrics.serve(m) })
		context.AfterFunc(serving, m.metrics.close)
	}
	part("the end of the plugins", func() error { return m.watch(serving) })
	<-serving.Done()
	if ctx.Err() != nil {
		m.log.Warn("the node drains and stops", "why", context.Cause(ctx))
	}
	schedule := planned(time.Now(), m.config.Supervision.Shutdown)
	over := make(chan error, 1)
	go func() { over <- errors.Join(work.Wait(), m.close(schedule)) }()
	return within(m.config.Supervision.Shutdown, over, &m.ending, m.set, m.log)
}

// watch returns when the context ends, or with the reason why the node cannot go on.
func (m *Node) watch(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-m.sup.Done():
		return m.sup.Err()
	case <-m.node.Done():
		err := errors.Join(m.node.Err(), m.gone())
		m.sup.Close() // no plugin is to come back to a node that has stopped
		return err
	}
}

// exitNotice is how long the end of a process may come after the end of its connections.
const exitNotice = 500 * time.Millisecond

// gone names the plugins that have ended: when the node could not go on, that is what the operator needs to read.
func (m *Node) gone() error {
	deadline := time.After(exitNotice)
	var errs []error
	for _, p := range m.set.Plugins() {
		select {
		case <-p.Exited():
			errs = append(errs, fmt.Errorf("%s: the plugin has ended: %s: the chain is as it was at the last committed block; start the node again", p.Name(), p.ExitReason()))
		case <-deadline:
			deadline = time.After(0)
		}
	}
	return errors.Join(errs...)
}

// close stops what was started, the last first.
func (m *Node) close(schedule plan) error {
	var errs []error
	wait := m.ending.wait
	if m.listener != nil {
		m.listener.Close()
	}
	if m.ingress != nil {
		wait("admission", m.ingress.Close)
	}
	if m.metrics != nil {
		m.metrics.close()
	}
	if m.node != nil {
		ctx, cancel := context.WithDeadline(context.Background(), schedule.node)
		defer cancel()
		if m.sup.Err() != nil { // a stage is away for good: nothing to wait for
			ctx, cancel = context.WithTimeout(ctx, time.Second)
			defer cancel()
		}
		wait("blocks on their way to storage", func() {
			if err := ended(m.node.Stop(ctx)); m.sup.Err() == nil {
				errs = append(errs, err)
			}
		})
	}
	if m.sup != nil {
		wait("a plugin that is being started again", m.sup.Close)
	}
	if m.set != nil {
		ctx, cancel := context.WithDeadline(context.Background(), schedule.plugins)
		defer cancel()
		wait("plugins that drain", func() { errs = append(errs, m.set.Close(ctx)) })
	}
	wait("the journal's disk", func() {
		if m.journal != nil {
			errs = append(errs, m.journal.Close())
		}
		if m.folder != nil {
			errs = append(errs, m.folder.Close())
		}
		if m.lock != nil {
			m.lock.Close()
		}
	})
	return errors.Join(errs...)
}

// ended hides what the caller knows already: the fault that made it stop the node.
func ended(err error) error {
	if errors.Is(err, driver.ErrStopped) {
		return nil
	}
	return err
}

// dialRead connects to the socket that storage serves for reads.
func dialRead(socket string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(sdk.MaxMessage)))
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

func (m *Node) port() int { return m.listener.Addr().(*net.TCPAddr).Port }
