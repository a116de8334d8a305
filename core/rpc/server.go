package rpc

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/creachadair/jrpc2"
	"golang.org/x/sync/semaphore"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	"github.com/ordo-sequencer/ordo/core/internal/retry"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// SpecVersion is the version of the Starknet JSON-RPC served.
const SpecVersion = "0.10.2"

// Options are the parts that the server answers from.
type Options struct {
	ChainID   felt.Felt
	Chain     *chainview.Chain // what the node knows and storage does not
	Storage   ordov1.StorageReadClient
	Execution ordov1.ExecutionClient
	Gateway   Gateway
	Log       *slog.Logger // default: slog.Default()

	// AnswerRun: the answer to a transaction that is sent waits until it has run; else it comes when the node has promised to
	// run it.
	AnswerRun bool

	Devnet  *Devnet                            // serves the devnet methods; may be nil
	Plugins func(context.Context) []PluginInfo // serves ordo_plugins; may be nil
	Crashes *crash.Ledger                      // of the questions that may end execution; may be nil

	Limits Limits // zero fields: DefaultLimits
	Access Access // zero: what pages and names of this machine may ask for
}

// Server answers requests. Safe for concurrent use.
type Server struct {
	Options
	methods map[string]method
	mint    minter
	bodies  bodies

	underway underway   // of a dev node
	moving   sync.Mutex // held while block time is moved

	bodyBytes *limiter.Budget     // of request bodies over smallBody
	large     *limiter.Budget     // of those that are worked on
	answers   *limiter.Budget     // of what waits to be sent
	helpers   *semaphore.Weighted // goroutines that work on batches
	views     *limiter.Gate
	scans     *limiter.Gate
	makes     *limiter.Gate // of answers that may be large, until they have their share of the memory
	reads     *limiter.Gate // of what may be large: a class, the body of a block
	cutOff    sparse
	storage   retry.Asker
	execution retry.Asker
}

// method is one entry of the table: params name its parameters by position.
type method struct {
	params     []string
	call       func(ctx context.Context, p *jsonin.Object) (any, error)
	again      bool // it changes nothing: its answer can be made again
	large      bool // its answer may be large by nature: few are made at a time
	restricted bool // to pages and names that Access allows
}

// largeAnswers are the methods that answer with a class, or with all of a block.
var largeAnswers = []string{
	"starknet_getClass", "starknet_getClassAt", "starknet_getCompiledCasm",
	"starknet_getBlockWithTxHashes", "starknet_getBlockWithTxs", "starknet_getBlockWithReceipts", "starknet_getStateUpdate",
}

// largeSum bounds the memory that decoded requests take: a list of two million ones, 5 MiB, takes 350 MB.
const largeSum = 16 << 20

// New wires the methods.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	o.Limits = o.Limits.orDefaults()
	l := o.Limits
	s := &Server{
		Options: o, methods: map[string]method{},
		bodyBytes: limiter.NewBudget("request bodies on their way", "limits.bodies_mib", int64(max(l.Bodies, l.Body+1)), l.Stall, l.Turn),
		large:     limiter.NewBudget("large requests that run", "", int64(max(largeSum, l.Body)), l.Stall, l.Turn),
		answers:   limiter.NewBudget("answers that wait to be sent", "limits.responses_mib", int64(l.Answers), l.Stall, l.Turn),
		helpers:   semaphore.NewWeighted(helping),
		views:     l.gate("calls, estimates, simulations and traces", l.Views, l.ViewsWaiting),
		scans:     l.gate("reads over many blocks", l.Scans, l.ScansWaiting),
		makes:     l.gate("large answers", l.Reads, l.Connections),
		reads:     l.gate("reads of classes and blocks", l.Reads, l.Connections),
		mint:      minter{turn: l.gate("mints", 1, l.Connections)},
		storage:   retry.Asker{Stage: "storage", Deadline: l.Read, Grace: l.Grace},
		execution: retry.Asker{Stage: "execution", Deadline: l.View + 5*time.Second, Grace: l.Grace, Crashes: o.Crashes},
	}
	groups := []map[string]method{s.writeMethods()}
	for _, group := range []map[string]method{
		s.chainMethods(), s.blockMethods(), s.transactionMethods(), s.stateMethods(), s.classMethods(), s.eventMethods(), s.viewMethods(), s.traceMethods(),
	} {
		for name, m := range group {
			m.again, m.large = true, slices.Contains(largeAnswers, name)
			s.methods[name] = m
		}
	}
	if o.Devnet != nil && !o.Devnet.Hidden {
		groups = append(groups, s.devnetMethods())
	}
	if o.Plugins != nil {
		groups = append(groups, s.adminMethods())
	}
	for _, group := range groups {
		for name, m := range group {
			m.restricted = !strings.HasPrefix(name, specPrefix)
			s.methods[name] = m
		}
	}
	return s
}

// Methods lists what is served.
func (s *Server) Methods() []string {
	names := make([]string, 0, len(s.methods))
	for name := range s.methods {
		names = append(names, name)
	}
	return names
}

// Call answers one request. The error is what the client is to read.
func (s *Server) Call(ctx context.Context, name string, params json.RawMessage) (result any, failed *jrpc2.Error) {
	m, ok := s.methods[name]
	if !ok {
		return nil, jrpc2.Errorf(jrpc2.MethodNotFound, "method %q is not served", clip(name))
	}
	return s.guarded(ctx, name, func() (any, error) {
		p, err := m.bind(params)
		if err != nil {
			return nil, err
		}
		return m.call(ctx, p)
	})
}

// guarded runs a method and turns its error into what the client is to read.
func (s *Server) guarded(ctx context.Context, name string, work func() (any, error)) (result any, failed *jrpc2.Error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("rpc: a method panicked", "method", name, "panic", p, "stack", string(debug.Stack()))
			result, failed = nil, jrpc2.Errorf(jrpc2.InternalError, "internal error: see the log of the node")
		}
	}()
	result, err := work()
	if err == nil {
		return result, nil
	}
	if e, ok := clientError(err); ok {
		return nil, e
	}
	if ctx.Err() == nil { // else the client left
		s.Log.Warn("rpc: a method failed", "method", name, "error", err)
	}
	return nil, jrpc2.Errorf(jrpc2.InternalError, "internal error: %v", err)
}

// bind names positional parameters, and checks that a method without parameters gets none.
func (m method) bind(raw json.RawMessage) (*jsonin.Object, error) {
	if fields := m.bindFast(raw); fields != nil {
		return jsonin.NewObject(fields), nil
	}
	return m.bindCarefully(raw)
}

// bindFast returns nil for what is unusual or wrong.
func (m method) bindFast(raw json.RawMessage) map[string]json.RawMessage {
	fields := make(map[string]json.RawMessage, len(m.params))
	q := jsonin.NewFast(raw)
	switch q.Peek() {
	case '[':
		for i := range q.Items {
			if i >= len(m.params) {
				return nil
			}
			fields[m.params[i]] = q.Value()
		}
	case '{':
		for name := range q.Fields {
			if _, twice := fields[string(name)]; twice || !slices.Contains(m.params, string(name)) {
				return nil
			}
			fields[string(name)] = q.Value()
		}
	}
	if !q.Ended() {
		return nil
	}
	return fields
}

func (m method) bindCarefully(raw json.RawMessage) (*jsonin.Object, error) {
	fields := map[string]json.RawMessage{}
	if len(raw) > 0 && raw[0] == '[' {
		list, err := jsonin.List(raw)
		if err != nil {
			return nil, err
		}
		if len(list) > len(m.params) {
			return nil, jsonin.Errorf("%d parameters, at most %d expected: %v", len(list), len(m.params), m.params)
		}
		for i, value := range list {
			fields[m.params[i]] = value
		}
	} else if len(raw) > 0 {
		if err := json.Unmarshal(raw, &fields); err != nil {
			return nil, jsonin.Errorf("not a json object: %v", err)
		}
		for name := range fields {
			if !slices.Contains(m.params, name) {
				return nil, jsonin.Errorf("unknown parameter %q: want %v", clip(name), m.params)
			}
		}
	}
	return jsonin.NewObject(fields), nil
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

func (s *Server) chainMethods() map[string]method {
	return map[string]method{
		"starknet_specVersion": {call: func(context.Context, *jsonin.Object) (any, error) { return SpecVersion, nil }},
		"starknet_chainId":     {call: func(context.Context, *jsonin.Object) (any, error) { return s.ChainID, nil }},
		// The node makes the blocks itself: there is nobody to catch up with.
		"starknet_syncing": {call: func(context.Context, *jsonin.Object) (any, error) { return false, nil }},
		"starknet_blockNumber": {call: func(context.Context, *jsonin.Object) (any, error) {
			latest := s.Chain.Snapshot().Latest()
			if latest == nil {
				return nil, errNoBlocks
			}
			return latest.Context.Number, nil
		}},
		"starknet_blockHashAndNumber": {call: func(context.Context, *jsonin.Object) (any, error) {
			latest := s.Chain.Snapshot().Latest()
			if latest == nil {
				return nil, errNoBlocks
			}
			return struct {
				Hash   hexFelt `json:"block_hash"`
				Number uint64  `json:"block_number"`
			}{latest.Hash, latest.Context.Number}, nil
		}},
	}
}

var _ http.Handler = (*Server)(nil)
