package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/pool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// scoreBatch bounds a batch; nobody waits for one to fill.
const scoreBatch = 256

var errAway = errors.New("the ordering plugin did not answer a moment ago")

// score gives every admitted transaction its rank. When the policy does not answer, rightly and in time, transactions go by
// arrival and the block that takes them is marked; when it is back, all are ranked anew.
func (n *Node) score() {
	away, again, misses := false, time.Time{}, 0
	generation, bumps := uint64(0), 0
	for {
		select {
		case <-n.toScore:
		case <-n.ctx.Done():
			return
		}
		for {
			n.mu.Lock()
			batch := n.pool.Unscored(scoreBatch)
			views := make([]*ordov1.TransactionView, len(batch))
			for i, e := range batch {
				views[i] = n.pool.View(e)
			}
			n.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			var response *ordov1.ScoreResponse
			err := errAway
			l := n.newest(ordov1.Stage_STAGE_ORDERING)
			if l.ctx.Err() == nil && (!away || time.Now().After(again)) { // one that hangs must not hold up every batch
				if response, err = n.rank(l, views); err != nil {
					again = time.Now().Add(n.options.ScoreTimeout)
					if misses++; misses%missesToSuspect == 0 && n.options.Suspect != nil {
						n.broken(l, fmt.Errorf("%d batches were not ranked in time: %w", misses, err))
					}
				} else {
					misses = 0
				}
			}
			n.mu.Lock()
			switch {
			case err != nil:
				n.pool.RankByArrival(batch)
			default:
				scores := make([]pool.Score, len(batch))
				for i, e := range batch {
					scores[i] = pool.Score{Entry: e, Hi: response.Hi[i]}
					if len(response.Lo) > 0 {
						scores[i].Lo = response.Lo[i]
					}
				}
				n.pool.Rank(scores, response.Generation)
				if away {
					n.pool.Rescore()
				}
			}
			n.mu.Unlock()
			n.poke()
			if g := response.GetGeneration(); g > generation {
				generation = g
				// Every bump means the whole pool again; a policy that bumps in each answer gets it at its own cost.
				if bumps++; bumps > 1 {
					n.pause(rescorePause)
				}
			}
			if n.ctx.Err() != nil {
				return
			}
			n.ranked(err)
			if (err != nil) != away {
				if away = err != nil; away {
					n.log.Error("ordering: no ranks: transactions go by arrival and their blocks are marked degraded", "error", err)
				} else {
					n.log.Info("ordering: ranks again")
				}
			}
		}
	}
}

// ranked keeps what came of a batch for Health. That it was not asked for a moment says nothing new.
func (n *Node) ranked(err error) {
	if errors.Is(err, errAway) {
		return
	}
	n.livesMu.Lock()
	defer n.livesMu.Unlock()
	n.noRanks, n.late = "", status.Code(err) == codes.DeadlineExceeded
	switch {
	case n.late:
		n.noRanks = fmt.Sprintf("no ranks within %s: transactions go by arrival", n.options.ScoreTimeout)
	case err != nil:
		n.noRanks = "no ranks: transactions go by arrival: " + err.Error()
	}
}

// missesToSuspect is after how many batches without a rank, in a row, the process is suspected.
const missesToSuspect = 3

const rescorePause = 20 * time.Millisecond

func (n *Node) rank(l *life, views []*ordov1.TransactionView) (*ordov1.ScoreResponse, error) {
	ctx, cancel := context.WithTimeout(l.ctx, n.options.ScoreTimeout)
	defer cancel()
	next := n.chain.Next()
	response, err := n.ordering.Score(ctx, &ordov1.ScoreRequest{
		NowMs: uint64(n.now().UnixMilli()), Height: next.Number, L2GasPrice: next.L2Gas.GetFri(), Transactions: views,
	})
	if err != nil {
		return nil, err
	}
	if len(response.Hi) != len(views) || len(response.Lo) != 0 && len(response.Lo) != len(views) {
		return nil, fmt.Errorf("it gave %d scores (hi) and %d second ones (lo) for %d transactions", len(response.Hi), len(response.Lo), len(views))
	}
	return response, nil
}
