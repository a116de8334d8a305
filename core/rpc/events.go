package rpc

import (
	"context"
	"fmt"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	"github.com/ordo-sequencer/ordo/core/subscriptions"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func (s *Server) eventMethods() map[string]Method {
	return map[string]Method{"starknet_getEvents": {Params: []string{"filter"}, Call: s.events}}
}

type emittedEvent struct {
	event
	BlockHash   hexFelt `json:"block_hash,omitempty"` // a block without a root has none
	BlockNumber uint64  `json:"block_number"`
	Transaction hexFelt `json:"transaction_hash"`
	TxIndex     int     `json:"transaction_index"`
	Index       int     `json:"event_index"`
}

// eventQuery is a decoded filter with the page that is asked for.
type eventQuery struct {
	filter   subscriptions.EventFilter
	from, to *BlockID
	size     int
	start    eventToken
	token    bool
}

// eventToken is where the next page begins: the n-th event of a block, matching or not.
type eventToken struct {
	block uint64
	event uint64
}

func (t eventToken) String() string { return fmt.Sprintf("%x-%x", t.block, t.event) }

func parseToken(text string) (t eventToken, err error) {
	const longest = 16 + 1 + 16
	if len(text) > longest {
		return t, errBadToken
	}
	if _, err := fmt.Sscanf(text, "%x-%x", &t.block, &t.event); err != nil || t.String() != text {
		return t, errBadToken
	}
	return t, nil
}

func decodeEventQuery(p *jsonin.Object, l Limits, v *Version) (q eventQuery, err error) {
	o := p.Object("filter")
	for _, bound := range []struct {
		name string
		to   **BlockID
	}{{"from_block", &q.from}, {"to_block", &q.to}} {
		if o.Has(bound.name) {
			id, err := DecodeBlockID(o.Raw(bound.name))
			o.Fail(bound.name, err)
			*bound.to = &id
		}
	}
	if o.Has("address") {
		q.filter.Addresses = addressSet(o, "address", v)
	}
	if o.Has("keys") {
		q.filter.Keys = readKeys(o)
	}
	size := o.Number("chunk_size")
	if o.Err() == nil && size == 0 {
		o.Fail("chunk_size", jsonin.Errorf("must be at least 1"))
	}
	if o.Has("continuation_token") {
		text := o.String("continuation_token")
		if o.Err() == nil {
			q.token = true
			if q.start, err = parseToken(text); err != nil {
				return q, err
			}
		}
	}
	p.Fail("filter", o.Done())
	if err := p.Err(); err != nil {
		return q, err
	}
	if size > uint64(l.EventsPage) {
		return q, errPageTooBig
	}
	if err := l.checkFilter(q.filter); err != nil {
		return q, err
	}
	q.size = int(size)
	return q, nil
}

// checkFilter holds a filter of events to its limits.
func (l Limits) checkFilter(f subscriptions.EventFilter) error {
	total := 0
	for _, position := range f.Keys {
		total += len(position)
	}
	switch {
	case total > l.Keys || len(f.Keys) > l.Keys:
		return withData(errTooManyKeys, fmt.Sprintf("at most %d are allowed", l.Keys))
	case len(f.Addresses) > l.Addresses:
		return withData(errTooManyKeys, fmt.Sprintf("%d addresses, at most %d are allowed", len(f.Addresses), l.Addresses))
	}
	return nil
}

// addressSet reads one address or, where the version has them, a list.
func addressSet(o *jsonin.Object, name string, v *Version) map[Key]bool {
	set := map[Key]bool{}
	raw := o.Raw(name)
	if len(raw) > 0 && raw[0] == '[' && v.has(addressLists) {
		for address := range felt.Rows(o.Felts(name)) {
			set[Key(address)] = true
		}
	} else if one := o.Felt(name); len(one) == felt.Size {
		set[Key(one)] = true
	}
	return set
}

func readKeys(o *jsonin.Object) [][]Key {
	var positions [][]Key
	for i, item := range o.List("keys") {
		packed, err := jsonin.Felts(item)
		if err != nil {
			o.Fail("keys", jsonin.At(i, err))
			return nil
		}
		var allowed []Key
		for key := range felt.Rows(packed) {
			allowed = append(allowed, Key(key))
		}
		positions = append(positions, allowed)
	}
	for len(positions) > 0 && len(positions[len(positions)-1]) == 0 {
		positions = positions[:len(positions)-1] // "any" at the end asks for nothing
	}
	return positions
}

func (s *Server) events(ctx context.Context, p *jsonin.Object) (any, error) {
	q, err := decodeEventQuery(p, s.Limits, versionOf(ctx))
	if err != nil {
		return nil, err
	}
	view := s.Chain.Snapshot()
	from, to, err := s.eventRange(ctx, view, &q)
	if err != nil {
		return nil, err
	}
	if q.token {
		if q.start.block < from || q.start.block > to {
			return nil, errBadToken
		}
		from = q.start.block
	}
	leave, err := s.scans.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	page := eventPage{query: &q, Events: []emittedEvent{}}
	if err := s.scan(ctx, view, &page, from, to); err != nil {
		return nil, err
	}
	return &page, nil
}

// eventRange is the range of blocks that a query names; without bounds it goes from genesis to the latest block.
func (s *Server) eventRange(ctx context.Context, view *chainview.Snapshot, q *eventQuery) (from, to uint64, err error) {
	bound := func(id *BlockID) (uint64, error) {
		ref, err := s.resolve(ctx, view, *id)
		if err != nil {
			return 0, err
		}
		return ref.number, nil
	}
	if q.from != nil && q.from.Number != nil {
		// A client that polls asks from the next block on; one further off is a mistake.
		if from = *q.from.Number; from > preConfirmed(view).number {
			return 0, 0, errBlockNotFound
		}
	} else if q.from != nil {
		if from, err = bound(q.from); err != nil {
			return 0, 0, err
		}
	}
	last := BlockID{Tag: TagLatest}
	if q.to != nil {
		last = *q.to
		// A client that polls names blocks that are yet to come: there is nothing in them.
		if last.Number != nil && view.Latest() != nil && *last.Number > view.Latest().Context.Number {
			last = BlockID{Tag: TagLatest}
		}
	}
	to, err = bound(&last)
	return from, to, err
}

// eventPage gathers one page.
type eventPage struct {
	query  *eventQuery
	Events []emittedEvent `json:"events"`
	Token  string         `json:"continuation_token,omitempty"`
	felts  int            // bytes of keys and data
}

// pageFelts is how many bytes of keys and data end a page, which is so never larger than some 10 MiB of text.
const pageFelts = 4 << 20

// scan reads blocks from storage and then from the view, until the page is full.
func (s *Server) scan(ctx context.Context, view *chainview.Snapshot, page *eventPage, from, to uint64) error {
	next := from
	enough := time.Now().Add(s.Limits.Read / 2)
	if latest := view.Latest(); latest != nil && from <= latest.Context.Number && from <= to {
		last := min(to, latest.Context.Number, from+uint64(s.Limits.EventsBlocks)-1)
		request := &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Number{Number: from}, To: last, Results: true}
		err := s.eachStored(ctx, request, func(b *ordov1.Block) bool {
			next = b.Header.Context.Number + 1
			if !page.add(b.Header.Context.Number, b.Header.Hash, b.Results) {
				return false
			}
			if next <= last && time.Now().After(enough) { // large blocks, a slow disk: the client comes again
				page.Token = eventToken{block: next}.String()
			}
			return page.Token == ""
		})
		if err != nil || page.Token != "" {
			return err
		}
		if next = last + 1; next <= min(to, latest.Context.Number) {
			page.Token = eventToken{block: next}.String()
			return nil
		}
	}
	for _, b := range view.Blocks() {
		if n := b.Context.Number; n >= next && n <= to {
			if !page.add(n, nil, b.Results) {
				return nil
			}
		}
	}
	return nil
}

// add takes the block's matching events; false when the page is full, with the token set.
func (p *eventPage) add(number uint64, hash []byte, results []*ordov1.TransactionResult) bool {
	var at uint64
	for i, r := range results {
		for j, e := range r.Events {
			here := eventToken{number, at}
			at++
			if here.block == p.query.start.block && here.event < p.query.start.event || !p.query.filter.Matches(e) {
				continue
			}
			if len(p.Events) == p.query.size || p.felts >= pageFelts {
				p.Token = here.String()
				return false
			}
			p.felts += len(e.Keys) + len(e.Data)
			p.Events = append(p.Events, emittedEvent{
				event: event{e.FromAddress, e.Keys, e.Data}, BlockHash: hash, BlockNumber: number,
				Transaction: r.Hash, TxIndex: i, Index: j,
			})
		}
	}
	return true
}
