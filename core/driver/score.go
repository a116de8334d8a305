package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// scoreBatch bounds a batch; nobody waits for one to fill.
const scoreBatch = 256

var errOrderingDown = errors.New("the ordering plugin did not answer a moment ago")

// score gives every admitted transaction its rank. When the policy does not answer, rightly and in time, transactions go by
// arrival and the block that takes them is marked; when it is back, all are ranked anew.
func (d *Driver) score() {
	away, again, misses := false, time.Time{}, 0
	generation, bumps := uint64(0), 0
	for {
		select {
		case <-d.toScore:
		case <-d.ctx.Done():
			return
		}
		for {
			d.mu.Lock()
			batch := d.pool.Unscored(scoreBatch)
			views := make([]*ordov1.TransactionView, len(batch))
			for i, e := range batch {
				views[i] = d.pool.View(e)
			}
			d.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			var response *ordov1.ScoreResponse
			err := errOrderingDown
			l := d.current(ordov1.Stage_STAGE_ORDERING)
			if l.ctx.Err() == nil && (!away || time.Now().After(again)) { // one that hangs must not hold up every batch
				if response, err = d.rank(l, views); err != nil {
					again = time.Now().Add(d.options.ScoreTimeout)
					if misses++; misses%missesToSuspect == 0 && d.options.Suspect != nil {
						d.suspect(l, fmt.Errorf("%d batches were not ranked in time: %w", misses, err))
					}
				} else {
					misses = 0
				}
			}
			d.mu.Lock()
			switch {
			case err != nil:
				d.pool.RankByArrival(batch)
			default:
				scores := make([]mempool.Score, len(batch))
				for i, e := range batch {
					scores[i] = mempool.Score{Entry: e, Hi: response.Hi[i]}
					if len(response.Lo) > 0 {
						scores[i].Lo = response.Lo[i]
					}
				}
				d.pool.Rank(scores, response.Generation)
				if away {
					d.pool.Rescore()
				}
			}
			d.mu.Unlock()
			d.notifyPool()
			if g := response.GetGeneration(); g > generation {
				generation = g
				// Every bump means the whole pool again; a policy that bumps in each answer gets it at its own cost.
				if bumps++; bumps > 1 {
					d.pause(rescorePause)
				}
			}
			if d.ctx.Err() != nil {
				return
			}
			d.ranked(err)
			if (err != nil) != away {
				if away = err != nil; away {
					d.log.Error("ordering: no ranks: transactions go by arrival and their blocks are marked degraded", "error", err)
				} else {
					d.log.Info("ordering: ranks again")
				}
			}
		}
	}
}

// ranked keeps what came of a batch for Health. That it was not asked for a moment says nothing new.
func (d *Driver) ranked(err error) {
	if errors.Is(err, errOrderingDown) {
		return
	}
	d.instancesMu.Lock()
	defer d.instancesMu.Unlock()
	d.noRanks, d.late = "", status.Code(err) == codes.DeadlineExceeded
	switch {
	case d.late:
		d.noRanks = fmt.Sprintf("no ranks within %s: transactions go by arrival", d.options.ScoreTimeout)
	case err != nil:
		d.noRanks = "no ranks: transactions go by arrival: " + err.Error()
	}
}

// missesToSuspect is after how many batches without a rank, in a row, the process is suspected.
const missesToSuspect = 3

const rescorePause = 20 * time.Millisecond

func (d *Driver) rank(l *instance, views []*ordov1.TransactionView) (*ordov1.ScoreResponse, error) {
	ctx, cancel := context.WithTimeout(l.ctx, d.options.ScoreTimeout)
	defer cancel()
	next := d.chain.Next()
	response, err := d.ordering.Score(ctx, &ordov1.ScoreRequest{
		NowMs: uint64(d.now().UnixMilli()), Height: next.Number, L2GasPrice: next.L2Gas.GetFri(), Transactions: views,
	})
	if err != nil {
		return nil, err
	}
	if len(response.Hi) != len(views) || len(response.Lo) != 0 && len(response.Lo) != len(views) {
		return nil, fmt.Errorf("it gave %d scores (hi) and %d second ones (lo) for %d transactions", len(response.Hi), len(response.Lo), len(views))
	}
	return response, nil
}
