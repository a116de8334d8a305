package sdk

import (
	"context"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Tx is what a policy sees of a transaction: t.Tip, t.CalldataLen, t.ArrivalSeq, t.Sender and so on. Read only.
type Tx struct{ *ordov1.TransactionView }

// Context is what a policy may know besides the transaction. Its clock is the only one that a policy may use: with any
// other, the same transactions would get another order when they are ranked again.
type Context struct {
	NowMs      uint64
	Height     uint64 // of the next block
	L2GasPrice []byte // u128, fri, of the next block
}

// Score is a rank: higher goes first, Hi before Lo. Equal scores go by arrival.
type Score struct{ Hi, Lo uint64 }

// ServeScore is a whole ordering plugin: the function gives each transaction its score, higher goes first, and equal
// scores go by arrival. The function must be pure: the same transaction, the same score.
//
//	func main() {
//		sdk.ServeScore("tip", func(t sdk.Tx) uint64 { return t.Tip })
//	}
func ServeScore(name string, score func(Tx) uint64, options ...Option) {
	Serve(ScoreBy(name, score, options...))
}

// ServeRank is ServeScore for policies that need two numbers, or the time and height for which they rank.
func ServeRank(name string, rank func(Context, Tx) Score, options ...Option) {
	Serve(RankBy(name, rank, options...))
}

// ScoreBy makes the service that ServeScore serves; tests use it without a process.
func ScoreBy(name string, score func(Tx) uint64, options ...Option) *Service {
	return RankBy(name, func(_ Context, t Tx) Score { return Score{Hi: score(t)} }, options...)
}

// RankBy makes the service that ServeRank serves.
func RankBy(name string, rank func(Context, Tx) Score, options ...Option) *Service {
	d := Description{Name: name}
	for _, option := range options {
		option(&d)
	}
	return Ordering(d, &policy{rank: rank})
}

// Option says more about a level-1 plugin.
type Option func(*Description)

// Version names the plugin's version.
func Version(v string) Option { return func(d *Description) { d.Version = v } }

// ByArrival declares that every score is equal: order is arrival, nothing is gained by waiting, and the node streams
// transactions into the open block as they come.
func ByArrival() Option {
	return func(d *Description) { d.Capabilities = append(d.Capabilities, CapArrival) }
}

// policy serves a pure function. Its scores never age, so its generation stays 1.
type policy struct {
	ordov1.UnimplementedOrderingServer
	rank func(Context, Tx) Score
}

func (p *policy) Score(_ context.Context, req *ordov1.ScoreRequest) (*ordov1.ScoreResponse, error) {
	ctx := Context{NowMs: req.GetNowMs(), Height: req.GetHeight(), L2GasPrice: req.GetL2GasPrice()}
	n := len(req.GetTransactions())
	scores := make([]uint64, 2*n)
	hi, lo := scores[:n:n], scores[n:]
	fine := false // does any transaction need the second number?
	for i, view := range req.GetTransactions() {
		s := p.rank(ctx, Tx{view})
		hi[i], lo[i] = s.Hi, s.Lo
		fine = fine || s.Lo != 0
	}
	resp := &ordov1.ScoreResponse{Hi: hi, Generation: 1}
	if fine {
		resp.Lo = lo
	}
	return resp, nil
}
