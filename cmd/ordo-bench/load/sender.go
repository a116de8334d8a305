package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
)

// sender hands transactions to the node over a number of connections.
type sender struct {
	target   target
	batch    int
	workload workload
	signer   *signer
	encoder  *encoder
	tracker  *tracker
	ready    chan *account // holds every account once at most

	mu      sync.Mutex
	sent    int
	late    int // signed while the run was on
	refused map[string]int
}

// backOff is how long an account waits after a rejection.
const backOff = 100 * time.Millisecond

// put queues an account that has something to send.
func (s *sender) put(a *account) { s.ready <- a }

// serve runs one connection until the context ends.
func (s *sender) serve(ctx context.Context) {
	c := newConn(s.target)
	defer c.close()
	var body []byte
	for {
		var list []*account
		select {
		case a := <-s.ready:
			list = append(list, a)
		case <-ctx.Done():
			return
		}
		// Other accounts that have something to send now come along.
		for more := true; more && len(list) < s.batch; {
			select {
			case a := <-s.ready:
				list = append(list, a)
			default:
				more = false
			}
		}
		body = s.round(ctx, c, body, list)
	}
}

// round sends one request for these accounts, each in turn while there is room.
func (s *sender) round(ctx context.Context, c *conn, body []byte, list []*account) []byte {
	var flights []flight
	per := max(1, s.batch/len(list))
	counts := make([]int, len(list))
	for i, a := range list {
		mine := a.next(per, s.workload, s.signer, s.signedLate)
		counts[i] = len(mine)
		flights = append(flights, mine...)
	}
	if len(flights) == 0 {
		return body // no account is queued without something to send
	}
	s.tracker.launch(flights)
	body = body[:0]
	if len(flights) > 1 {
		body = append(body, '[')
	}
	for i := range flights {
		if i > 0 {
			body = append(body, ',')
		}
		body = s.encoder.invoke(body, i, &flights[i].tx, &flights[i].signed)
	}
	if len(flights) > 1 {
		body = append(body, ']')
	}
	var answers []answered
	raw, err := c.post(ctx, body)
	now := time.Now()
	if err == nil {
		answers, err = readAnswers(raw, len(flights))
	}
	at := 0
	for i, a := range list {
		mine := flights[at : at+counts[i]]
		took := 0
		why := err
		for k := range mine {
			if err == nil && answers[at+k].Error != nil && !known(answers[at+k].Error) {
				why = answers[at+k].Error
			}
			if why != nil {
				break
			}
			took++
			s.tracker.answered.Add(now.Sub(mine[k].due))
		}
		at += counts[i]
		a.took(took)
		s.count(took)
		if why == nil {
			if a.release() {
				s.put(a)
			}
			continue
		}
		s.tracker.recall(mine[took:])
		if ctx.Err() == nil {
			s.refuse(a, why)
		}
	}
	return body
}

// known: the node says that it has the transaction already; the answer to the first request was lost.
func known(e *client.Error) bool { return e.Code == 59 }

// refuse lets the account try the same transaction again in a moment.
func (s *sender) refuse(a *account, why error) {
	s.mu.Lock()
	s.refused[what(why)]++
	s.mu.Unlock()
	if a.refused() {
		time.AfterFunc(backOff, func() {
			if a.release() {
				s.put(a)
			}
		})
	}
}

func what(why error) string {
	var e *client.Error
	var timeout net.Error
	switch {
	case errors.As(why, &e):
		return fmt.Sprintf("%d %s", e.Code, e.Message)
	case errors.As(why, &timeout) && timeout.Timeout():
		return "no answer in time"
	}
	return fmt.Sprintf("%.200s", why)
}

func (s *sender) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent += n
}

func (s *sender) signedLate(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late += n
}

func (s *sender) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}
