package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/network"
	"github.com/ordo-sequencer/ordo/core/network/disturb"
	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/core/network/peer"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// membership is a node's part in a network: its key and the validators.
type membership struct {
	key        ed25519.PrivateKey
	id         identity.ID
	validators *config.Validators
	self       *ordov1.Validator // nil: this node is not a validator
}

// join reads the network file and the key; nil when the node has no network.
func join(c *config.Config) (*membership, error) {
	n := &c.Network
	if n.File == "" {
		if n.Listen != "" || len(n.Peers) > 0 || n.PeerFile != "" || n.Follow == "peers" {
			return nil, errors.New("config: network.file is missing: peers need a network file with the chain id and the validators")
		}
		return nil, nil
	}
	m := &membership{}
	var err error
	if m.validators, err = config.ReadNetwork(n.File); err != nil {
		return nil, err
	}
	path := n.KeyFile
	if path == "" {
		if c.DataDir == "" {
			return nil, errors.New("config: network.key_file is missing, and there is no data folder that could keep a key")
		}
		path = filepath.Join(c.DataDir, "node.key")
	}
	if m.key, _, err = identity.LoadOrCreate(path); err != nil {
		return nil, err
	}
	m.id = identity.Of(m.key)
	for _, v := range m.validators.Members {
		if bytes.Equal(v.Key, m.id[:]) {
			m.self = v
		}
	}
	if c.Lazy() && m.validators.Execution != config.ExecutionLazy {
		return nil, fmt.Errorf("config: chain.execution is %s, and the network file %s says %s: the file says it for all nodes: change it there, on each of them", c.ExecutionMode, n.File, m.validators.Execution)
	}
	c.ChainID, c.ExecutionMode = m.validators.ChainID, m.validators.Execution
	return m, nil
}

// machine is what the pipeline knows of the network.
func (m *membership) machine(limits network.Limits) pipeline.Network {
	n := pipeline.Network{Validators: m.validators.Members, Self: m.id[:], Scheme: sdk.SchemeEd25519, ChainID: m.validators.ChainID,
		KeptBytes: limits.Bodies / 2} // as much as the mesh holds of this node's own
	if m.self != nil {
		n.Sign = func(message []byte) []byte { return ed25519.Sign(m.key, message) }
	}
	return n
}

// mesh links the node to its peers: it is what consensus sends by, what transactions are passed on by, and what answers peers.
type mesh struct {
	log     hclog.Logger
	driver  *driver.Driver
	gateway *gateway.Gateway
	network *network.Network
	learns  bool // blocks of peers are executed when they are ahead: this node follows, or its protocol does not fetch them itself

	started atomic.Bool
	serving chan struct{} // closed when it is started
	early   early
	disturb *disturb.Sender // nil: messages of consensus are sent as they are
	outbox  chan []byte     // admitted transactions that are to be passed on
	dropped atomic.Uint64
	// unadmitted counts transactions of peers that this node did not admit, and that are not invalid.
	unadmitted atomic.Uint64
	ahead      chan struct{} // a peer is ahead
	sharing    sharing
	work       sync.WaitGroup
	ctx        context.Context
	cancel     context.CancelFunc
}

// gossipQueue is how many admitted transactions may wait to be passed on, and relays how many of peers are validated at a time.
const (
	gossipQueue = 16384
	relays      = 256
)

func (n *Node) newMesh() *mesh {
	m := &mesh{log: n.log, outbox: make(chan []byte, gossipQueue), ahead: make(chan struct{}, 1), serving: make(chan struct{})}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// start links the node, which serves already.
func (m *mesh) start(n *Node) error {
	zero, err := n.driver.GenesisHash(m.ctx)
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	c := n.config.Network
	consensus := n.set.Plugin(ordov1.Stage_STAGE_CONSENSUS)
	m.driver, m.gateway = n.driver, n.gateway
	m.learns = c.Follow != "" || !describedBy(consensus).has(sdk.CapEngine)
	o := network.Options{
		Key: n.member.key, ChainID: n.config.ChainID, Genesis: zero, Software: "ordo " + describedBy(consensus).Name, Follower: n.member.self == nil || c.Follow != "",
		Listen: c.Listen, PeerFile: c.PeerFile, Twins: c.Twins, Lazy: n.config.Lazy(), Receiver: m, Source: m, Log: n.log.Named("network"), Limits: c.Limits,
	}
	for _, text := range c.Peers {
		a, err := peer.ParseAddress(text)
		if err != nil {
			return fmt.Errorf("network.peers: %w", err)
		}
		o.Peers = append(o.Peers, a)
	}
	if m.network, err = network.New(o); err != nil {
		return err
	}
	if err := m.disturbed(n); err != nil {
		return err
	}
	m.tell() // before any message of consensus
	if err := m.network.Start(); err != nil {
		return err
	}
	m.started.Store(true)
	for _, b := range m.early.end() {
		m.network.KeepBody(b.height, b.value, b.data)
	}
	close(m.serving)
	m.work.Go(m.announce)
	m.work.Go(m.gossip)
	if o.Follower {
		m.work.Go(m.sendAgain)
	}
	if m.learns {
		m.work.Go(func() { m.catchUp().run(m.ctx) })
	}
	return nil
}

func (m *mesh) close() {
	m.cancel()
	if m.started.Load() {
		if err := m.network.Close(); err != nil {
			m.log.Warn("the network does not close", "error", err)
		}
	}
	m.work.Wait()
}

// announce tells the peers the newest stored block, as it changes.
func (m *mesh) announce() {
	for {
		select {
		case <-m.driver.StoredChanged():
			m.tell()
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *mesh) tell() {
	if height, value := m.driver.Stored(); len(value) == felt.Size {
		m.network.Announce(network.Head{Height: height, Value: network.Value(value)})
	}
}

// admitted queues a transaction that a client sent for the peers. It does not block. A transaction that finds no room is not passed on: it waits
// here until this node proposes, or, when it follows, until it is sent again.
func (m *mesh) admitted(b *gateway.Broadcast) {
	if !m.started.Load() {
		return
	}
	encoded, err := b.Encode()
	if err != nil {
		m.log.Error("an admitted transaction cannot be passed on", "error", err)
		return
	}
	select {
	case m.outbox <- encoded:
	default:
		if m.dropped.Add(1)%1000 == 1 {
			m.log.Warn("transactions are not passed on: the queue is full", "not passed on", m.dropped.Load())
		}
	}
}

// gossip passes admitted transactions on, as many at a time as are there.
func (m *mesh) gossip() {
	for {
		var batch [][]byte
		select {
		case tx := <-m.outbox:
			batch = append(batch, tx)
		case <-m.ctx.Done():
			return
		}
		for more := true; more && len(batch) < 512; {
			select {
			case tx := <-m.outbox:
				batch = append(batch, tx)
			default:
				more = false
			}
		}
		m.network.Gossip(batch)
	}
}

// Message implements network.Receiver.
func (m *mesh) Message(from network.ID, _ uint64, data []byte) {
	_ = m.driver.Deliver(m.ctx, from[:], data) // it fails when the node stops
}

// BodyPart implements network.Receiver: a body is used when it is whole.
func (m *mesh) BodyPart(network.ID, network.BodyPart) {}

// Transactions implements network.Receiver. What is not admitted at this moment may come again.
func (m *mesh) Transactions(from network.ID, batch [][]byte) (invalid int) {
	var count atomic.Int64
	var work errgroup.Group
	work.SetLimit(relays)
	for _, encoded := range batch {
		work.Go(func() error {
			err := m.gateway.Relay(m.ctx, encoded)
			if wrong := (*gateway.InvalidError)(nil); errors.As(err, &wrong) && m.judges(err) {
				count.Add(1)
				m.log.Debug("a peer passed an invalid transaction on", "peer", from.Short(), "error", err)
			} else if err != nil && m.ctx.Err() == nil {
				if !errors.Is(err, mempool.ErrNonceTooOld) {
					m.network.Forget(encoded)
				}
				if n := m.unadmitted.Add(1); n%1000 == 1 {
					m.log.Warn("transactions that a peer has admitted are not admitted here", "peer", from.Short(), "not admitted", n, "error", err)
				}
			}
			return nil
		})
	}
	_ = work.Wait()
	return int(count.Load())
}

// Head implements network.Receiver.
func (m *mesh) Head(_ network.ID, head network.Head) {
	if m.learns && head.Height >= m.driver.Chain().Next().GetNumber() {
		select {
		case m.ahead <- struct{}{}:
		default:
		}
	}
}

// Block implements network.Source.
func (m *mesh) Block(ctx context.Context, height uint64) (*network.Block, error) {
	b, err := m.driver.Decided(ctx, height)
	if err != nil || b == nil {
		return nil, err
	}
	return &network.Block{Height: b.Height, Value: network.Value(b.Value), Body: b.Body, Certificate: b.Certificate}, nil
}
