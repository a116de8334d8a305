package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"

	"github.com/ordo-sequencer/ordo/client"
)

// Backlog makes transactions wait in the pools of all nodes and lets them go at one moment: all but the first of each account are sent
// ahead, and wait for the nonce before theirs. What blocks cost is then measured without admission beside it.
type Backlog struct {
	run  *run
	each int // transactions of an account in one round
	held []flight
}

// backlogBatch is how many transactions are in one request.
const backlogBatch = 100

// NewBacklog makes accounts ready at a node. each is how many transactions of an account are in a round.
func NewBacklog(ctx context.Context, o Options, url string, each int) (*Backlog, error) {
	to, err := parseTarget(url)
	if err != nil {
		return nil, err
	}
	if each < 2 {
		return nil, errors.New("a backlog takes two transactions of each account at least")
	}
	r := &run{Options: o, report: &Report{Target: url}, bar: progressbar.NewOptions(-1, progressbar.OptionSetWriter(o.Progress))}
	if err := r.prepare(ctx, client.Node{URL: url, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}, to); err != nil {
		return nil, err
	}
	return &Backlog{run: r, each: each}, nil
}

// Fill sends what has to wait, and says how many that are. What the round before sent is in blocks by now.
func (b *Backlog) Fill(ctx context.Context) (waiting int, err error) {
	all := make([][]flight, b.each) // by nonce: a node takes those of one sender one after the other
	for _, a := range b.run.accounts {
		txs := a.transactions(b.run.workload, a.sent, b.each)
		signed := b.run.setup.signer.signMany(txs)
		for i := range all {
			all[i] = append(all[i], flight{account: a, n: a.sent + uint64(i), hash: signed[i].hash, tx: txs[i], signed: signed[i]})
		}
		a.sent += uint64(b.each)
	}
	b.held = all[0]
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(8)
	for _, list := range all[1:] {
		waiting += len(list)
		work.Go(func() error { return b.send(ctx, list) })
	}
	return waiting, work.Wait()
}

// Release sends the first transaction of each account, and says how many can run now.
func (b *Backlog) Release(ctx context.Context) (ready int, err error) {
	return len(b.held) * b.each, b.send(ctx, b.held)
}

// send hands transactions to the node, each of which it must take.
func (b *Backlog) send(ctx context.Context, list []flight) error {
	c := newConn(b.run.sender.target)
	defer c.close()
	for len(list) > 0 {
		n := min(len(list), backlogBatch)
		body := []byte{'['}
		for i := range list[:n] {
			if i > 0 {
				body = append(body, ',')
			}
			body = b.run.sender.encoder.invoke(body, i, &list[i].tx, &list[i].signed)
		}
		raw, err := c.post(ctx, append(body, ']'))
		if err != nil {
			return err
		}
		answers, err := readAnswers(raw, n)
		if err != nil {
			return err
		}
		for i, a := range answers {
			if a.Error != nil {
				return fmt.Errorf("transaction with nonce %d of %s: %w", list[i].tx.nonce, list[i].tx.sender.Hex(), a.Error)
			}
		}
		list = list[n:]
	}
	return nil
}
