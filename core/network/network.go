package network

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/core/network/peer"
	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// seenTransactions is how many transactions are remembered, so that each is handed to the core once: between one and two times so many.
const seenTransactions = 1 << 17

// Network is a node's part of the mesh. Its methods may be called from any goroutine.
type Network struct {
	o        Options
	id       ID
	instance [16]byte
	seed     maphash.Seed
	bodies   *bodies

	ctx       context.Context
	stop      context.CancelCauseFunc
	tasks     sync.WaitGroup // links, and what makes them
	serving   sync.WaitGroup // the server
	server    *grpc.Server
	listener  *listener
	serial    atomic.Uint64 // of links
	requestID atomic.Uint64
	groups    atomic.Uint64 // of publications and answers

	mu       sync.Mutex
	peers    map[ID]*known
	past     counters // of links that have ended
	catching *catching
	closed   bool

	head      atomic.Pointer[Head]
	headFrame atomic.Pointer[rawFrame]

	seenMu sync.Mutex
	seen   *peer.Known

	arriving atomic.Int64 // bytes of answers that are not whole yet
	dialing  atomic.Int32 // attempts that have not come to a link or an error yet

	dialsFailed, handshakes, bans, linksLost, strangers, fetchTimeouts, wrongBlocks atomic.Uint64
}

// known is a peer that this node may have links with. The lock of the network protects it.
type known struct {
	id       ID   // never changes
	follower bool // neither does this: a peer that becomes one, or is none any more, is a new one
	address  peer.Address
	machine  *peer.Machine
	links    []*link
	static   bool          // of the options or SetPeers, not of the file
	wake     chan struct{} // its machine has changed
	gone     chan struct{} // it is removed
	offers   *peer.Budget  // handshakes
	conns    int           // open connections that have shown its key
	refusal  string        // why its newest handshake was refused; the log has each once
}

// New makes a network, which has no links before Start.
func New(o Options) (*Network, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	n := &Network{o: o, id: identity.Of(o.Key), seed: maphash.MakeSeed(), bodies: newBodies(o.Limits), peers: make(map[ID]*known)}
	n.seen = peer.NewKnown(n.seed, seenTransactions)
	if _, err := rand.Read(n.instance[:]); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	n.ctx, n.stop = context.WithCancelCause(context.Background())
	return n, nil
}

// ID is the public key of this node.
func (n *Network) ID() ID { return n.id }

// Addr is where this node listens; "" where it does not.
func (n *Network) Addr() string {
	if n.listener == nil {
		return ""
	}
	return n.listener.Addr().String()
}

// Start listens and dials. It returns when the address is taken and the peer file is read.
func (n *Network) Start() error {
	read := stampOf(n.o.PeerFile)
	list, err := n.readPeerFile()
	if err != nil {
		return err
	}
	if n.o.Listen != "" {
		if err := n.listen(); err != nil {
			return err
		}
	}
	n.setPeers(n.o.Peers, true)
	n.setPeers(list, false)
	if n.o.PeerFile != "" {
		n.tasks.Go(func() { n.watchPeerFile(read) })
	}
	return nil
}

// Close ends all links, with a word to the peers, and waits until nothing of the network runs any more.
func (n *Network) Close() error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.stop(&endError{reason: wire.Goodbye_STOPPING})
	n.tasks.Wait() // each link has sent Goodbye, or could not
	if n.server != nil {
		n.server.Stop()
	}
	n.serving.Wait()
	return nil
}

// Head is the newest announced head; false: none yet.
func (n *Network) Head() (Head, bool) {
	if h := n.head.Load(); h != nil {
		return *h, true
	}
	return Head{}, false
}

// rates are the limits of a peer's costs.
func (n *Network) rates() peer.Rates {
	l := n.o.Limits
	return peer.Rates{peer.Messages: l.Messages, peer.Bytes: l.Bytes, peer.Useless: l.Useless, peer.Requests: l.Requests, peer.Invalid: l.Invalid}
}

// SetPeers replaces the peers that were given by the options; those of the peer file stay. Links to peers that are in neither end.
func (n *Network) SetPeers(list []peer.Address) { n.setPeers(list, true) }

func (n *Network) setPeers(list []peer.Address, static bool) {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	wanted := make(map[ID]peer.Address, len(list))
	for _, a := range list {
		if a.ID != n.id || n.o.Twins {
			wanted[a.ID] = a
		}
	}
	for id, p := range n.peers {
		if _, stays := wanted[id]; !stays && p.static == static {
			n.removePeer(id, p, now)
		}
	}
	for id, a := range wanted {
		p := n.peers[id]
		if p == nil {
			n.addPeer(a, static, now)
			continue
		}
		if p.static && !static { // the options win over the file
			continue
		}
		p.static = static
		if p.follower != a.Follower { // the links know what they were made for
			n.removePeer(id, p, now)
			n.addPeer(a, static, now)
		} else if p.address != a {
			p.address = a
			p.machine.SetDial(a.Dial != "", now)
			signal(p.wake)
		}
	}
}

func (n *Network) addPeer(a peer.Address, static bool, now time.Time) {
	l := n.o.Limits
	rules := peer.Rules{Self: n.id, Redial: l.Redial, RedialMax: l.RedialMax, Ban: l.Ban, Quiet: 3 * l.Heartbeat, Twins: n.o.Twins}
	p := &known{id: a.ID, follower: a.Follower, address: a, static: static, wake: make(chan struct{}, 1), gone: make(chan struct{}), offers: peer.NewBudget(peer.Rates{peer.Requests: 4}, 10*time.Second, now)}
	p.machine = peer.NewMachine(rules, a.ID, a.Dial != "", mathrand.New(mathrand.NewPCG(mathrand.Uint64(), mathrand.Uint64())), now)
	n.peers[a.ID] = p
	n.tasks.Go(func() { n.keep(p) })
}

func (n *Network) removePeer(id ID, p *known, now time.Time) {
	p.machine.Remove(now)
	for _, l := range p.links {
		l.end(&endError{reason: wire.Goodbye_UNKNOWN})
	}
	delete(n.peers, id)
	close(p.gone)
}

// keep dials a peer whenever there is no link and its pause is over.
func (n *Network) keep(p *known) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-p.gone:
			return
		case <-p.wake:
		case <-timer.C:
		}
		n.mu.Lock()
		dial := p.machine.Tick(time.Now())
		address := p.address.Dial
		n.mu.Unlock()
		if dial {
			if err := n.dial(p, address); err != nil {
				n.dialsFailed.Add(1)
				n.mu.Lock()
				p.machine.DialFailed(clean(err.Error()), time.Now())
				failures := p.machine.Failures()
				n.mu.Unlock()
				if failures == 1 || failures%20 == 0 {
					n.o.Log.Info("peer is not reached", "peer", p.id.Short(), "address", address, "attempts", failures, "error", clean(err.Error()))
				}
			}
		}
		n.mu.Lock()
		until := p.machine.Until()
		n.mu.Unlock()
		if !until.IsZero() {
			timer.Reset(max(0, time.Until(until)))
		}
	}
}

// offer makes a link of a handshake that is done, or says why not. Links that it replaces end.
func (n *Network) offer(l *link, dialer peer.Dialer) *endError {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := l.peer
	verdict, replaced := p.machine.Offer(peer.Link{Serial: l.serial, Dialer: dialer, Instance: [16]byte(l.hello.Instance), LastIn: l.lastSeen}, time.Now())
	switch {
	case n.closed:
		return &endError{reason: wire.Goodbye_STOPPING}
	case verdict == peer.Duplicate:
		return &endError{reason: wire.Goodbye_DUPLICATE}
	case verdict == peer.Refused:
		_, _, reason := p.machine.State()
		return &endError{reason: wire.Goodbye_BANNED, text: fmt.Sprintf("refused for %s more: %s", time.Until(p.machine.Until()).Round(time.Second), reason)}
	}
	for _, old := range replaced {
		for _, other := range p.links {
			if other.serial == old.Serial {
				other.end(&endError{reason: wire.Goodbye_DUPLICATE, text: "another link takes its place"})
			}
		}
	}
	p.links = append(p.links, l)
	return nil
}

// serveLink runs a link until it ends, and enters its end in the books.
func (n *Network) serveLink(l *link, control, bulk stream) *endError {
	n.o.Log.Info("peer is linked", "peer", l.id.Short(), "address", l.remote, "dialed", l.dialed, "software", clean(l.hello.GetSoftware()))
	n.sendHeadTo(l)
	l.n.o.Receiver.Linked(l.id, true)
	e := l.run(control, bulk)
	n.drop(l, e)
	l.n.o.Receiver.Linked(l.id, false)
	return e
}

// drop takes a link out of the books; a peer that misbehaved is banned, and its other links end.
func (n *Network) drop(l *link, e *endError) {
	now := time.Now()
	n.mu.Lock()
	p := l.peer
	for i, other := range p.links {
		if other == l {
			p.links = append(p.links[:i:i], p.links[i+1:]...)
			n.past.absorb(l)
			break
		}
	}
	p.machine.Lost(l.serial, clean(e.Error()), now)
	left := len(p.links)
	catching := n.catching
	n.mu.Unlock()
	if left == 0 && catching != nil {
		catching.left(l.id)
	}
	n.linksLost.Add(1)
	if e.ban {
		n.ban(p, e.text)
	} else {
		n.o.Log.Info("link has ended", "peer", l.id.Short(), "address", l.remote, "reason", e.Error())
	}
	signal(p.wake)
}

// ban refuses a peer for a while.
func (n *Network) ban(p *known, reason string) {
	reason = clean(reason)
	n.mu.Lock()
	state, _, _ := p.machine.State()
	p.machine.Ban(reason, time.Now())
	until := p.machine.Until()
	links := append([]*link(nil), p.links...)
	n.mu.Unlock()
	for _, l := range links {
		l.end(&endError{reason: wire.Goodbye_MISBEHAVED, text: reason})
	}
	if state != peer.Banned && state != peer.Removed {
		n.bans.Add(1)
		n.o.Log.Warn("peer misbehaved and is refused for a while", "peer", p.id.String(), "for", time.Until(until).Round(time.Second), "reason", reason)
	}
	signal(p.wake)
}

// Blame tells that a peer sent what the core found to be wrong: its links end, and it is refused for a while.
func (n *Network) Blame(id ID, reason string) {
	n.mu.Lock()
	p := n.peers[id]
	n.mu.Unlock()
	if p != nil {
		n.ban(p, reason)
	}
}

// links are all links, or those of validators only.
func (n *Network) allLinks(validators bool) (list []*link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.peers {
		for _, l := range p.links {
			if !validators || !l.follower {
				list = append(list, l)
			}
		}
	}
	return list
}

func (n *Network) linksOf(id ID) []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[id]; p != nil {
		return append([]*link(nil), p.links...)
	}
	return nil
}

// errStopped is that of calls after Close.
var errStopped = errors.New("network: the node stops")
