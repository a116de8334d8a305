package network

import (
	"bytes"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/peer"
)

// uselessReason is why a frame had no effect.
type uselessReason uint8

const (
	late        uselessReason = iota // a consensus message of a height that is decided here
	repeat                           // a message or transaction that the peer had sent already
	headBack                         // a head below the one before
	outOfWindow                      // a part of a body of a height that is decided, or far ahead
	gap                              // a part of a body after one that is missing
	unasked                          // an answer to a request that was given up
	uselessReasons
)

var uselessNames = [uselessReasons]string{"late", "repeated", "head back", "body out of window", "body incomplete", "answer too late"}

// flow counts frames and their bytes.
type flow struct{ frames, bytes atomic.Uint64 }

func (f *flow) add(bytes int) {
	f.frames.Add(1)
	f.bytes.Add(uint64(bytes))
}

const classCount = 4

// counters are those of a link, or of all links that have ended.
type counters struct {
	in, out        [classCount]flow
	useless        [uselessReasons]atomic.Uint64
	early          atomic.Uint64
	inboundDropped atomic.Uint64
	invalid        atomic.Uint64
	dropped        [classCount]atomic.Uint64 // of links that have ended; those of a link are in its queue
}

func (c *counters) sent(i peer.Item) { c.out[i.Class].add(i.Bytes) }

// FlowStats is what went over links, of one class.
type FlowStats struct {
	Class     string `json:"class"`
	FramesIn  uint64 `json:"frames_in"`
	BytesIn   uint64 `json:"bytes_in"`
	FramesOut uint64 `json:"frames_out"`
	BytesOut  uint64 `json:"bytes_out"`
	Dropped   uint64 `json:"dropped"` // because the queue was full
	Queued    int    `json:"queued_bytes"`
}

// Traffic is what links have carried.
type Traffic struct {
	Flows          []FlowStats       `json:"flows"`
	Useless        map[string]uint64 `json:"useless"`         // frames without effect, by reason
	Early          uint64            `json:"early"`           // consensus messages above the window, while this node is behind
	InboundDropped uint64            `json:"inbound_dropped"` // transactions, because too many waited for admission
	Invalid        uint64            `json:"invalid"`         // transactions
}

func newTraffic() Traffic {
	t := Traffic{Useless: make(map[string]uint64, uselessReasons)}
	for _, c := range peer.Classes() {
		t.Flows = append(t.Flows, FlowStats{Class: c.String()})
	}
	return t
}

func (t *Traffic) add(c *counters, q func(peer.Class) (dropped uint64, queued int)) {
	for _, class := range peer.Classes() {
		f := &t.Flows[class]
		f.FramesIn += c.in[class].frames.Load()
		f.BytesIn += c.in[class].bytes.Load()
		f.FramesOut += c.out[class].frames.Load()
		f.BytesOut += c.out[class].bytes.Load()
		dropped, queued := q(class)
		f.Dropped += dropped + c.dropped[class].Load()
		f.Queued += queued
	}
	for i, name := range uselessNames {
		t.Useless[name] += c.useless[i].Load()
	}
	t.Early += c.early.Load()
	t.InboundDropped += c.inboundDropped.Load()
	t.Invalid += c.invalid.Load()
}

func (l *link) addTo(t *Traffic) {
	t.add(&l.counts, func(c peer.Class) (uint64, int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.queue.Dropped(c), l.queue.ClassBytes(c)
	})
}

// absorb keeps the counts of a link that has ended.
func (c *counters) absorb(l *link) {
	for i := range c.in {
		c.in[i].frames.Add(l.counts.in[i].frames.Load())
		c.in[i].bytes.Add(l.counts.in[i].bytes.Load())
		c.out[i].frames.Add(l.counts.out[i].frames.Load())
		c.out[i].bytes.Add(l.counts.out[i].bytes.Load())
		l.mu.Lock()
		c.dropped[i].Add(l.queue.Dropped(peer.Class(i)))
		l.mu.Unlock()
	}
	for i := range c.useless {
		c.useless[i].Add(l.counts.useless[i].Load())
	}
	c.early.Add(l.counts.early.Load())
	c.inboundDropped.Add(l.counts.inboundDropped.Load())
	c.invalid.Add(l.counts.invalid.Load())
}

// Stats is what a node counts of its peers, since its start.
type Stats struct {
	States        map[string]int // peers in each state
	Traffic       Traffic
	Bodies        int    // bytes of bodies that are held
	BodiesEvicted uint64 // because there was no room
	DialsFailed   uint64
	Handshakes    uint64 // that were refused, of keys that are not among the peers or of another chain
	Bans          uint64
	LinksLost     uint64
	Strangers     uint64 // connections that were closed before a key was shown
	FetchTimeouts uint64
	WrongBlocks   uint64
	CatchUpHeight uint64 // of the block that catch-up waits for; 0: it is not running
	Announced     bool
	Head          Head
}

// PeerInfo is what a node knows of a peer.
type PeerInfo struct {
	ID       ID         `json:"id"`
	Address  string     `json:"address,omitempty"`
	Follower bool       `json:"follower,omitempty"`
	State    string     `json:"state"`
	Since    time.Time  `json:"since"`            // of the state
	Until    *time.Time `json:"until,omitempty"`  // of a ban, or the next attempt to dial
	Reason   string     `json:"reason,omitempty"` // why there is no link
	Failures int        `json:"failures"`         // attempts to dial since the last link
	Bans     int        `json:"bans"`
	Links    []LinkInfo `json:"links,omitempty"`
}

// LinkInfo is one link of a peer.
type LinkInfo struct {
	Remote   string    `json:"remote"`
	Dialed   bool      `json:"dialed"` // by this node
	Since    time.Time `json:"since"`
	LastIn   time.Time `json:"last_in"`
	Software string    `json:"software"`
	Height   *uint64   `json:"height,omitempty"` // of its head, as it says
	Queued   int       `json:"queued_bytes"`
	Traffic  Traffic   `json:"traffic"`
}

// Peers is a snapshot of all peers, in the order of their keys.
func (n *Network) Peers() []PeerInfo {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]PeerInfo, 0, len(n.peers))
	for id, p := range n.peers {
		state, since, reason := p.machine.State()
		info := PeerInfo{ID: id, Address: p.address.Dial, Follower: p.follower, State: state.String(), Since: since, Reason: reason,
			Failures: p.machine.Failures(), Bans: p.machine.Bans()}
		if until := p.machine.Until(); until.After(now) {
			info.Until = &until
		}
		for _, l := range p.links {
			info.Links = append(info.Links, l.info())
		}
		list = append(list, info)
	}
	slices.SortFunc(list, func(a, b PeerInfo) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return list
}

func (l *link) info() LinkInfo {
	i := LinkInfo{Remote: l.remote, Dialed: l.dialed, Since: l.since, LastIn: l.lastSeen(), Software: clean(l.hello.GetSoftware()), Traffic: newTraffic()}
	l.addTo(&i.Traffic)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hasHead {
		height := l.head.Height
		i.Height = &height
	}
	i.Queued = l.queue.Bytes()
	return i
}

// HighestHead is the height of the highest head that a linked peer has announced; false: none has announced one. It may be a lie.
func (n *Network) HighestHead() (height uint64, announced bool) {
	for _, l := range n.allLinks(false) {
		l.mu.Lock()
		if l.hasHead {
			height, announced = max(height, l.head.Height), true
		}
		l.mu.Unlock()
	}
	return height, announced
}

// Stats are the counters of all links, of those that have ended too.
func (n *Network) Stats() Stats {
	s := Stats{States: make(map[string]int), Traffic: newTraffic()}
	for _, state := range peer.States() {
		s.States[state.String()] = 0
	}
	n.mu.Lock()
	s.Traffic.add(&n.past, func(peer.Class) (uint64, int) { return 0, 0 })
	for _, p := range n.peers {
		state, _, _ := p.machine.State()
		s.States[state.String()]++
		for _, l := range p.links {
			l.addTo(&s.Traffic)
		}
	}
	if n.catching != nil {
		s.CatchUpHeight = n.catching.height()
	}
	n.mu.Unlock()
	s.Bodies, s.BodiesEvicted = n.bodies.bytes()
	s.DialsFailed, s.Handshakes, s.Bans, s.LinksLost = n.dialsFailed.Load(), n.handshakes.Load(), n.bans.Load(), n.linksLost.Load()
	s.Strangers, s.FetchTimeouts, s.WrongBlocks = n.strangers.Load(), n.fetchTimeouts.Load(), n.wrongBlocks.Load()
	s.Head, s.Announced = n.Head()
	return s
}
