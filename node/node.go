package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/recording"
	"github.com/ordo-sequencer/ordo/starknet"
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
	driver   *driver.Driver
	gateway  *gateway.Gateway
	member   *membership       // nil: a chain of one sequencer
	mesh     *mesh             // nil: no peers
	recorder *recording.Writer // nil: nothing is recorded
	follower *follower         // nil: blocks do not come from a node's JSON-RPC
	server   *rpc.Server
	metrics  *metrics // nil: not served
	heights  *heights

	output Output
	ending shutdown
}

// Start brings a node up to where it can serve. What it needs from the system (the port, the data folder) is taken first,
// so that a second node on the same ends at once.
func Start(ctx context.Context, c config.Config, installed Installation, out Output) (*Node, error) {
	m := &Node{config: c, output: out, log: newLog("ordo", c.LogLevel, out)}
	m.heights = newHeights(cmp.Or(out.Observer, driver.LogObserver(m.log)))
	err := m.start(ctx, installed)
	out.Progress.Done()
	if err != nil {
		over := make(chan error, 1)
		go func() { over <- m.close(planned(time.Now(), c.Supervision.Shutdown)) }()
		return nil, errors.Join(err, within(c.Supervision.Shutdown, over, &m.ending, m.set, m.log))
	}
	return m, nil
}

func (n *Node) start(ctx context.Context, installed Installation) (err error) {
	if n.listener, err = listen(ctx, n.config); err != nil {
		return err
	}
	n.URL = "http://" + n.listener.Addr().String()
	if n.config.DataDir != "" {
		if n.config.DataDir, err = filepath.Abs(n.config.DataDir); err != nil {
			return err
		}
		if n.lock, err = lock(n.config.DataDir); err != nil {
			return err
		}
	}
	if n.member, err = join(&n.config); err != nil {
		return err
	}
	n.Genesis, err = genesis.New(genesis.Options{
		Seed: n.config.Seed, Accounts: n.config.Accounts, InitialBalance: n.config.InitialBalance,
		AccountClass: n.config.AccountClass, Contracts: installed.Contracts,
	})
	if err != nil {
		return err
	}
	shares := memoryShares(n.config.Memory, "/")
	limitCore(shares, os.LookupEnv)
	stages, err := specs(n.config, installed, shares)
	if err != nil {
		return err
	}
	if n.metrics, err = listenMetrics(ctx, n.config.MetricsAddr); err != nil {
		return err
	}
	n.output.Progress.Step("reading the journal")
	recovery, err := n.openJournal()
	if err != nil {
		return err
	}
	v := n.config.Supervision
	n.crashes = crash.New(crash.Options{Crashes: v.QuestionCrashes, Window: v.Window, Pause: v.QuestionPause, Memory: v.QuestionMemory, Log: n.log})
	if n.set, err = host.StartSet(ctx, host.Options{Logger: n.log, HealthTimeout: v.HealthTimeout, CallLimit: v.CallTimeout, Starting: n.starting}, stages...); err != nil {
		return err
	}
	var plugins []described
	for _, p := range n.set.Plugins() {
		plugins = append(plugins, describedBy(p))
		if err := lacking(describedBy(p)); err != nil {
			return err
		}
	}
	for _, note := range notes(n.config, plugins) {
		n.log.Warn(note)
	}
	if n.sup, err = host.Supervise(n.set, host.Supervision{Restarts: v.Restarts, Window: v.Window,
		LeaveLate: v.HealthTimeout == 0 || v.CallTimeout == 0}); err != nil {
		return err
	}
	if err := n.startNode(ctx, recovery); err != nil {
		return errors.Join(err, n.gone())
	}
	n.sup.Watch(supervisorEvents{n.driver})
	return n.startServer()
}

// starting tells which plugin the start waits for.
func (n *Node) starting(s host.Spec) {
	where := cmp.Or(s.Attach, strings.TrimPrefix(filepath.Base(s.Path), "ordo-"+sdk.StageName(s.Stage)+"-"))
	n.output.Progress.Step("starting the plugin " + sdk.StageName(s.Stage) + "/" + where)
}

// openJournal reads what a node that used the data folder before had promised.
func (n *Node) openJournal() (*journal.Recovery, error) {
	if n.config.DataDir == "" {
		return nil, nil
	}
	var err error
	if n.folder, err = journal.OpenFolder(filepath.Join(n.config.DataDir, "journal")); err != nil {
		return nil, err
	}
	var found *journal.Recovery
	if n.journal, found, err = journal.Open(n.folder, journal.Options{Chain: n.config.ChainID}); err != nil {
		return nil, err
	}
	return found, nil
}

func (n *Node) startNode(ctx context.Context, recovery *journal.Recovery) (err error) {
	plugin, link, gas := n.set.Plugin, n.sup.Link, n.config.Gas
	options := driver.Options{
		Stages: driver.Stages{
			Ordering:              link(ordov1.Stage_STAGE_ORDERING),
			Execution:             link(ordov1.Stage_STAGE_EXECUTION),
			Storage:               link(ordov1.Stage_STAGE_STORAGE),
			StorageRead:           n.sup.ReadLink(),
			Consensus:             link(ordov1.Stage_STAGE_CONSENSUS),
			OrderingCapabilities:  plugin(ordov1.Stage_STAGE_ORDERING).Info().GetCapabilities(),
			ConsensusCapabilities: plugin(ordov1.Stage_STAGE_CONSENSUS).Info().GetCapabilities(),
		},
		ChainID: n.config.ChainID,
		Block: driver.Block{StarknetVersion: starknet.LatestVersion, Prices: driver.Prices{
			L1Wei: gas.L1Wei, L1Fri: gas.L1Fri, L1DataWei: gas.L1DataWei, L1DataFri: gas.L1DataFri, L2Wei: gas.L2Wei, L2Fri: gas.L2Fri,
		}},
		Genesis:         &driver.Genesis{Diff: n.Genesis.Diff, Classes: n.Genesis.Classes},
		ConsensusConfig: plugin(ordov1.Stage_STAGE_CONSENSUS).Spec().Config,
		Pool: mempool.Options{TTL: n.config.PoolTTL, MaxBytes: n.config.PoolCapacityMiB << 20,
			AccountBytes: n.config.PoolAccountMiB << 20, MaxNonceGap: uint64(n.config.PoolNonceGap)},
		TransactionMiB: n.config.TransactionMiB,
		Suspect:        n.sup.Suspect,
		CulpritFound:   n.sup.Forgive,
		Questions:      n.crashes,
		BuildStall:     stall(n.config.Supervision.CallTimeout),
		CallLimit:      stall(n.config.Supervision.CallTimeout),
		RootStall:      4 * stall(n.config.Supervision.CallTimeout),
		StallAfter:     stallAfter(n.config, describedBy(plugin(ordov1.Stage_STAGE_CONSENSUS))),
		Proposals:      pipeline.Tolerance{AheadMs: uint64(n.config.Network.Ahead / time.Millisecond), PricePercent: n.config.Network.PricePercent},
		Lazy:           n.config.Lazy(),
		Order:          n.config.Order,
		Certificates:   describedBy(plugin(ordov1.Stage_STAGE_CONSENSUS)).has(sdk.CapCertificates),
		Follow:         n.config.Network.Follow != "",
		Recovery:       recovery,
		Log:            n.log,
		Observer:       n.heights,
	}
	if m := n.member; m != nil {
		n.mesh = n.newMesh()
		options.Network, options.Peers = m.machine(n.config.Network.Limits), peers{n.mesh}
		options.Genesis.Timestamp, options.Genesis.Sequencer = m.validators.GenesisTime, make([]byte, felt.Size)
		if m.self != nil {
			options.Block.Sequencer = m.self.Address
		}
	}
	if n.follower = n.newFollower(); n.follower != nil && n.member == nil {
		if err := n.follower.genesis(ctx, ordov1.NewStorageClient(options.Stages.Storage), options.Genesis); err != nil {
			return err
		}
	}
	if n.journal != nil { // a nil pointer in the interface would not be nil
		options.Journal = n.journal
	}
	if options.Recorder, err = n.record(); err != nil {
		return err
	}
	if n.driver, err = driver.New(options); err != nil {
		return err
	}
	if n.follower != nil {
		n.follower.driver = n.driver
	}
	if start := n.config.StartTime; start != 0 {
		n.driver.SetTimeOffset(int64(start) - time.Now().Unix())
	}
	n.output.Progress.Step("bringing storage, execution and the journal to the same block")
	if err := n.driver.Start(ctx); err != nil {
		return err
	}
	n.keepTime()
	return nil
}

// keepTime lets block time go on from the newest block's. It can be far ahead of the clock on a chain of development, whose
// users set it; on any other the clock catches up, and block time waits for it.
func (n *Node) keepTime() {
	offset := n.driver.TimeOffset()
	ahead := int64(n.driver.Chain().Snapshot().Next().GetTimestamp()) - time.Now().Unix() - offset
	switch {
	case ahead <= 1:
	case n.config.Devnet:
		n.driver.SetTimeOffset(offset + ahead)
	default:
		n.log.Warn("the newest block is ahead of the clock: block time stands still until the clock has caught up: look at the clock of this machine, or go on from there with --devnet",
			"seconds", ahead)
	}
}

// access is where the methods beside the specification's, and the metrics, are served to.
func (n *Node) access() rpc.Access {
	return rpc.Access{Origins: n.config.AllowedOrigins, Hosts: n.config.AllowedHosts, Listen: n.config.Host}
}

// stall: no limit at all is a long one for the node.
func stall(limit time.Duration) time.Duration {
	if limit == 0 {
		return 365 * 24 * time.Hour
	}
	return limit
}

func (n *Node) startServer() error {
	// They wait for a stage that is being started again themselves, see limits.restart_wait.
	execution := ordov1.NewExecutionClient(n.sup.Link(ordov1.Stage_STAGE_EXECUTION))
	read := ordov1.NewStorageReadClient(n.sup.ReadLink())
	serving, admission := limits(n.config)
	chainID := felt.MustShortString(n.config.ChainID)
	o := gateway.Options{
		ChainID: chainID, Execution: execution, Storage: read, Pool: n.driver, Chain: n.driver.Chain(), Validators: 2, Limits: admission,
		Crashes: n.crashes,
	}
	if n.mesh != nil {
		o.Admitted = n.mesh.admitted
	}
	if n.follower != nil {
		o.Pool = n.follower
	}
	n.gateway = gateway.New(o)
	n.server = rpc.New(rpc.Options{
		ChainID: chainID, Chain: n.driver.Chain(), Storage: read, Execution: execution, Gateway: n.gateway, Limits: serving,
		Log:       newSlog(n.config.LogLevel, n.output.Log),
		Extension: n.networkMethods(n.extension()), Plugins: n.Plugins, Access: n.access(), Crashes: n.crashes,
	})
	if n.follower != nil {
		n.follower.start()
	}
	if n.mesh != nil {
		return n.mesh.start(n)
	}
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
func (n *Node) Wait(ctx context.Context) error {
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	var work errgroup.Group
	part := func(name string, run func() error) {
		work.Go(func() (err error) {
			defer cancel()
			n.ending.wait(name, func() { err = run() })
			return err
		})
	}
	work.Go(func() error {
		returnMemory(serving)
		return nil
	})
	part("requests that are being answered", func() error { return n.server.Serve(serving, n.listener) })
	if n.metrics != nil {
		part("metrics", func() error { return n.metrics.serve(n) })
		context.AfterFunc(serving, n.metrics.close)
	}
	part("the end of the plugins", func() error { return n.watch(serving) })
	<-serving.Done()
	if ctx.Err() != nil {
		n.log.Warn("the node drains and stops", "why", context.Cause(ctx))
	}
	schedule := planned(time.Now(), n.config.Supervision.Shutdown)
	over := make(chan error, 1)
	go func() { over <- errors.Join(work.Wait(), n.close(schedule)) }()
	return within(n.config.Supervision.Shutdown, over, &n.ending, n.set, n.log)
}

// watch returns when the context ends, or with the reason why the node cannot go on.
func (n *Node) watch(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.sup.Done():
		return n.sup.Err()
	case <-n.driver.Done():
		err := errors.Join(n.driver.Err(), n.gone())
		n.sup.Close() // no plugin is to come back to a node that has stopped
		return err
	}
}

// exitNotice is how long the end of a process may come after the end of its connections.
const exitNotice = 500 * time.Millisecond

// gone names the plugins that have ended: when the node could not go on, that is what the operator needs to read.
func (n *Node) gone() error {
	deadline := time.After(exitNotice)
	var errs []error
	for _, p := range n.set.Plugins() {
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
func (n *Node) close(schedule plan) error {
	var errs []error
	wait := n.ending.wait
	if n.listener != nil {
		n.listener.Close()
	}
	if n.follower != nil {
		wait("the node that is followed", n.follower.close)
	}
	if n.mesh != nil {
		wait("peers", n.mesh.close)
	}
	if n.gateway != nil {
		wait("admission", n.gateway.Close)
	}
	if n.metrics != nil {
		n.metrics.close()
	}
	if n.driver != nil {
		ctx, cancel := context.WithDeadline(context.Background(), schedule.node)
		defer cancel()
		if n.sup.Err() != nil { // a stage is away for good: nothing to wait for
			ctx, cancel = context.WithTimeout(ctx, time.Second)
			defer cancel()
		}
		wait("blocks on their way to storage", func() {
			if err := ended(n.driver.Stop(ctx)); n.sup.Err() == nil {
				errs = append(errs, err)
			}
		})
	}
	if n.sup != nil {
		wait("a plugin that is being started again", n.sup.Close)
	}
	if n.set != nil {
		ctx, cancel := context.WithDeadline(context.Background(), schedule.plugins)
		defer cancel()
		wait("plugins that drain", func() { errs = append(errs, n.set.Close(ctx)) })
	}
	wait("the journal's disk", func() {
		if n.journal != nil {
			errs = append(errs, n.journal.Close())
		}
		if n.recorder != nil {
			errs = append(errs, n.recorder.Close())
		}
		if n.folder != nil {
			errs = append(errs, n.folder.Close())
		}
		if n.lock != nil {
			n.lock.Close()
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

func (n *Node) port() int { return n.listener.Addr().(*net.TCPAddr).Port }
