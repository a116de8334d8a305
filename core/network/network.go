package network

import "context"

// Network is a node's part of the mesh.
type Network struct{}

func New(o Options) (*Network, error)                                   { panic("next commit") }
func (n *Network) Start() error                                         { panic("next commit") }
func (n *Network) Close() error                                         { panic("next commit") }
func (n *Network) ID() ID                                               { panic("next commit") }
func (n *Network) Addr() string                                         { panic("next commit") } // host:port that it listens on
func (n *Network) Broadcast(height uint64, data []byte)                 { panic("next commit") }
func (n *Network) Send(to ID, height uint64, data []byte) error         { panic("next commit") }
func (n *Network) Announce(h Head)                                      { panic("next commit") }
func (n *Network) PublishBody(height uint64, round uint32) *Publication { panic("next commit") }
func (n *Network) KeepBody(height uint64, value Value, data []byte)     { panic("next commit") }
func (n *Network) RejectBody(value Value, from ID, reason string)       { panic("next commit") }
func (n *Network) Gossip(transactions [][]byte)                         { panic("next commit") }
func (n *Network) Blame(id ID, reason string)                           { panic("next commit") }
func (n *Network) FetchBody(ctx context.Context, height uint64, value Value, from ID) (*Body, error) {
	panic("next commit")
}

// CatchUp fetches decided blocks from a height on and hands them over in order, until no peer has more. An error of apply ends it, but
// Wrong: the peer is blamed, and another asked.
func (n *Network) CatchUp(ctx context.Context, next uint64, apply func(ctx context.Context, from ID, b *Block) error) error {
	panic("next commit")
}

// Publication is a proposal that goes to all validators while it is built.
type Publication struct{}

func (p *Publication) Part(data []byte) { panic("next commit") }
func (p *Publication) Finish(v Value)   { panic("next commit") }
func (p *Publication) Abandon()         { panic("next commit") }
