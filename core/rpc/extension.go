package rpc

import (
	"context"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Extension adds methods beside the specification's to a server, and decides when the answer about a submitted transaction is
// sent. A server without one serves the specification's methods and answers as soon as a transaction is admitted.
type Extension interface {
	// Methods returns what is served. New calls it once; no name may begin with starknet_ or be served already.
	Methods(s *Server) map[string]Method
	// Submitted is called for each transaction that was admitted, before Await. It must not block.
	Submitted(hash []byte)
	// Await delays the answers about transactions that were submitted together. It returns, for each of them, why the
	// transaction is in no block: the client reads that in place of its hash.
	Await(ctx context.Context, hashes ...[]byte) []error
	// OneByOne reports that the transactions of a batch are submitted one after the other, each when the one before is
	// answered. Otherwise the invokes of different senders that stand side by side are submitted at the same time.
	OneByOne() bool
}

// Method is one entry of the table of methods.
type Method struct {
	Params []string // names by position
	Call   func(ctx context.Context, p *Params) (any, error)
	Class  AccessClass

	// Large says that the method only reads, and that its answer may be large: few of them are made at a time, and it takes a share of the
	// memory for answers. It must not wait for anything but storage.
	Large bool

	repeatable bool // it changes nothing, so its answer can be let go and made again
	large      bool // its answer may be large by nature: few are made at a time
}

// Params are the parameters of a request. Its readers return zero after the first error; Err returns that error.
type Params = jsonin.Object

// AccessClass says which pages in a browser may call a method.
type AccessClass uint8

const (
	// Guarded methods change the node or reveal what is not on the chain. They take requests whose Origin, Host and
	// Content-Type pass Server.checkAccess. It is the zero value, so a method is open only when its entry says so.
	Guarded AccessClass = iota
	// Open methods take requests from every page.
	Open
)

// Block finds the block of an id.
func (s *Server) Block(ctx context.Context, id BlockID) (*BlockRef, error) {
	return s.resolve(ctx, s.Chain.Snapshot(), id)
}

// PreConfirmed is the open block; between two blocks it is an empty one in the context of the next.
func (s *Server) PreConfirmed() *BlockRef { return preConfirmed(s.Chain.Snapshot()) }

// State reads state after the transactions of a block, as far as they have run.
func (s *Server) State(ctx context.Context, at *BlockRef, q *ordov1.StateRequest) (*ordov1.StateResponse, error) {
	return s.read(ctx, at, q)
}

// CallContract calls a function of a contract on the state of a block, within the limits of starknet_call, and returns
// packed felts.
func (s *Server) CallContract(ctx context.Context, at *BlockRef, call *ordov1.CallView) ([]byte, error) {
	return s.runCall(ctx, at, call)
}

// Turns makes a queue for work of which so many run at a time; what names the work in the error of a client that waits too
// long. The queue is shared between the addresses that clients come from, as all queues of the server are.
func (s *Server) Turns(what string, running int) *Turns {
	return s.Limits.gate(what, running, s.Limits.Connections)
}

// Turns is a queue that Server.Turns made.
type Turns = limiter.Gate

// InvalidParam is the error about a parameter that cannot be used (-32602).
func InvalidParam(name, format string, args ...any) error {
	return jsonin.In(name, jsonin.Errorf(format, args...))
}

// Unexpected is the specification's error for what the node could not do with a transaction (63).
func Unexpected(reason string) error { return withData(errUnexpected, reason) }

// ContractError is the specification's error for a call that failed (40).
func ContractError(reason string) error {
	return withData(errContract, map[string]any{"revert_error": reason})
}
