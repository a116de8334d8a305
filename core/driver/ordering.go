package driver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

const (
	scoreBatch      = 256                   // bounds a batch; a batch never waits to be filled
	missesToSuspect = 3                     // after so many batches in a row without a rank the process is suspect
	rescorePause    = 20 * time.Millisecond // between two rescorings of the whole pool
)

var errOrderingDown = errors.New("the ordering plugin did not answer a moment ago")

// ordering is the stage that ranks transactions: every admitted one is scored by the plugin. When the plugin does not answer in time,
// transactions go by arrival and their block is marked degraded; when it answers again, all are ranked anew.
type ordering struct {
	port       port
	log        hclog.Logger
	client     ordov1.OrderingClient
	pool       *sharedPool
	instances  *instances
	next       func() *ordov1.BlockContext
	now        func() time.Time
	timeout    time.Duration
	supervised bool
	wakeups    chan struct{} // holds one when there is something to score
	last       lastScore

	at *instance // that commands go to; the scorer asks the newest
}

// connect implements stage.
func (o *ordering) connect(i *instance, _ *pipeline.StageUp) (takeUp func(), err error) {
	return func() {
		o.at = i
		o.pool.rescore() // another process may rank otherwise
		o.wake()
	}, nil
}

func (o *ordering) current() *instance { return o.at }

// down implements stage: what the lost process held up goes by arrival.
func (o *ordering) down() { o.wake() }

// wake tells the scorer that there is something to do.
func (o *ordering) wake() {
	select {
	case o.wakeups <- struct{}{}:
	default:
	}
}

// scorer is what the goroutine that scores remembers from batch to batch.
type scorer struct {
	*ordering
	ctx        context.Context
	poolRanked func()
	down       bool      // the last batch was not ranked
	again      time.Time // when a plugin that did not answer is asked again
	misses     int       // batches without a rank, in a row
	generation uint64    // the highest of the plugin's answers
	bumps      int       // how often it rose
}

// run scores until the context is done.
func (o *ordering) run(ctx context.Context, poolRanked func()) {
	s := &scorer{ordering: o, ctx: ctx, poolRanked: poolRanked}
	for {
		select {
		case <-o.wakeups:
		case <-ctx.Done():
			return
		}
		for s.batch() {
		}
	}
}

// batch ranks one batch; more is false when there was none, or the node stops.
func (s *scorer) batch() (more bool) {
	batch, views := s.pool.unscored(scoreBatch)
	if len(batch) == 0 {
		return false
	}
	response, err := s.ask(views)
	if err != nil {
		s.pool.rankByArrival(batch)
	} else {
		scores := make([]mempool.Score, len(batch))
		for i, e := range batch {
			scores[i] = mempool.Score{Entry: e, Hi: response.Hi[i]}
			if len(response.Lo) > 0 {
				scores[i].Lo = response.Lo[i]
			}
		}
		s.pool.rank(scores, response.Generation, s.down)
	}
	s.poolRanked()
	if g := response.GetGeneration(); g > s.generation {
		s.generation = g
		// Every bump means the whole pool again; a policy that bumps in each answer gets it at its own cost.
		if s.bumps++; s.bumps > 1 {
			pause(s.ctx, rescorePause)
		}
	}
	if s.ctx.Err() != nil {
		return false
	}
	s.last.note(err, s.timeout)
	if down := err != nil; down != s.down {
		if s.down = down; down {
			s.log.Error("ordering: no ranks: transactions go by arrival and their blocks are marked degraded", "error", err)
		} else {
			s.log.Info("ordering: ranks again")
		}
	}
	return true
}

// ask asks the plugin for the scores of a batch. One that hangs must not hold up every batch: it is left alone for a while.
func (s *scorer) ask(views []*ordov1.TransactionView) (*ordov1.ScoreResponse, error) {
	i := s.instances.of(ordov1.Stage_STAGE_ORDERING)
	if i.ctx.Err() != nil || s.down && !time.Now().After(s.again) {
		return nil, errOrderingDown
	}
	response, err := s.score(i, views)
	if err == nil {
		s.misses = 0
		return response, nil
	}
	s.again = time.Now().Add(s.timeout)
	if s.misses++; s.misses%missesToSuspect == 0 && s.supervised {
		i.suspect(fmt.Errorf("%d batches were not ranked in time: %w", s.misses, err))
	}
	return nil, err
}

func (o *ordering) score(i *instance, views []*ordov1.TransactionView) (*ordov1.ScoreResponse, error) {
	ctx, cancel := context.WithTimeout(i.ctx, o.timeout)
	defer cancel()
	next := o.next()
	response, err := o.client.Score(ctx, &ordov1.ScoreRequest{
		NowMs: uint64(o.now().UnixMilli()), Height: next.Number, L2GasPrice: next.L2Gas.GetFri(), Transactions: views,
	})
	if err != nil {
		return nil, err
	}
	if len(response.Hi) != len(views) || len(response.Lo) != 0 && len(response.Lo) != len(views) {
		return nil, fmt.Errorf("it gave %d scores (hi) and %d second ones (lo) for %d transactions", len(response.Hi), len(response.Lo), len(views))
	}
	return response, nil
}

// lastScore is the outcome of the last batch that the plugin was asked to rank, for Health. Safe for concurrent use.
type lastScore struct {
	mu   sync.Mutex
	why  string // why there were no ranks
	late bool
}

// note keeps the outcome of a batch. That the plugin was not asked for a moment changes nothing.
func (l *lastScore) note(err error, timeout time.Duration) {
	if errors.Is(err, errOrderingDown) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.why, l.late = "", status.Code(err) == codes.DeadlineExceeded
	switch {
	case l.late:
		l.why = fmt.Sprintf("no ranks within %s: transactions go by arrival", timeout)
	case err != nil:
		l.why = "no ranks: transactions go by arrival: " + err.Error()
	}
}

func (l *lastScore) health() (why string, late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why, l.late
}

// sharedPool is the mempool with the lock that the machine, admission, the scorer and the readers share.
type sharedPool struct {
	mu sync.Mutex
	*mempool.Pool
}

// unscored takes up to n transactions that have no rank yet, with what the plugin is shown of them.
func (p *sharedPool) unscored(n int) ([]*mempool.Entry, []*ordov1.TransactionView) {
	p.mu.Lock()
	defer p.mu.Unlock()
	batch := p.Unscored(n)
	views := make([]*ordov1.TransactionView, len(batch))
	for i, e := range batch {
		views[i] = p.View(e)
	}
	return batch, views
}

// rank ranks a batch; again: all others are to be ranked anew.
func (p *sharedPool) rank(scores []mempool.Score, generation uint64, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Rank(scores, generation)
	if again {
		p.Rescore()
	}
}

func (p *sharedPool) rankByArrival(batch []*mempool.Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.RankByArrival(batch)
}

func (p *sharedPool) rescore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Rescore()
}
