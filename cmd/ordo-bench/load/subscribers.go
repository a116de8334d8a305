package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// subscriber is a client with a socket and one subscription, which checks at the end that it was told everything once.
type subscriber struct {
	crowd   *crowd
	kind    int
	account *account // whose transactions it wants; of heads nil
	socket  *client.Socket

	mu       sync.Mutex
	told     int
	accepted []uint64          // what came with ACCEPTED_ON_L2, in order
	received map[felt.Felt]int // transactions with RECEIVED
	first    uint64            // heads: the number of the first
	follows  string            // statuses: the transaction
	id       string
	last     string // statuses: what was told last of it
	arrived  int    // statuses: transactions that were followed to the end
	fault    error
}

// The kinds of subscribers, one after the other.
const (
	heads = iota
	events
	statuses
	receipts
	transactions
	kinds
)

// crowd is all subscribers of a run.
type crowd struct {
	ctx  context.Context
	from uint64 // the first block that they have to be told
	list []*subscriber
}

// addresses is how many addresses the sockets of one machine come from: a node gives one address a part of its places only.
const addresses = 8

// subscribe opens the sockets. Every second one of heads and events begins with older blocks.
func (r *run) subscribe(ctx context.Context, url string, height uint64) (*crowd, error) {
	c := &crowd{ctx: ctx, from: height + 1}
	r.bar.Describe(fmt.Sprintf("%d subscribers", r.Subscribers))
	work, within := errgroup.WithContext(ctx)
	work.SetLimit(16)
	for i := range r.Subscribers {
		s := &subscriber{crowd: c, kind: i % kinds, received: map[felt.Felt]int{}}
		s.account = r.accounts[i/kinds%len(r.accounts)]
		c.list = append(c.list, s)
		work.Go(func() (err error) {
			if s.socket, err = dialFrom(within, url, i); err != nil {
				return err
			}
			return s.begin(within, i/kinds%2 == 0)
		})
	}
	if err := work.Wait(); err != nil {
		c.close()
		return nil, fmt.Errorf("subscribers: %w", err)
	}
	return c, nil
}

func dialFrom(ctx context.Context, url string, i int) (*client.Socket, error) {
	dialer := &net.Dialer{Timeout: time.Minute}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, _, err := net.SplitHostPort(address); err == nil && host == "127.0.0.1" {
			dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%addresses))}
		}
		return dialer.DialContext(ctx, network, address)
	}}
	return client.Node{URL: url, HTTP: &http.Client{Transport: transport}}.Socket(ctx, "/ws")
}

func (s *subscriber) begin(ctx context.Context, back bool) (err error) {
	from := any(map[string]any{"block_number": s.crowd.from - 1})
	if !back {
		from = "latest"
	}
	switch s.kind {
	case heads:
		_, err = s.socket.Subscribe(ctx, "starknet_subscribeNewHeads", map[string]any{"block_id": from}, s.tell)
	case events:
		_, err = s.socket.Subscribe(ctx, "starknet_subscribeEvents", map[string]any{"keys": [][]string{{}, {s.account.Address.Hex()}}, "block_id": from, "finality_status": "PRE_CONFIRMED"}, s.tell)
	case statuses:
		s.follow()
	case receipts:
		_, err = s.socket.Subscribe(ctx, "starknet_subscribeNewTransactionReceipts", map[string]any{"sender_address": []string{s.account.Address.Hex()}, "finality_status": []string{"PRE_CONFIRMED", "ACCEPTED_ON_L2"}}, s.tell)
	case transactions:
		_, err = s.socket.Subscribe(ctx, "starknet_subscribeNewTransactions", map[string]any{"sender_address": []string{s.account.Address.Hex()},
			"finality_status": []string{"RECEIVED", "CANDIDATE", "PRE_CONFIRMED", "ACCEPTED_ON_L2"}}, s.tell)
	}
	return err
}

// ahead is how many transactions of the account go out before the next one that a subscriber of statuses follows.
const ahead = 3

// follow subscribes to the status of a transaction that is signed and not sent.
func (s *subscriber) follow() {
	s.account.mu.Lock()
	hash := ""
	if len(s.account.stock) > 0 {
		hash = s.account.stock[min(ahead, len(s.account.stock)-1)].hash.Hex()
	}
	s.account.mu.Unlock()
	s.mu.Lock()
	again := hash == s.follows
	if !again {
		s.follows, s.last = hash, ""
	}
	s.mu.Unlock()
	if hash == "" || again {
		return
	}
	id, err := s.socket.Subscribe(s.crowd.ctx, "starknet_subscribeTransactionStatus", map[string]any{"transaction_hash": hash}, s.tell)
	if err != nil {
		s.failed(err)
		return
	}
	s.mu.Lock()
	s.id = id
	s.mu.Unlock()
}

func (s *subscriber) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil && s.crowd.ctx.Err() == nil {
		s.fault = err
	}
}

// field finds a text in JSON without decoding it: there are thousands a second.
func field(raw []byte, name string) string {
	_, rest, ok := bytes.Cut(raw, []byte(`"`+name+`":"`))
	if !ok {
		return ""
	}
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(text)
}

func mark(parts ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, parts...)
	return h.Sum64()
}

// tell notes what the node told.
func (s *subscriber) tell(n client.Notification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told++
	finality := field(n.Result, "finality_status")
	switch s.kind {
	case heads:
		if len(s.accepted) == 0 {
			var h struct {
				Number uint64 `json:"block_number"`
			}
			s.fault = json.Unmarshal(n.Result, &h)
			s.first = h.Number
		}
		s.accepted = append(s.accepted, mark(field(n.Result, "block_hash")))
	case statuses:
		if hash := field(n.Result, "transaction_hash"); hash != s.follows || finality == s.last {
			s.fault = fmt.Errorf("%s of %s was told behind %s of %s", finality, hash, s.last, s.follows)
		}
		if s.last = finality; finality == "ACCEPTED_ON_L2" {
			s.arrived++
			go func(id string) {
				if id != "" {
					_ = s.socket.Unsubscribe(s.crowd.ctx, id)
				}
				s.follow()
			}(s.id)
		}
	default:
		hash := field(n.Result, "transaction_hash")
		if finality == "ACCEPTED_ON_L2" {
			at := 0
			if s.kind == events {
				var e struct {
					Number uint64 `json:"block_number"`
					Index  int    `json:"event_index"`
				}
				if err := json.Unmarshal(n.Result, &e); err != nil {
					s.fault = err
				}
				if at = e.Index; e.Number < s.crowd.from {
					return // it began with an older block
				}
			}
			s.accepted = append(s.accepted, mark(hash, at))
		} else if finality == "RECEIVED" {
			f, err := felt.FromHex(hash)
			if err != nil {
				s.fault = err
			}
			s.received[f]++
		}
	}
}

// chain is what the blocks of a run hold, in order.
type chain struct {
	heads    []uint64
	sent     map[string][]string // by sender: hashes
	accepted map[string][]uint64 // by sender: transactions
	events   map[string][]uint64 // by second key
}

// read walks the blocks.
func (r *run) read(ctx context.Context, from, to uint64) (*chain, error) {
	c := &chain{sent: map[string][]string{}, accepted: map[string][]uint64{}, events: map[string][]uint64{}}
	for n := from; n <= to; n++ {
		var b struct {
			Hash         string `json:"block_hash"`
			Transactions []struct {
				Transaction struct {
					Sender string `json:"sender_address"`
				}
				Receipt struct {
					Hash   string `json:"transaction_hash"`
					Events []struct{ Keys []string }
				}
			}
		}
		if err := r.setup.Call(ctx, "starknet_getBlockWithReceipts", []any{map[string]any{"block_number": n}}, &b); err != nil {
			return nil, err
		}
		c.heads = append(c.heads, mark(b.Hash))
		for _, tx := range b.Transactions {
			sender := tx.Transaction.Sender
			c.sent[sender] = append(c.sent[sender], tx.Receipt.Hash)
			c.accepted[sender] = append(c.accepted[sender], mark(tx.Receipt.Hash, 0))
			for j, e := range tx.Receipt.Events {
				if len(e.Keys) > 1 {
					c.events[e.Keys[1]] = append(c.events[e.Keys[1]], mark(tx.Receipt.Hash, j))
				}
			}
		}
	}
	return c, nil
}

// Subscriptions is what the subscribers of a run were told.
type Subscriptions struct {
	Subscribers   int     `json:"subscribers"`
	Notifications int     `json:"notifications"`
	PerSecond     float64 `json:"notifications_per_second"`
	Heads         int     `json:"heads"`
	Events        int     `json:"events"`
	Receipts      int     `json:"receipts"`
	Transactions  int     `json:"transactions"`
	Followed      int     `json:"statuses_followed_to_the_end"`
	Wrong         int     `json:"subscribers_that_missed_or_doubled"`
}

// check waits until everything is told, and compares it with the chain.
func (c *crowd) check(ctx context.Context, r *run) error {
	defer c.close()
	var to uint64
	if err := r.setup.Call(ctx, "starknet_blockNumber", []any{}, &to); err != nil {
		return err
	}
	want, err := r.read(ctx, c.from, to)
	if err != nil {
		return err
	}
	out := &Subscriptions{Subscribers: len(c.list), PerSecond: 0}
	r.report.Subscriptions = out
	var first error
	for _, s := range c.list {
		err := s.check(ctx, want)
		if err != nil {
			if out.Wrong++; first == nil {
				first = fmt.Errorf("a subscriber of kind %d: %w", s.kind, err)
			}
		}
		s.mu.Lock()
		out.Notifications += s.told
		switch s.kind {
		case heads:
			out.Heads += len(s.accepted)
		case events:
			out.Events += len(s.accepted)
		case receipts:
			out.Receipts += len(s.accepted)
		case transactions:
			out.Transactions += len(s.accepted)
		case statuses:
			out.Followed += s.arrived
		}
		s.mu.Unlock()
	}
	out.PerSecond = float64(out.Notifications) / r.report.Seconds
	return first
}

// check waits for the subscriber to have been told all, for a while.
func (s *subscriber) check(ctx context.Context, want *chain) error {
	var err error
	for end := time.Now().Add(patience); ; {
		if err = s.compare(want); err == nil || time.Now().After(end) || ctx.Err() != nil {
			break
		}
		select {
		case <-s.socket.Done():
			return fmt.Errorf("its connection ended: %w", s.socket.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return err
}

func (s *subscriber) compare(want *chain) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return s.fault
	}
	got, all := s.accepted, []uint64(nil)
	address := ""
	if s.account != nil {
		address = s.account.Address.Hex()
	}
	switch s.kind {
	case heads:
		all = want.heads
		if len(got) > 0 && s.first < s.crowd.from { // it began with an older one
			got = got[s.crowd.from-s.first:]
		}
	case events:
		all = want.events[address]
	case receipts, transactions:
		all = want.accepted[address]
	case statuses:
		return nil
	}
	if s.kind == transactions {
		for _, hash := range want.sent[address] {
			f, err := felt.FromHex(hash)
			if err != nil {
				return err
			}
			if n := s.received[f]; n != 1 {
				return fmt.Errorf("%s was told as RECEIVED %d times", hash, n)
			}
		}
	}
	got = got[:min(len(got), len(all)+1)]
	if slices.Equal(got, all) || s.kind == heads && len(got) > len(all) && slices.Equal(got[:len(all)], all) {
		return nil
	}
	at := 0
	for at < min(len(got), len(all)) && got[at] == all[at] {
		at++
	}
	return fmt.Errorf("it was told %d of %d, and differs from the chain at the %d-th", len(s.accepted), len(all), at)
}

func (c *crowd) close() {
	var all sync.WaitGroup
	for _, s := range c.list {
		if s.socket != nil {
			all.Go(s.socket.Drop)
		}
	}
	all.Wait()
}
