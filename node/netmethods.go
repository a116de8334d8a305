package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/network"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/devnet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// networkExtension adds the methods by which nodes and operators see a node's part in a network.
type networkExtension struct {
	rpc.Extension
	node *Node
}

func (n *Node) networkMethods(inner rpc.Extension) rpc.Extension {
	if inner == nil {
		inner = devnet.AtOnce(n.driver.Chain())
	}
	return &networkExtension{inner, n}
}

// Methods implements rpc.Extension.
func (e *networkExtension) Methods(s *rpc.Server) map[string]rpc.Method {
	all := map[string]rpc.Method{
		"ordo_decidedBlocks": {Params: []string{"from"}, Call: e.decidedBlocks, Large: true},
		"ordo_relay":         {Params: []string{"transaction"}, Call: e.relay},
		"ordo_network":       {Params: []string{"heights"}, Call: e.network},
		"ordo_peers":         {Call: e.peers},
		"ordo_evidence":      {Call: e.evidence},
	}
	maps.Copy(all, e.Extension.Methods(s))
	return all
}

// decidedBlocks are consecutive blocks for a node that follows. Bytes are in base64.
type decidedBlocks struct {
	Head      uint64           `json:"head"`      // newest block with a root
	Execution string           `json:"execution"` // eager or lazy; empty in answers of nodes before: eager
	Blocks    decidedBlockList `json:"blocks"`
}

// decidedBlockList is read up to the number of blocks that an answer may have: an empty block takes more memory than text.
type decidedBlockList []decidedBlock

// UnmarshalJSON implements json.Unmarshaler.
func (l *decidedBlockList) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.New("its blocks are no list")
	}
	for d.More() {
		if len(*l) == decidedCount {
			return fmt.Errorf("it sends more than %d blocks in one answer", decidedCount)
		}
		var b decidedBlock
		if err := d.Decode(&b); err != nil {
			return fmt.Errorf("its block cannot be read: %w", err)
		}
		*l = append(*l, b)
	}
	return nil
}

type decidedBlock struct {
	Height      uint64 `json:"height"`
	Value       string `json:"value"`
	Body        string `json:"body"` // an ordo.v1.Proposal
	Certificate string `json:"certificate"`
}

// Bounds of one answer of ordo_decidedBlocks.
const (
	decidedCount = 64
	decidedBytes = 4 << 20 // of bodies; the last one may go beyond it
)

// decidedBlocks answers with the blocks from a height on, as many as one answer takes; none when there is no such block yet.
func (e *networkExtension) decidedBlocks(ctx context.Context, p *rpc.Params) (any, error) {
	from := p.Number("from")
	if err := p.Err(); err != nil {
		return nil, err
	}
	chain := e.node.driver.Chain()
	answer := &decidedBlocks{Head: chain.Latest().GetContext().GetNumber(), Execution: e.node.config.ExecutionMode, Blocks: decidedBlockList{}}
	size := 0
	for height := from; height <= answer.Head && len(answer.Blocks) < decidedCount && size < decidedBytes; height++ {
		b, err := e.node.driver.Decided(ctx, height)
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
		size += len(b.Body)
		encode := base64.StdEncoding.EncodeToString
		answer.Blocks = append(answer.Blocks, decidedBlock{Height: height, Value: encode(b.Value), Body: encode(b.Body), Certificate: encode(b.Certificate)})
	}
	return answer, nil
}

// relayInvalid is the code of ordo_relay for what is no transaction that a node would admit.
const relayInvalid = -32009

// relay admits a transaction that another node has admitted. What is not admitted has the error that a client would get here: the other node
// hands it on.
func (e *networkExtension) relay(ctx context.Context, p *rpc.Params) (any, error) {
	encoded, err := base64.StdEncoding.DecodeString(p.String("transaction"))
	if err != nil {
		return nil, rpc.InvalidParam("transaction", "it is not in base64")
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	err = e.node.gateway.Forward(ctx, encoded)
	var rejected *gateway.Rejection
	var invalid *gateway.InvalidError
	switch {
	case errors.As(err, &invalid) && !errors.As(err, &rejected):
		return nil, rpc.Errorf(relayInvalid, "%v", err)
	case err != nil:
		return nil, err
	}
	return map[string]bool{"admitted": true}, nil
}

// networkInfo is what ordo_network tells.
type networkInfo struct {
	Key       string `json:"key,omitempty"`       // of this node
	Execution string `json:"execution"`           // eager or lazy
	Validator bool   `json:"validator"`           // its key is in the network file, and it does not follow
	Sequencer string `json:"sequencer,omitempty"` // address that blocks of this node pay
	Follows   string `json:"follows,omitempty"`
	Lag       int64  `json:"lag"`      // blocks behind the node that is followed, or behind the furthest head that a linked peer tells
	Decided   uint64 `json:"decided"`  // newest decided block
	Accepted  uint64 `json:"accepted"` // newest block with a root
	Pending   int    `json:"pending"`  // transactions that wait
	Peers     int    `json:"peers"`    // with a link
	Reports   uint64 `json:"reports"`  // of consensus about validators
	Dropped   uint64 `json:"dropped"`  // admitted transactions that were not passed on

	Unadmitted uint64 `json:"unadmitted"` // transactions that a peer has admitted and this node has not

	Round    uint64          `json:"round"`    // of the height that is being decided, as consensus tells
	Proposer string          `json:"proposer"` // address that the newest decided block pays; empty before the first since the start
	Heights  []decidedHeight `json:"heights,omitempty"`
}

// network tells of this node; with heights, also of so many of its newest decided blocks.
func (e *networkExtension) network(ctx context.Context, p *rpc.Params) (any, error) {
	n, count := e.node, uint64(0)
	if p.Has("heights") {
		count = p.Number("heights")
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	if count > keptHeights {
		return nil, rpc.InvalidParam("heights", "at most %d are kept", keptHeights)
	}
	chain := n.driver.Chain()
	info := networkInfo{Execution: n.config.ExecutionMode, Follows: n.config.Network.Follow, Pending: n.driver.Pending(), Accepted: chain.Latest().GetContext().GetNumber()}
	if next := chain.Next().GetNumber(); next > 0 {
		info.Decided = next - 1
	}
	_, info.Reports = n.driver.Evidence()
	info.Round, info.Heights = n.round(ctx), n.heights.list(int(count))
	if newest := n.heights.list(1); len(newest) > 0 {
		info.Proposer = newest[0].Sequencer
	}
	if m := n.member; m != nil {
		info.Key, info.Validator = m.id.String(), m.self != nil && info.Follows == ""
		if m.self != nil {
			info.Sequencer = felt.Reduce(m.self.Address).Hex()
		}
	}
	if n.follower != nil {
		info.Lag = n.follower.lag.Load()
	}
	if n.mesh != nil {
		info.Dropped, info.Unadmitted, info.Lag = n.mesh.dropped.Load(), n.mesh.unadmitted.Load(), max(info.Lag, n.mesh.lag())
		for _, p := range n.mesh.list() {
			info.Peers += min(1, len(p.Links))
		}
	}
	return info, nil
}

func (e *networkExtension) peers(context.Context, *rpc.Params) (any, error) {
	if e.node.mesh == nil {
		return []network.PeerInfo{}, nil
	}
	return e.node.mesh.list(), nil
}

// evidence is one report of consensus about a validator.
type evidence struct {
	Kind      string    `json:"kind"`
	Validator string    `json:"validator"`
	Data      string    `json:"data"` // base64
	Time      time.Time `json:"time"`
}

func (e *networkExtension) evidence(context.Context, *rpc.Params) (any, error) {
	all := []evidence{}
	newest, _ := e.node.driver.Evidence()
	for _, one := range newest {
		all = append(all, evidence{one.Kind, hex.EncodeToString(one.About), base64.StdEncoding.EncodeToString(one.Data), one.Time.UTC()})
	}
	return all, nil
}

// list is what the mesh knows of its peers; empty before it is linked.
func (m *mesh) list() []network.PeerInfo {
	if !m.started.Load() {
		return []network.PeerInfo{}
	}
	return m.network.Peers()
}
