package rpc

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	"github.com/ordo-sequencer/ordo/core/internal/retry"
	"github.com/ordo-sequencer/ordo/core/rpc/socket"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// SpecVersion is the newest version of the Starknet JSON-RPC served, which is the default.
const SpecVersion = "0.10.2"

// Options are the parts that the server answers from.
type Options struct {
	ChainID   felt.Felt
	Chain     *chainview.Chain // what the node knows and storage does not
	Storage   ordov1.StorageReadClient
	Execution ordov1.ExecutionClient
	Gateway   Gateway
	Log       *slog.Logger // default: slog.Default()

	Extension Extension                          // adds methods and delays answers; may be nil
	Plugins   func(context.Context) []PluginInfo // serves ordo_plugins; may be nil
	Crashes   *crash.Ledger                      // of the questions that may end execution; may be nil

	Limits Limits // zero fields: DefaultLimits
	Access Access // zero: what pages and names of this machine may ask for
}

// Server answers requests. Safe for concurrent use.
type Server struct {
	Options
	methods map[string]Method
	bodies  bodies

	bodyBytes *limiter.Budget // of request bodies over smallBody
	large     *limiter.Budget // of those that are worked on
	answers   *limiter.Budget // of what waits to be sent
	helpers   chan struct{}   // goroutines that work on batches
	views     *limiter.Gate
	scans     *limiter.Gate
	makes     *limiter.Gate // of answers that may be large, until they have their share of the memory
	reads     *limiter.Gate // of what may be large: a class, the body of a block
	cutOff    sparse
	sockets   *socket.Pool
	broker    broker
	storage   retry.Asker
	execution retry.Asker
}

// largeAnswers are the methods that answer with a class, with all of a block, or with proofs.
var largeAnswers = []string{
	"starknet_getClass", "starknet_getClassAt", "starknet_getCompiledCasm",
	"starknet_getBlockWithTxHashes", "starknet_getBlockWithTxs", "starknet_getBlockWithReceipts", "starknet_getStateUpdate", "starknet_getStorageProof",
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
		Options: o, methods: map[string]Method{},
		bodyBytes: limiter.NewBudget("request bodies on their way", "limits.bodies_mib", int64(max(l.Bodies, l.Body+1)), l.Stall, l.Turn),
		large:     limiter.NewBudget("large requests that run", "", int64(max(largeSum, l.Body)), l.Stall, l.Turn),
		answers:   limiter.NewBudget("answers that wait to be sent", "limits.responses_mib", int64(l.Answers), l.Stall, l.Turn),
		helpers:   make(chan struct{}, maxHelpers),
		views:     l.gate("calls, estimates, simulations and traces", l.Views, l.ViewsWaiting),
		scans:     l.gate("reads over many blocks", l.Scans, l.ScansWaiting),
		makes:     l.gate("large answers", l.Reads, l.Connections),
		reads:     l.gate("reads of classes and blocks", l.Reads, l.Connections),
		storage:   retry.Asker{Stage: "storage", Deadline: l.Read, Grace: l.Grace},
		execution: retry.Asker{Stage: "execution", Deadline: l.View + 5*time.Second, Grace: l.Grace, Crashes: o.Crashes},
	}
	s.sockets, s.broker.s = s.newPool(), s
	for _, group := range []map[string]Method{s.writeMethods(), s.socketMethods()} {
		for name, m := range group {
			m.Class = Open
			s.methods[name] = m
		}
	}
	for _, group := range []map[string]Method{
		s.chainMethods(), s.blockMethods(), s.transactionMethods(), s.stateMethods(), s.classMethods(), s.eventMethods(), s.viewMethods(), s.traceMethods(),
		s.proofMethods(), s.messageMethods(),
	} {
		for name, m := range group {
			m.Class, m.repeatable, m.large = Open, true, slices.Contains(largeAnswers, name)
			s.methods[name] = m
		}
	}
	if o.Plugins != nil {
		s.register(s.adminMethods())
	}
	if o.Extension != nil {
		s.register(o.Extension.Methods(s))
	}
	return s
}

// register adds methods beside the specification's. Like http.ServeMux it panics when a name is taken.
func (s *Server) register(methods map[string]Method) {
	for name, m := range methods {
		if _, taken := s.methods[name]; taken || strings.HasPrefix(name, specPrefix) {
			panic("rpc: method " + name + " is registered twice, or has a name of the specification")
		}
		m.repeatable, m.large = m.Large, m.Large
		s.methods[name] = m
	}
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
func (s *Server) Call(ctx context.Context, name string, params json.RawMessage) (result any, failed *Error) {
	m, ok := s.methods[name]
	if !ok {
		return nil, Errorf(MethodNotFound, "method %q is not served", clip(name))
	}
	return s.guarded(ctx, name, func() (any, error) {
		p, err := versionOf(ctx).of(name, m).bind(params)
		if err != nil {
			return nil, err
		}
		return m.Call(ctx, p)
	})
}

// guarded runs a method and turns its error into what the client is to read.
func (s *Server) guarded(ctx context.Context, name string, work func() (any, error)) (result any, failed *Error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("rpc: a method panicked", "method", name, "panic", p, "stack", string(debug.Stack()))
			result, failed = nil, Errorf(InternalError, "internal error: see the log of the node")
		}
	}()
	result, err := work()
	return result, s.told(ctx, name, err)
}

// told turns the error of a method into what the client reads, and logs a fault of the node.
func (s *Server) told(ctx context.Context, name string, err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := clientError(err); ok {
		return versionOf(ctx).fails(e)
	}
	if ctx.Err() == nil { // else the client left
		s.Log.Warn("rpc: a method failed", "method", name, "error", err)
	}
	return Errorf(InternalError, "internal error: %v", err)
}

// bind names positional parameters, and checks that a method without parameters gets none.
func (m Method) bind(raw json.RawMessage) (*jsonin.Object, error) {
	if fields := m.bindFast(raw); fields != nil {
		return jsonin.NewObject(fields), nil
	}
	return m.bindCarefully(raw)
}

// bindFast returns nil for what is unusual or wrong.
func (m Method) bindFast(raw json.RawMessage) map[string]json.RawMessage {
	fields := make(map[string]json.RawMessage, len(m.Params))
	q := jsonin.NewFast(raw)
	switch q.Peek() {
	case '[':
		for i := range q.Items {
			if i >= len(m.Params) {
				return nil
			}
			fields[m.Params[i]] = q.Value()
		}
	case '{':
		for name := range q.Fields {
			if _, twice := fields[string(name)]; twice || !slices.Contains(m.Params, string(name)) {
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

func (m Method) bindCarefully(raw json.RawMessage) (*jsonin.Object, error) {
	fields := map[string]json.RawMessage{}
	if len(raw) > 0 && raw[0] == '[' {
		list, err := jsonin.List(raw)
		if err != nil {
			return nil, err
		}
		if len(list) > len(m.Params) {
			return nil, jsonin.Errorf("%d parameters, at most %d expected: %v", len(list), len(m.Params), m.Params)
		}
		for i, value := range list {
			fields[m.Params[i]] = value
		}
	} else if len(raw) > 0 {
		if err := json.Unmarshal(raw, &fields); err != nil {
			return nil, jsonin.Errorf("not a json object: %v", err)
		}
		for name := range fields {
			if !slices.Contains(m.Params, name) {
				return nil, jsonin.Errorf("unknown parameter %q: want %v", clip(name), m.Params)
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

func (s *Server) chainMethods() map[string]Method {
	return map[string]Method{
		"starknet_specVersion": {Call: func(ctx context.Context, _ *jsonin.Object) (any, error) { return versionOf(ctx).Number, nil }},
		"starknet_chainId":     {Call: func(context.Context, *jsonin.Object) (any, error) { return s.ChainID, nil }},
		// The node makes the blocks itself, so it never has to catch up.
		"starknet_syncing": {Call: func(context.Context, *jsonin.Object) (any, error) { return false, nil }},
		"starknet_blockNumber": {Call: func(context.Context, *jsonin.Object) (any, error) {
			latest := s.Chain.Snapshot().Latest()
			if latest == nil {
				return nil, errNoBlocks
			}
			return latest.Context.Number, nil
		}},
		"starknet_blockHashAndNumber": {Call: func(context.Context, *jsonin.Object) (any, error) {
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
