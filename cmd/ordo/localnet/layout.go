package localnet

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ordo-sequencer/ordo/cmd/ordo/localnet/faults"
	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/node/config"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Layout is what a localnet is made of; its file in the folder is also what tells the folder from others.
type Layout struct {
	Version     int      `json:"version"`
	ChainID     string   `json:"chain_id"`
	GenesisTime uint64   `json:"genesis_time"`
	BasePort    int      `json:"base_port"`
	Execution   string   `json:"execution,omitempty"` // eager or lazy; eager when it is missing
	Consensus   string   `json:"consensus"`           // a shipped name or an absolute path
	Takes       Takes    `json:"takes"`               // of the settings that an engine needs, those that this one has
	Set         []string `json:"set,omitempty"`       // KEY=VALUE for every node
	Seed        uint64   `json:"seed"`                // of jitter
	Members     []Member `json:"nodes"`               // node K is the one with index K
}

// layoutVersion is that of the file.
const layoutVersion = 1

// Member is one node.
type Member struct {
	Kind   Kind        `json:"kind"`
	Of     int         `json:"of,omitempty"` // of a twin: the node whose key it has
	Follow Source      `json:"follow,omitempty"`
	Key    identity.ID `json:"key"`
}

// Kind is a node's part in the network.
type Kind string

// The kinds.
const (
	Validator Kind = "validator"
	Twin      Kind = "twin"
	Follower  Kind = "follower"
)

// Source is where a follower has its blocks from.
type Source string

// The sources.
const (
	FromPeers Source = "peers" // by the mesh
	FromURL   Source = "url"   // by the JSON-RPC of node 0
)

// Takes says which settings a consensus plugin has in its schema. A hosted protocol has none of them: the core has its key, its peers and its
// connections.
type Takes struct {
	KeyFile       bool `json:"key_file,omitempty"`
	NodeKeyFile   bool `json:"node_key_file,omitempty"`
	Listen        bool `json:"listen,omitempty"`
	Peers         bool `json:"peers,omitempty"`
	PeersText     bool `json:"peers_text,omitempty"` // one text with commas between, not a list
	AcceptUnknown bool `json:"accept_unknown_peers,omitempty"`
}

// Services of a node, by the ports that they have above the base port.
type service int

const (
	rpcService    service = 0
	meshService   service = 100
	engineService service = 200
	portsNeeded           = int(engineService) + faults.MaxNodes
)

// loopback is where every node listens.
const loopback = "127.0.0.1"

// address is where a node serves.
func (l *Layout) address(s service, node int) string {
	return fmt.Sprintf("%s:%d", loopback, l.BasePort+int(s)+node)
}

// seen is where one node reaches another: a proxy, whose address says for which node it stands and whose port is that of the other node.
func (l *Layout) seen(s service, from, to int) string {
	return fmt.Sprintf("127.0.%d.1:%d", from+1, l.BasePort+int(s)+to)
}

// URL is that of a node's JSON-RPC.
func (l *Layout) URL(node int) string { return "http://" + l.address(rpcService, node) }

// sequencer is the address that blocks of a validator pay.
func sequencer(node int) felt.Felt { return felt.FromUint64(uint64(0x1000 + node)) }

// Proposer is the node with an address; -1: none has it.
func (l *Layout) Proposer(address felt.Felt) int {
	for k, m := range l.Members {
		if m.Kind == Validator && sequencer(k) == address {
			return k
		}
	}
	return -1
}

// validators are the nodes whose keys are in the network file.
func (l *Layout) validators() (list []int) {
	for k, m := range l.Members {
		if m.Kind == Validator {
			list = append(list, k)
		}
	}
	return list
}

// dials are the nodes that a node opens connections to.
func (l *Layout) dials(from int) (list []int) {
	for _, to := range l.validators() {
		if l.Members[to].Key != l.Members[from].Key { // neither itself nor its twin
			list = append(list, to)
		}
	}
	return list
}

// Wire is one way from node to node, through a proxy.
type Wire struct {
	From, To       int
	Listen, Target string
}

// Wires are the ways of a node to those that it dials.
func (l *Layout) Wires(from int) (list []Wire) {
	m := l.Members[from]
	if m.Kind == Follower && m.Follow == FromURL {
		return []Wire{{from, 0, l.seen(rpcService, from, 0), l.address(rpcService, 0)}}
	}
	services := []service{meshService}
	if l.Takes.Peers && m.Kind != Follower {
		services = append(services, engineService)
	}
	for _, s := range services {
		for _, to := range l.dials(from) {
			list = append(list, Wire{from, to, l.seen(s, from, to), l.address(s, to)})
		}
	}
	return list
}

// Ports are the addresses that a node listens at.
func (l *Layout) Ports(node int) []string {
	list := []string{l.address(rpcService, node)}
	if l.Members[node].Kind == Follower {
		return list // it dials
	}
	list = append(list, l.address(meshService, node))
	if l.Takes.Listen {
		list = append(list, l.address(engineService, node))
	}
	return list
}

// Network is the network file.
func (l *Layout) Network() *config.Validators {
	v := &config.Validators{ChainID: l.ChainID, GenesisTime: l.GenesisTime, Execution: cmp.Or(l.Execution, config.ExecutionEager)}
	for _, k := range l.validators() {
		key := l.Members[k].Key
		v.Members = append(v.Members, &ordov1.Validator{Key: key[:], Power: 1, Address: sequencer(k).Append(nil)})
	}
	return v
}

// PeerFile is a node's list of peers: the ones that it dials, and the followers that dial it.
func (l *Layout) PeerFile(node int) []byte {
	var b strings.Builder
	b.WriteString("# Peers of this node, through the proxies of ordo localnet, which writes this file anew when nodes are added.\n")
	for _, to := range l.dials(node) {
		fmt.Fprintf(&b, "%s@%s # node %d\n", l.Members[to].Key, l.seen(meshService, node, to), to)
	}
	for k, m := range l.Members {
		if m.Kind == Follower && m.Follow == FromPeers && l.Members[node].Kind != Follower {
			fmt.Fprintf(&b, "%s follower # node %d\n", m.Key, k)
		}
	}
	return []byte(b.String())
}

// files of a node.
func folderOf(dir string, node int) string { return filepath.Join(dir, "node-"+strconv.Itoa(node)) }

func networkPath(dir string) string { return filepath.Join(dir, "network.toml") }

// Config is the configuration of a node.
func (l *Layout) Config(dir string, node int) (config.Config, error) {
	m := l.Members[node]
	folder := folderOf(dir, node)
	c := config.Default()
	c.Devnet = true
	c.Port = uint16(l.BasePort + node)
	c.DataDir = filepath.Join(folder, "data")
	c.Consensus.Plugin = l.Consensus
	c.Network.File = networkPath(dir)
	c.ExecutionMode = cmp.Or(l.Execution, config.ExecutionEager)
	c.Network.KeyFile = filepath.Join(folder, "node.key")
	c.Network.Twins = true
	switch {
	case m.Kind == Follower && m.Follow == FromURL:
		c.Network.Follow = "http://" + l.seen(rpcService, node, 0)
	default:
		c.Network.Listen = l.address(meshService, node)
		c.Network.PeerFile = filepath.Join(folder, "peers")
		if m.Kind == Follower {
			c.Network.Listen = "" // it dials
			c.Network.Follow = "peers"
		}
	}
	c.Consensus.Settings = l.engine(folder, node)
	if err := set(&c, l.Set); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// engine is the configuration of the consensus plugin: those of its settings that localnet knows the meaning of.
func (l *Layout) engine(folder string, node int) map[string]any {
	all := make(map[string]any)
	if l.Takes.KeyFile {
		all["key_file"] = filepath.Join(folder, "node.key")
	}
	if l.Takes.NodeKeyFile && l.Members[node].Kind == Twin {
		all["node_key_file"] = filepath.Join(folder, "engine.key")
	}
	if l.Takes.Listen {
		all["listen"] = l.address(engineService, node)
	}
	if l.Takes.AcceptUnknown {
		all["accept_unknown_peers"] = true // twins
	}
	if l.Takes.Peers {
		peers := []string{}
		for _, to := range l.dials(node) {
			peers = append(peers, fmt.Sprintf("%s@%s", l.Members[to].Key, l.seen(engineService, node, to)))
		}
		all["peers"] = peers
		if l.Takes.PeersText {
			all["peers"] = strings.Join(peers, ",")
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// set applies settings of all nodes, written as KEY=VALUE with the keys of the configuration file.
func set(c *config.Config, settings []string) error {
	options := config.Options()
	for _, one := range settings {
		key, value, ok := strings.Cut(one, "=")
		if !ok {
			return fmt.Errorf("--set %s: write KEY=VALUE, with a key of ordo.toml", one)
		}
		if stage, name, ours := strings.Cut(key, ".config."); ours {
			if err := setOfPlugin(c, stage, name, value); err != nil {
				return fmt.Errorf("--set %s: %w", one, err)
			}
			continue
		}
		i := slices.IndexFunc(options, func(o config.Option) bool { return o.Key == key })
		if i < 0 {
			return fmt.Errorf("--set %s: there is no setting %s: ordo run --print-config shows all; those of a plugin begin with its stage and config, such as consensus.config", one, key)
		}
		if err := options[i].Set(c, value); err != nil {
			return fmt.Errorf("--set %s: %w", one, err)
		}
	}
	return nil
}

// setOfPlugin sets a key of a plugin's own settings; dots lead into tables.
func setOfPlugin(c *config.Config, stage, name, value string) error {
	of := map[string]*config.Stage{"ordering": &c.Ordering, "execution": &c.Execution, "storage": &c.Storage, "consensus": &c.Consensus}[stage]
	if of == nil {
		return fmt.Errorf("there is no stage %s: they are ordering, execution, storage and consensus", stage)
	}
	if of.Settings == nil {
		of.Settings = make(map[string]any)
	}
	table, path := of.Settings, strings.Split(name, ".")
	for _, key := range path[:len(path)-1] {
		inner, is := table[key].(map[string]any)
		if !is {
			inner = make(map[string]any)
			table[key] = inner
		}
		table = inner
	}
	table[path[len(path)-1]] = typed(value)
	return nil
}

// typed reads a value as TOML would: a number, true or false, or a text.
func typed(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if b, err := strconv.ParseBool(text); err == nil {
		return b
	}
	return text
}
