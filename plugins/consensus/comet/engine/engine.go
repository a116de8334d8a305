package engine

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/block"
	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/guard"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// stopLimit is how long CometBFT may take to stop. It takes milliseconds, unless it waits for something.
const stopLimit = 5 * time.Second

// Engine runs CometBFT while a Run stream of the core is open. There is one stream at a time: two would be two validators with one key.
type Engine struct {
	settings Settings
	counters counters
	fatal    func(why string)

	draining chan struct{} // closed by Drain

	mu      sync.Mutex
	taken   bool          // a stream is open
	stopped chan struct{} // closed when CometBFT has stopped for it; nil: it was not started
}

// New is an engine at rest.
func New(s Settings) *Engine {
	e := &Engine{settings: s, draining: make(chan struct{})}
	e.fatal = func(why string) {
		s.Log.Error("the process ends, the node starts it again", "reason", why)
		os.Exit(1)
	}
	return e
}

// Counters are what the engine has done and where it stands.
func (e *Engine) Counters() map[string]uint64 { return e.counters.values() }

// Run serves one stream of the core.
func (e *Engine) Run(stream ordov1.Consensus_RunServer) error {
	session, err := e.begin(stream)
	if err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() { received <- session.receive() }()
	worked := make(chan error, 1)
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	stopped := e.stopped
	go func() {
		defer close(stopped)
		worked <- e.work(ctx, session)
	}()

	select {
	case err = <-received:
	case err = <-worked:
		worked <- nil
		reason, halts := errors.AsType[*haltError](err)
		switch {
		case halts:
			session.halt(reason.reason)
			err = <-received // the core ends the stream
		case err != nil:
			err = status.Error(codes.Unavailable, err.Error())
		default: // drained
			err = <-received
		}
	}
	session.end()
	cancel()
	<-worked
	e.free()
	return err
}

// free lets another stream begin.
func (e *Engine) free() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.taken, e.stopped = false, nil
}

// begin opens a session, if none is open.
func (e *Engine) begin(stream ordov1.Consensus_RunServer) (*session, error) {
	e.mu.Lock()
	taken := e.taken
	e.taken = true
	e.mu.Unlock()
	if taken {
		return nil, status.Error(codes.FailedPrecondition, "run: comet serves another stream: one process is one validator")
	}
	session, err := newSession(e.settings.Log, e.settings.Bridge, stream) // waits for Start, and nothing else waits for that
	if err != nil {
		e.free()
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = make(chan struct{})
	return session, nil
}

// Drain stops CometBFT. The stream stays open, and its events are answered, until the core ends it. It is called once.
func (e *Engine) Drain(ctx context.Context) error {
	close(e.draining)
	e.mu.Lock()
	stopped := e.stopped
	e.mu.Unlock()
	if stopped == nil {
		return nil
	}
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("CometBFT waits for the core: %w", ctx.Err())
	}
}

// work runs CometBFT, again when it fell behind, until the session is over or something fails.
func (e *Engine) work(ctx context.Context, s *session) error {
	for {
		n, err := e.boot(ctx, s)
		if err != nil {
			return err
		}
		why := e.watch(ctx, n, s)
		if !e.stop(n) {
			e.fatal("CometBFT does not stop: " + why)
			return errEnded
		}
		if s.over() || ctx.Err() != nil || e.drained() {
			return nil
		}
		e.counters.rejoins.Add(1)
		e.settings.Log.Warn("CometBFT starts again", "reason", why)
	}
}

// drained says whether Drain was called.
func (e *Engine) drained() bool {
	select {
	case <-e.draining:
		return true
	default:
		return false
	}
}

// running is CometBFT at work.
type running struct {
	*node.Node
	app     *app
	genesis string // as other nodes tell theirs
	booted  time.Time
}

// boot starts CometBFT. It replays what the core does not have before it takes part.
func (e *Engine) boot(ctx context.Context, s *session) (*running, error) {
	set := &e.settings
	doc, err := e.admit(s.start)
	if err != nil {
		return nil, err
	}
	parent, err := parentOf(s.start)
	if err != nil {
		set.Log.Warn("the newest block was not decided by comet: it begins at its first height", "height", s.start.GetHeight(), "reason", err)
	}
	if err := os.MkdirAll(set.databases(), 0o700); err != nil {
		return nil, fmt.Errorf("comet: %w", err)
	}
	stores, err := set.openStores()
	if err != nil {
		return nil, err
	}
	started := false
	defer func() {
		if !started {
			stores.close()
		}
	}()
	if err := stores.check(set, doc, parent); err != nil {
		return nil, err
	}
	signer, err := guard.Open(set.guard(), cmted25519.PrivKey(set.Key))
	if err != nil {
		return nil, haltf("comet: %v", err)
	}
	name, err := moniker(doc)
	if err != nil {
		return nil, err
	}
	config, err := set.Config(name)
	if err != nil {
		return nil, haltf("comet: %v", err)
	}
	a := e.application(s, stores, parent)
	r := &running{app: a, genesis: name, booted: time.Now()}
	a.inSync = func() bool { return r.Node != nil && r.ConsensusReactor().WaitSync() }
	log := &logger{to: set.Log.Named("cometbft"), level: set.CometLog, failed: func(why string) {
		if !s.over() {
			e.fatal("consensus of CometBFT has failed: " + why)
		}
	}}
	n, err := node.NewNodeWithContext(ctx, config, signer, &p2p.NodeKey{PrivKey: cmted25519.PrivKey(set.NodeKey)}, proxy.NewConnSyncLocalClientCreator(a),
		func() (*types.GenesisDoc, error) { return doc, nil }, stores.provide, node.DefaultMetricsProvider(config.Instrumentation), log)
	if err != nil {
		return nil, fmt.Errorf("comet: %w", err)
	}
	r.Node = n
	a.committed.Store(max(a.finalized, stores.state.LastBlockHeight))
	e.counters.height.Store(uint64(a.committed.Load()))
	if err := e.listen(ctx, r); err != nil {
		return nil, fmt.Errorf("comet: %w", err)
	}
	if err := n.Start(); err != nil {
		return nil, fmt.Errorf("comet: %w", err)
	}
	started = true
	set.Log.Info("CometBFT runs", "listen", set.Listen, "peers", len(set.others()), "height", n.BlockStore().Height(), "validators", len(doc.Validators),
		"key", hex.EncodeToString(set.Key.Public().(ed25519.PublicKey)))
	return r, nil
}

// admit checks what the core says of the validators and of this node.
func (e *Engine) admit(start *ordov1.ConsensusEvent_Start) (*types.GenesisDoc, error) {
	own := e.settings.Key.Public().(ed25519.PublicKey)
	switch {
	case len(start.GetValidators()) == 0:
		return nil, haltf("comet: the node names no validators: comet is for a network, list them in the node's configuration; for one sequencer alone there is solo")
	case start.GetScheme() != block.Scheme:
		return nil, haltf("comet: the validators' keys are of scheme %q, comet has %q only", start.GetScheme(), block.Scheme)
	case !bytes.Equal(start.GetSelf(), own):
		return nil, haltf("comet: key_file has the key %x and the node has the key %x: give both the same file", []byte(own), start.GetSelf())
	case start.GetChainId() != e.settings.ChainID:
		return nil, haltf("comet: the node is of chain %q and was configured with %q", start.GetChainId(), e.settings.ChainID)
	}
	return e.settings.genesis(start.GetValidators())
}

// parentOf reads the certificate of the newest block: nil at the first height, or when another plugin has made it.
func parentOf(start *ordov1.ConsensusEvent_Start) (*block.Certificate, error) {
	if start.GetHeight() <= 1 {
		return nil, nil
	}
	return block.Parse(start.GetParent().GetCertificate())
}

func (e *Engine) application(s *session, stores *stores, parent *block.Certificate) *app {
	a := &app{settings: &e.settings, session: s, stores: stores, counters: &e.counters, keys: map[string][]byte{}, peers: map[p2p.ID]bool{},
		refused: map[string]bool{}, replayed: stores.replayFrom(parent)}
	for _, v := range s.start.GetValidators() {
		a.keys[string(cmted25519.PubKey(v.GetKey()).Address())] = v.GetKey()
	}
	for _, p := range e.settings.Peers {
		a.peers[nodeID(p.Key)] = true
	}
	return a
}

// listen follows the rounds of CometBFT.
func (e *Engine) listen(ctx context.Context, r *running) error {
	rounds, err := r.EventBus().Subscribe(ctx, "ordo", types.EventQueryNewRound, 100)
	if err != nil {
		return err
	}
	go func() {
		for {
			select {
			case m := <-rounds.Out():
				if n, ok := m.Data().(types.EventDataNewRound); ok {
					e.counters.newest.Store(&newRound{n.Height, uint32(n.Round)})
				}
			case <-rounds.Canceled():
				return
			}
		}
	}()
	return nil
}

// stop stops CometBFT, or says that it does not stop.
func (e *Engine) stop(r *running) bool {
	stopped := make(chan struct{})
	go func() {
		_ = r.Stop() // an error says that it has stopped already
		close(stopped)
	}()
	select {
	case <-stopped:
		return true
	case <-time.After(stopLimit + e.settings.TimeoutValidate):
		return false
	}
}
