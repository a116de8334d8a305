package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/core/network"
	"github.com/ordo-sequencer/ordo/core/network/disturb"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// peers is the mesh as consensus sees it. It is there before the mesh is linked: until then nothing is sent.
type peers struct{ mesh *mesh }

// Send implements driver.Peers.
func (p peers) Send(to, message []byte) {
	m := p.mesh
	if !m.started.Load() {
		return
	}
	height := m.driver.Chain().Next().GetNumber()
	if m.disturb != nil {
		m.disturb.Send(to, height, message)
		return
	}
	var err error
	if len(to) == 0 {
		err = m.network.Broadcast(height, message)
	} else if id := (network.ID{}); len(to) == len(id) {
		err = m.network.Send(network.ID(to), height, message)
	} else {
		err = fmt.Errorf("a key of %d bytes", len(to))
	}
	if err != nil && !errors.Is(err, network.ErrNoLink) {
		m.log.Error("a message of consensus is not sent", "error", err)
	}
}

// disturbed puts faults between consensus and the network, for an experiment.
func (m *mesh) disturbed(n *Node) (err error) {
	path := n.config.Network.Faults
	if path == "" || n.member.self == nil {
		return nil
	}
	if describedBy(n.set.Plugin(ordov1.Stage_STAGE_CONSENSUS)).has(sdk.CapEngine) {
		return errors.New("network.message_faults: this consensus has a network of its own, whose messages the node does not see: cut and delay its connections instead (ordo localnet partition, ordo localnet delay)")
	}
	o := disturb.Options{Path: path, Self: n.member.id, Send: m.network.Send, Log: m.log.Named("faults")}
	for _, v := range n.member.validators.Members {
		if id := network.ID(v.Key); id != n.member.id {
			o.Peers = append(o.Peers, id)
		}
	}
	if m.disturb, err = disturb.New(o); err != nil {
		return fmt.Errorf("network.message_faults: %w", err)
	}
	m.log.Warn("EXPERIMENT: this node loses, delays and changes its own messages of consensus, as network.message_faults says: never in production", "file", path)
	m.work.Go(func() { m.disturb.Run(m.ctx) })
	return nil
}

// bodyPart is how large the parts are in which a body is published.
const bodyPart = 128 << 10

// Publish implements driver.Peers.
func (p peers) Publish(height uint64, round uint32, value, body []byte) {
	if !p.mesh.started.Load() || len(value) != felt.Size {
		return
	}
	publication := p.mesh.network.PublishBody(height, round)
	for rest := body; len(rest) > 0; {
		n := min(len(rest), bodyPart)
		publication.Part(rest[:n])
		rest = rest[n:]
	}
	publication.Finish(network.Value(value))
}

// Keep implements driver.Peers. Bodies that a restart found in the journal come before the mesh is linked.
func (p peers) Keep(height uint64, value, body []byte) {
	if len(value) == felt.Size && !p.mesh.early.add(earlyBody{height, network.Value(value), body}) {
		p.mesh.network.KeepBody(height, network.Value(value), body)
	}
}

// early holds bodies until the mesh is linked. Safe for concurrent use.
type early struct {
	mu     sync.Mutex
	bodies []earlyBody
	ended  bool
}

type earlyBody struct {
	height uint64
	value  network.Value
	data   []byte
}

// add holds a body; false: not any more.
func (e *early) add(b earlyBody) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ended {
		e.bodies = append(e.bodies, b)
	}
	return !e.ended
}

func (e *early) end() []earlyBody {
	e.mu.Lock()
	defer e.mu.Unlock()
	bodies := e.bodies
	e.bodies, e.ended = nil, true
	return bodies
}

// fetchLimit is how long the body of a proposal may take to come.
const fetchLimit = 5 * time.Second

// Fetch implements driver.Peers.
func (p peers) Fetch(ctx context.Context, value, from []byte, answer func(body []byte)) {
	m := p.mesh
	if len(value) != felt.Size {
		answer(nil)
		return
	}
	m.work.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, fetchLimit)
		defer cancel()
		select {
		case <-m.serving: // after a restart consensus may want what the journal had before the mesh is linked
		case <-ctx.Done():
			answer(nil)
			return
		}
		var id network.ID
		copy(id[:], from)
		body, err := m.network.FetchBody(ctx, m.driver.Chain().Next().GetNumber(), network.Value(value), id)
		if err != nil {
			m.log.Debug("the body of a proposal is missing", "value", fmt.Sprintf("%x", value), "error", err)
			answer(nil)
			return
		}
		answer(body.Data)
	})
}
