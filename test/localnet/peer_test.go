package localnet

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/core/network/wire"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// byzantinePeer is a peer with a valid key that follows no rule of docs/spec/network.md.
type byzantinePeer struct {
	control, bulk grpc.ClientStream
}

// frames is a codec for messages, and for bytes that need not be one.
type frames struct{}

func (frames) Name() string { return "proto" }

func (frames) Marshal(v any) (mem.BufferSlice, error) {
	if raw, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(raw)}, nil
	}
	raw, err := proto.Marshal(v.(proto.Message))
	return mem.BufferSlice{mem.SliceBuffer(raw)}, err
}

func (frames) Unmarshal(data mem.BufferSlice, v any) error {
	return proto.Unmarshal(data.Materialize(), v.(proto.Message))
}

// link makes a link with a node. chain is what Hello says.
func link(ctx context.Context, address string, key ed25519.PrivateKey, hello *wire.Hello) (*byzantinePeer, func(), error) {
	config, err := identity.Config(key, func(identity.ID) error { return nil })
	if err != nil {
		return nil, nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithAuthority("ordo"), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(frames{}), grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		return nil, nil, err
	}
	closing := func() { _ = conn.Close() }
	open := func(name string) (grpc.ClientStream, error) {
		return conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+wire.Mesh_ServiceDesc.ServiceName+"/"+name)
	}
	hello.Instance, hello.Session = make([]byte, 16), make([]byte, 16)
	for _, random := range [][]byte{hello.Instance, hello.Session} {
		if _, err := rand.Read(random); err != nil {
			return nil, closing, err
		}
	}
	p, answer := &byzantinePeer{}, &wire.ControlFrame{}
	if p.control, err = open("Control"); err == nil {
		if err = p.control.SendMsg(&wire.ControlFrame{Frame: &wire.ControlFrame_Hello{Hello: hello}}); err == nil {
			err = p.control.RecvMsg(answer)
		}
	}
	if err == nil && answer.GetHello() == nil {
		err = fmt.Errorf("the node says %v", answer)
	}
	if err != nil {
		return nil, closing, err
	}
	if p.bulk, err = open("Bulk"); err == nil {
		err = p.bulk.SendMsg(&wire.BulkFrame{Frame: &wire.BulkFrame_Open{Open: &wire.Open{Session: hello.Session}}})
	}
	return p, closing, err
}

func (p *byzantinePeer) message(height uint64, data []byte) bool {
	return p.control.SendMsg(&wire.ControlFrame{Frame: &wire.ControlFrame_Consensus{Consensus: &wire.Consensus{Height: height, Data: data}}}) == nil
}

func (p *byzantinePeer) head(height uint64) bool {
	return p.control.SendMsg(&wire.ControlFrame{Frame: &wire.ControlFrame_Head{Head: &wire.Head{Height: height, Value: make([]byte, 32)}}}) == nil
}

func (p *byzantinePeer) part(part *wire.BodyPart) bool {
	return p.bulk.SendMsg(&wire.BulkFrame{Frame: &wire.BulkFrame_BodyPart{BodyPart: part}}) == nil
}

func (p *byzantinePeer) transactions(list ...[]byte) bool {
	return p.bulk.SendMsg(&wire.BulkFrame{Frame: &wire.BulkFrame_Transactions{Transactions: &wire.Transactions{Transactions: list}}}) == nil
}

func (p *byzantinePeer) request(id, from uint64, count uint32) bool {
	return p.bulk.SendMsg(&wire.BulkFrame{Frame: &wire.BulkFrame_Request{Request: &wire.Request{Id: id, What: &wire.Request_Blocks_{Blocks: &wire.Request_Blocks{From: from, Count: count}}}}}) == nil
}

// relayed is a signed transaction as nodes pass it on, changed before it is encoded.
func relayed(account, i int, change func(*ordov1.Proposal)) []byte {
	a := client.NewAccount(genesis.Accounts(0, 8)[account], chainID)
	p := &ordov1.Proposal{Transactions: []*ordov1.Transaction{a.Invoke(0, client.Transfer(genesis.STRKAddress(), felt.FromUint64(7), uint64(i+1))).Transaction}, N: 1}
	change(p)
	raw, err := proto.Marshal(p)
	if err != nil {
		panic(err)
	}
	return raw
}

// invalids sends many transactions that no honest node passes on.
func invalids(change func(*ordov1.Proposal)) func(*byzantinePeer) {
	return func(p *byzantinePeer) {
		for i := 0; i < 60 && p.transactions(relayed(7, i, change)); i++ {
		}
	}
}

// peerFaults are what peers with a valid key do wrong, and what the operator is told; "": it costs the node so little that the link stays.
var peerFaults = [...]struct {
	name, says string
	do         func(*byzantinePeer)
}{
	{"a flood of consensus messages", "network.peer_", func(p *byzantinePeer) { persist(func(i int) bool { return p.message(1, fmt.Append(nil, i)) }) }},
	{"a flood of heads", "network.peer_", func(p *byzantinePeer) { persist(func(i int) bool { return p.head(uint64(i)) }) }},
	{"a huge body", "network.", func(p *byzantinePeer) {
		persist(func(i int) bool {
			return p.part(&wire.BodyPart{Height: 5, Index: uint32(i), Data: make([]byte, 250<<10)})
		})
	}},
	{"a part too large", "network.part_bytes", func(p *byzantinePeer) { p.part(&wire.BodyPart{Height: 5, Data: make([]byte, 300<<10)}) }},
	{"a frame too large", "a frame of", func(p *byzantinePeer) { p.message(1, make([]byte, 3<<20)) }},
	{"garbage on control", "no message of this protocol", func(p *byzantinePeer) { _ = p.control.SendMsg(bytes.Repeat([]byte{0xff}, 99)) }},
	{"garbage on bulk", "no message of this protocol", func(p *byzantinePeer) { _ = p.bulk.SendMsg(bytes.Repeat([]byte{0xff}, 99)) }},
	{"a wrong height", "the head of its sender is", func(p *byzantinePeer) { p.head(10); p.message(900, nil) }},
	{"replays", "network.peer_", func(p *byzantinePeer) { persist(func(int) bool { return p.message(1, []byte("the same vote")) }) }},
	{"heads that go back", "network.peer_", func(p *byzantinePeer) { persist(func(i int) bool { return p.head(1<<40 - uint64(i)) }) }},
	{"replayed transactions", "network.peer_", func(p *byzantinePeer) {
		raw := relayed(6, 0, func(*ordov1.Proposal) {})
		persist(func(int) bool { return p.transactions(raw) })
	}},
	{"transactions that are none", "network.peer_invalid", func(p *byzantinePeer) {
		persist(func(i int) bool { return p.transactions(fmt.Append(nil, "garbage ", i)) })
	}},
	{"transactions with another hash", "network.peer_invalid", invalids(func(p *ordov1.Proposal) { p.Transactions[0].Hash[31] ^= 1 })},
	{"transactions with stripped signatures", "network.peer_invalid", invalids(func(p *ordov1.Proposal) { p.Transactions[0].Signature = nil })},
	{"transactions with wrong signatures", "network.peer_invalid", invalids(func(p *ordov1.Proposal) { p.Transactions[0].Signature[40] ^= 1 })},
	{"invented messages from L1", "network.peer_invalid", invalids(func(p *ordov1.Proposal) { p.Transactions[0].Type = ordov1.TransactionType_L1_HANDLER })},
	{"declarations without a class", "network.peer_invalid", invalids(func(p *ordov1.Proposal) { p.Transactions[0].Type = ordov1.TransactionType_DECLARE })},
	{"a batch too large", "network.batch_bytes", func(p *byzantinePeer) { p.transactions(make([]byte, 300<<10), make([]byte, 300<<10)) }},
	{"answers to nothing", "which was never put", func(p *byzantinePeer) {
		_ = p.bulk.SendMsg(&wire.BulkFrame{Frame: &wire.BulkFrame_Answer{Answer: &wire.Answer{Id: 77}}})
	}},
	{"requests without end", "requests", func(p *byzantinePeer) { persist(func(i int) bool { return p.request(uint64(i+1), 1, 32) }) }},
	{"a request for too much", "network.blocks_per_request", func(p *byzantinePeer) { p.request(1, 0, 1<<30) }},
	{"a second Hello", "a second Hello", func(p *byzantinePeer) {
		_ = p.control.SendMsg(&wire.ControlFrame{Frame: &wire.ControlFrame_Hello{Hello: &wire.Hello{}}})
	}},
	{"answers that are not read", "", func(p *byzantinePeer) { p.request(1, 0, 32) }},
	{"a body of another value", "", func(p *byzantinePeer) {
		p.part(&wire.BodyPart{Height: 5, Data: []byte("no proposal"), Last: true, Value: bytes.Repeat([]byte{7}, 32)})
	}},
}

// persist does something until the link has ended.
func persist(do func(i int) bool) {
	for i := 0; i < 300_000 && do(i); i++ {
	}
}

// TestNodeWithstandsPeersWithValidKeys: peers of a node do all that is wrong at the same time. The node serves its clients meanwhile, tells the
// operator which key did what, keeps within its memory, and its follower has the same chain.
func TestNodeWithstandsPeersWithValidKeys(t *testing.T) {
	t.Parallel()
	n := launch(t, t.TempDir(), "--validators", "1", "--consensus", "solo", "--base-port", "0", "--set", "genesis.accounts=8",
		"--set", "network.body_bytes=4194304", "--set", "network.peer_messages=500", "--set", "network.peer_useless=200") // which cost less to reach
	n.do(t, "add", "--follow", "peers")
	nodes := n.nodes(t)
	l := startLoad(t.Context(), nodes, 4)
	t.Cleanup(l.end)
	reaches(t, nodes[0], 3)
	var settings struct {
		Nodes []struct {
			Memory int64 `json:"memory_bytes"`
		} `json:"nodes"`
	}
	memory := func() int64 {
		decode(t, n.do(t, "status", "--json"), &settings)
		return settings.Nodes[0].Memory
	}
	before := memory()

	var list strings.Builder
	keys := make([]ed25519.PrivateKey, len(peerFaults))
	for i := range keys {
		seed := sha256.Sum256(fmt.Append(nil, "a peer that follows no rule ", i))
		keys[i] = ed25519.NewKeyFromSeed(seed[:])
		fmt.Fprintln(&list, identity.Of(keys[i]))
	}
	file := filepath.Join(n.dir, "node-0", "peers")
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(text, list.String()...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	first, err := nodes[0].Block(within(t, patient), uint64(0))
	if err != nil {
		t.Fatal(err)
	}
	address := meshAddress(t, filepath.Join(n.dir, "node-0", "ordo.toml"))
	hello := func() *wire.Hello {
		return &wire.Hello{Version: 1, ChainId: chainID, Genesis: felt.MustHex(first.Hash).Append(nil)}
	}
	acked := len(l.acknowledged())
	var all sync.WaitGroup
	for i, f := range peerFaults {
		all.Go(func() {
			if err := misbehave(within(t, 3*patient), nodes[0], address, keys[i], hello(), f.do, f.says); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
		})
	}
	all.Wait()
	other := hello()
	other.Genesis[31] ^= 1
	if _, closing, err := link(within(t, patient), address, keys[len(keys)-1], other); err == nil || !strings.Contains(err.Error(), "hash of block 0") {
		t.Errorf("another chain: %v", err)
	} else {
		closing()
	}

	served := len(l.acknowledged()) - acked
	reaches(t, nodes[0], same(t, nodes[1], nodes[0])+2)
	l.end()
	j := newJudge()
	if left, err := j.pending(within(t, 2*patient), l.acknowledged(), nodes); err != nil || left > 0 {
		t.Errorf("%d acknowledged transactions are in no block: %v", left, err)
	}
	after := memory()
	t.Logf("%d faults; %d transactions were acknowledged meanwhile; the node and its plugins have %d MB, %d before", len(peerFaults)+1, served, after>>20, before>>20)
	if served == 0 {
		t.Error("the node served no client meanwhile")
	}
	if after > before+512<<20 {
		t.Errorf("%d MB of memory, %d before", after>>20, before>>20)
	}
}

// misbehave has a peer do something wrong, until the operator is told of it with these words; "": the link stays.
func misbehave(ctx context.Context, n client.Node, address string, key ed25519.PrivateKey, hello *wire.Hello, do func(*byzantinePeer), says string) error {
	p, closing, err := link(ctx, address, key, hello)
	for err != nil && ctx.Err() == nil { // the peer file is read soon
		if closing != nil {
			closing()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		p, closing, err = link(ctx, address, key, hello)
	}
	if err != nil {
		return err
	}
	defer closing()
	do(p)
	for {
		state, reason, err := peerState(ctx, n, identity.Of(key).String())
		if says == "" && state == "linked" || says != "" && state == "banned" && strings.Contains(reason, says) {
			return nil
		}
		p.head(0) // it is not silent
		select {
		case <-ctx.Done():
			return fmt.Errorf("the peer is %s: %q, want %q: %w", state, reason, says, err)
		case <-time.After(pause):
		}
	}
}

// peerState is what the operator sees of a peer.
func peerState(ctx context.Context, n client.Node, key string) (state, reason string, err error) {
	var peers []struct {
		ID     string `json:"id"`
		State  string `json:"state"`
		Reason string `json:"reason"`
	}
	if err := n.Call(ctx, "ordo_peers", []any{}, &peers); err != nil {
		return "", "", err
	}
	for _, p := range peers {
		if p.ID == key {
			return p.State, p.Reason, nil
		}
	}
	return "unknown", "", nil
}
