package rpc

import (
	"time"

	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	"github.com/ordo-sequencer/ordo/sdk"
)

// Limits hold clients to what the node can bear. A zero field takes the value of DefaultLimits. Whatever is beyond a limit
// gets an error that names it; README.md lists them.
type Limits struct {
	Body   int // bytes of a request body
	Bodies int // bytes of all bodies over 64 KiB that are on their way in
	Batch  int // requests in one body
	Answer int // bytes of answers after which the rest of a batch is not run

	Answers int           // bytes that all answers over 64 KiB hold until they are sent
	Waiting int           // bytes of the requests that wait for a turn, in each queue
	Stall   time.Duration // without progress, after which a client may be cut off when others wait for what it holds

	Connections int
	PerAddress  int // connections of one IPv4 address or IPv6 /64

	Sockets       int // of the connections
	Subscriptions int // of one socket
	SocketQueue   int // bytes of notifications that wait for one socket; bytes of the filters of its subscriptions

	Header  time.Duration // for the head of a request
	Receive time.Duration // for the whole request
	Idle    time.Duration // of a connection between requests
	Work    time.Duration // for all that a body asks for
	Send    time.Duration // for an answer to be read, beside its size at Rate
	Rate    int           // bytes a second that a client reads at least

	Views        int // calls, estimates, simulations and traces at a time
	ViewsWaiting int
	View         time.Duration // of one of them
	ViewMemory   int           // MiB that the run of one may hold
	Reads        int           // reads of a class or of the body of a block at a time
	Scans        int           // reads over many blocks at a time
	ScansWaiting int
	Read         time.Duration // of a question to storage
	Turn         time.Duration // how long a request waits for its turn
	Grace        time.Duration // how long it waits for a stage that is being restarted

	Calldata  int // felts of a call
	Simulated int // transactions of one estimate or simulation

	EventsPage   int // events in a page
	EventsBlocks int // blocks read for one page; the token goes on from there
	Keys         int // of an event filter, in all positions together
	Addresses    int // of an event filter, or of a state update
	ProofKeys    int // class hashes, addresses and storage keys of one request for proofs
}

// DefaultLimits suit a node on a small machine that is open to all clients.
func DefaultLimits() Limits {
	return Limits{
		Body: 5 << 20, Bodies: 64 << 20, Batch: 1000, Answer: 64 << 20,
		Answers: 128 << 20, Waiting: 16 << 20, Stall: time.Second,
		Connections: 4096, PerAddress: 1024, Sockets: 2048, Subscriptions: 1024, SocketQueue: 4 << 20,
		Header: 10 * time.Second, Receive: time.Minute, Idle: 2 * time.Minute, Work: 150 * time.Second, Send: 30 * time.Second, Rate: 1 << 20,
		Views: 8, ViewsWaiting: 4096, View: 20 * time.Second, ViewMemory: 512, Reads: 8, Scans: 8, ScansWaiting: 4096, Read: 20 * time.Second,
		Turn: 10 * time.Second, Grace: 10 * time.Second,
		Calldata: 10_000, Simulated: 128,
		EventsPage: 10_240, EventsBlocks: 10_000, Keys: 1024, Addresses: 1024, ProofKeys: sdk.MaxProofKeys,
	}
}

// orDefaults fills in what is zero.
func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ field, otherwise *int }{
		{&l.Body, &d.Body}, {&l.Bodies, &d.Bodies}, {&l.Batch, &d.Batch}, {&l.Answer, &d.Answer}, {&l.Answers, &d.Answers}, {&l.Waiting, &d.Waiting}, {&l.ViewMemory, &d.ViewMemory}, {&l.Reads, &d.Reads}, {&l.Rate, &d.Rate},
		{&l.Connections, &d.Connections}, {&l.PerAddress, &d.PerAddress}, {&l.Sockets, &d.Sockets}, {&l.Subscriptions, &d.Subscriptions}, {&l.SocketQueue, &d.SocketQueue},
		{&l.Views, &d.Views}, {&l.ViewsWaiting, &d.ViewsWaiting}, {&l.Scans, &d.Scans}, {&l.ScansWaiting, &d.ScansWaiting},
		{&l.Calldata, &d.Calldata}, {&l.Simulated, &d.Simulated},
		{&l.EventsPage, &d.EventsPage}, {&l.EventsBlocks, &d.EventsBlocks}, {&l.Keys, &d.Keys}, {&l.Addresses, &d.Addresses}, {&l.ProofKeys, &d.ProofKeys},
	} {
		if *f.field == 0 {
			*f.field = *f.otherwise
		}
	}
	for _, f := range []struct{ field, otherwise *time.Duration }{
		{&l.Header, &d.Header}, {&l.Receive, &d.Receive}, {&l.Idle, &d.Idle}, {&l.Work, &d.Work}, {&l.Send, &d.Send},
		{&l.View, &d.View}, {&l.Read, &d.Read}, {&l.Turn, &d.Turn}, {&l.Stall, &d.Stall}, {&l.Grace, &d.Grace},
	} {
		if *f.field == 0 {
			*f.field = *f.otherwise
		}
	}
	return l
}

// sendTime is how long a client may take to read an answer.
func (l Limits) sendTime(size int) time.Duration {
	return l.Send + time.Duration(size)*time.Second/time.Duration(l.Rate)
}

// gate is one with the queue that all have.
func (l Limits) gate(what string, running, waiting int) *limiter.Gate {
	return limiter.New(what, running, waiting, l.Turn).Holding(l.Waiting, "limits.waiting_mib").Patience("limits.queue_timeout")
}
