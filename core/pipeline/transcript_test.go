package pipeline

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// env is the world around one machine: a real pool, and stages that answer when the transcript says so, or by themselves
// when they are named in `auto`.
type env struct {
	t       *testing.T
	pool    *mempool.Pool
	m       *Machine
	now     uint64
	auto    map[string]bool
	unheard uint64 // events that consensus has not answered
	seq     uint64
	builds  map[uint64]*build
	work    []Command // for the automatic stages
	last    *ordov1.ConsensusEvent_Built
	out     strings.Builder
	err     error
}

type build struct {
	context *ordov1.BlockContext
	items   []Item
	ran     []*ordov1.TransactionResult
	n       uint64
	seal    HashHeader
}

// Names are short strings left in the bytes of hashes and addresses: account "a", its transaction of nonce 3 "a/3".
func key(name string) []byte {
	k := make([]byte, 32)
	copy(k[32-len(name):], name)
	return k
}

func name(k []byte) string { return strings.TrimLeft(string(k), "\x00") }

func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		e := &env{t: t}
		datadriven.RunTest(t, path, e.run)
	})
}

func (e *env) run(t *testing.T, d *datadriven.TestData) string {
	number := func(key string, fallback uint64) uint64 {
		if d.HasArg(key) {
			d.ScanArgs(t, key, &fallback)
		}
		return fallback
	}
	text := func(key string) (s string) {
		if d.HasArg(key) {
			d.ScanArgs(t, key, &s)
		}
		return s
	}
	list := func(key string) (all []string) {
		for _, a := range d.CmdArgs {
			if a.Key == key {
				all = append(all, a.Vals...)
			}
		}
		return all
	}
	e.out.Reset()
	e.now = number("at", e.now)
	switch d.Cmd {
	case "start":
		*e = env{t: t, now: 1000, pool: mempool.New(mempool.Options{}), builds: map[uint64]*build{}, auto: map[string]bool{}}
		for _, stage := range list("auto") {
			e.auto[stage] = true
		}
		head := Head{Height: number("height", 0), Timestamp: number("timestamp", 0), Hashes: map[uint64][]byte{}}
		head.Accepted = number("rooted", head.Height)
		for h := range head.Accepted + 1 {
			head.Hashes[h] = fmt.Appendf(nil, "hash-%d", h)
		}
		for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
			e.before(&head, strings.Fields(line))
		}
		var out []Command
		e.m, out = New(Options{Arrival: d.HasArg("arrival"), Proposals: d.HasArg("proposals"), Chunk: int(number("chunk", 0)), Window: int(number("window", 0)),
			MaxCommits: int(number("max-commits", 0)), Journaled: d.HasArg("journaled"), Template: template}, e.pool, e.now, head)
		e.carryOut(out)
	case "submit":
		for _, line := range strings.Fields(d.Input) {
			// a/3 or a/3:7 with a tip, or bare+ for one that the policy did not score
			line, bare := strings.CutSuffix(line, "+")
			line, tip, _ := strings.Cut(line, ":")
			e.submit(line, tip, bare)
		}
		e.step(PoolChanged{})
	case "consensus":
		e.consensus(d.Input)
	case "timer":
		kind, id := ConsensusTimer, number("id", 0)
		for _, k := range []TimerKind{DeadlineTimer, IdleTimer, RetryTimer} {
			if d.HasArg(string(k)) {
				kind, id = k, number("build", 0)
			}
		}
		e.step(TimerFired{TimerID{kind, id}})
	case "create-block":
		e.step(BlockRequested{})
	case "drain":
		e.step(Drain{})
	case "results":
		e.results(number("build", 1), int(number("n", 1000)), list("rejected"), int(number("first", 1<<32)))
	case "full":
		b := e.builds[number("build", 1)]
		e.step(Full{number("build", 1), number("n", uint64(len(b.ran))), "500 transactions"})
	case "closed":
		if e.builds[number("build", 1)] == nil {
			return "no such build\n"
		}
		e.closed(number("build", 1))
	case "header-hashed":
		e.sealed(number("build", 1))
	case "failed":
		e.step(BuildFailed{number("build", 1), text("why"), d.HasArg("away")})
	case "checked":
		e.step(Checked{Build: number("build", 1), Invalid: text("invalid")})
	case "stage-down":
		for _, a := range d.CmdArgs {
			if stage, ok := stages[a.Key]; ok {
				e.lost(StageDown{stage, "killed", d.HasArg("shared"), d.HasArg("forced")})
			}
		}
	case "stage-up":
		for _, a := range d.CmdArgs {
			if stage, ok := stages[a.Key]; ok {
				e.back(stage, number("head", e.m.committed), text("block"))
			}
		}
	case "adopted":
		e.step(Adopted{number("height", e.m.committed)})
	case "persisted":
		e.step(Persisted{})
	case "order-persisted":
		e.step(OrderPersisted{number("build", 1), int(number("n", 1))})
	case "no-room":
		e.step(NoRoom{"no space left"})
	case "applied":
		e.step(Applied{number("height", 1)})
	case "committed":
		e.step(Committed{number("height", 1)})
	case "root-computed":
		h := number("height", 1)
		e.step(RootComputed{&ordov1.Root{Height: h, BlockHash: fmt.Appendf(nil, "hash-%d", h)}})
	case "show":
		for _, entry := range e.pool.Snapshot() {
			fmt.Fprintf(&e.out, "%s: %s\n", name(entry.Hash[:]), e.pool.State(entry))
		}
		fmt.Fprintf(&e.out, "height=%d settled=%v\n", e.m.Height(), e.m.Settled())
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
	for len(e.work) > 0 && e.err == nil {
		c := e.work[0]
		e.work = e.work[1:]
		e.answerItself(c)
	}
	if e.err != nil {
		fmt.Fprintf(&e.out, "FAULT %v\n", e.err)
	}
	return e.out.String()
}

// before sets what a restart found: `pool a/0 b/0`, `decided time=1 value=.. a/0`, `order time=2 b/0`, `log vote`.
func (e *env) before(head *Head, fields []string) {
	if len(fields) == 0 {
		return
	}
	c, value := template(e.now), ""
	c.Number = head.Height + uint64(len(head.Decided)) + 1
	var items []Item
	for _, f := range fields[1:] {
		k, v, valued := strings.Cut(f, "=")
		switch {
		case k == "time":
			fmt.Sscan(v, &c.Timestamp)
		case k == "value":
			value = strings.ReplaceAll(v, "_", " ")
		case valued:
			e.t.Fatalf("unknown %q", f)
		case fields[0] == "pool":
			e.submit(f, "", false)
		case fields[0] == "log":
			head.Log = []byte(f)
		case fields[0] == "theirs":
			items = append(items, Item{Tx: transaction(e.t, f, "")})
		case e.pool.Get(mempool.Key(key(f))) != nil:
			items = append(items, Item{Tx: e.pool.Get(mempool.Key(key(f))).Tx})
		}
	}
	switch fields[0] {
	case "decided":
		head.Decided = append(head.Decided, Decided{Context: c, Items: items, Value: []byte(value), Certificate: []byte("signed")})
	case "theirs": // decided, proposed by another node
		head.Decided = append(head.Decided, Decided{Context: c, Items: items, Value: []byte(value), Certificate: []byte("signed"), FromPeer: true})
	case "order":
		head.Order = &Order{Context: c, Items: items}
	}
}

var stages = map[string]ordov1.Stage{"ordering": ordov1.Stage_STAGE_ORDERING, "execution": ordov1.Stage_STAGE_EXECUTION,
	"storage": ordov1.Stage_STAGE_STORAGE, "consensus": ordov1.Stage_STAGE_CONSENSUS}

// lost: what the stage was asked will not be answered.
func (e *env) lost(in StageDown) {
	if in.Stage == ordov1.Stage_STAGE_CONSENSUS {
		e.seq, e.unheard = 0, 0
	}
	e.step(in)
}

// back: storage holds block head; its hash is what the machine decided unless the transcript says otherwise.
func (e *env) back(stage ordov1.Stage, head uint64, block string) {
	in := StageUp{Stage: stage, Arrival: e.m.options.Arrival, Proposals: e.m.options.Proposals, Head: head, Block: []byte(block)}
	if block == "" {
		in.Block = e.m.block
		for _, c := range e.m.pending {
			if c.Height == head {
				in.Block = c.Header.PartialHash
			}
		}
	}
	e.step(in)
}

func template(nowMs uint64) *ordov1.BlockContext {
	return &ordov1.BlockContext{Timestamp: nowMs / 1000, StarknetVersion: "0.14.4", Sequencer: key("us")}
}

func (e *env) submit(tx, tip string, bare bool) {
	if _, _, err := e.pool.Add(time.UnixMilli(int64(e.now)), transaction(e.t, tx, tip), nil, 0); err != nil {
		fmt.Fprintf(&e.out, "%s: %v\n", tx, err)
	}
	if bare {
		e.pool.RankByArrival(e.pool.Unscored(100))
		return
	}
	var scores []mempool.Score
	for _, entry := range e.pool.Unscored(100) {
		scores = append(scores, mempool.Score{Entry: entry, Hi: entry.Tx.Tip})
	}
	e.pool.Rank(scores, 0)
}

// transaction makes a/3, signed, or message/1 from L1.
func transaction(t *testing.T, name, tip string) *ordov1.Transaction {
	sender, n, _ := strings.Cut(name, "/")
	nonce, ok := new(big.Int).SetString(n, 10)
	bid, _ := new(big.Int).SetString("0"+tip, 10)
	if !ok {
		t.Fatalf("bad transaction %q", name)
	}
	tx := &ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Hash: key(name), Sender: key(sender), Nonce: nonce.Bytes(), Tip: bid.Uint64(),
		ResourceBounds: &ordov1.ResourceBounds{L2GasPrice: []byte{1}}, Signature: []byte("signed by " + sender)}
	if sender == "message" {
		tx.Type, tx.Signature = ordov1.TransactionType_L1_HANDLER, nil
	}
	return tx
}

// consensus answers all open events: the last with the actions in the input, the others with none. When none is open, a
// timer of its own makes one.
func (e *env) consensus(input string) {
	if e.unheard == 0 {
		e.step(TimerFired{TimerID{ConsensusTimer, 0}})
	}
	for ; e.unheard > 1; e.unheard-- {
		e.seq++
		e.step(Answered{&ordov1.Actions{Seq: e.seq}})
	}
	actions := &ordov1.Actions{}
	for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
		if strings.HasPrefix(line, "seq ") {
			fmt.Sscanf(line, "seq %d", &actions.Seq)
			continue
		}
		if line != "" {
			actions.Actions = append(actions.Actions, e.action(line))
		}
	}
	if actions.Seq == 0 {
		e.seq++
		e.unheard--
		actions.Seq = e.seq
	}
	e.step(Answered{actions})
}

func (e *env) action(line string) *ordov1.Action {
	fields := strings.Fields(line)
	args := map[string]uint64{}
	texts := map[string]string{}
	for _, f := range fields[1:] {
		k, v, valued := strings.Cut(f, "=")
		if !valued {
			args[k] = 1
			continue
		}
		texts[k] = v
		n, _ := new(big.Int).SetString(v, 10)
		if n != nil {
			args[k] = n.Uint64()
		}
	}
	value := []byte(strings.ReplaceAll(texts["value"], "_", " "))
	switch fields[0] {
	case "build":
		return &ordov1.Action{Action: &ordov1.Action_Build_{Build: &ordov1.Action_Build{Attempt: args["attempt"], Round: uint32(args["round"]),
			DeadlineMs: uint32(args["deadline"]), IdleMs: uint32(args["idle"]), MaxTransactions: uint32(args["max"]), AllowEmpty: args["empty"] > 0, ReuseAttempt: args["reuse"]}}}
	case "seal":
		return &ordov1.Action{Action: &ordov1.Action_Seal_{Seal: &ordov1.Action_Seal{Attempt: args["attempt"]}}}
	case "abandon":
		return &ordov1.Action{Action: &ordov1.Action_Abandon_{Abandon: &ordov1.Action_Abandon{Attempt: args["attempt"]}}}
	case "decide":
		if len(value) == 0 && e.last != nil {
			value = e.last.Value
		}
		return &ordov1.Action{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{Attempt: args["attempt"], Value: value}}}
	case "validate":
		// txs=a/0,b/0 are the transactions, n how many count; a/0! comes without its signature, message/1 is from L1; lie=price and so on
		p := &ordov1.Proposal{Context: template(e.now), N: args["n"]}
		p.Context.Number = e.m.Height()
		if args["number"] > 0 {
			p.Context.Number = args["number"]
		}
		if args["time"] > 0 {
			p.Context.Timestamp = args["time"]
		}
		for _, tx := range strings.Split(texts["txs"], ",") {
			if tx != "" {
				tx, bare := strings.CutSuffix(tx, "!")
				t := transaction(e.t, tx, "")
				if bare {
					t.Signature = nil
				}
				p.Transactions = append(p.Transactions, t)
			}
		}
		switch texts["lie"] {
		case "sequencer":
			p.Context.Sequencer = key("me")
		case "price":
			p.Context.L2Gas = &ordov1.GasPrice{Fri: []byte{9}}
		case "da":
			p.Context.BlobDa = !p.Context.BlobDa
		case "version":
			p.Context.StarknetVersion = "0.13.1"
		case "unknown":
			p.Context.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 1})
		}
		b, err := proto.Marshal(p)
		if err != nil {
			e.t.Fatal(err)
		}
		if args["garbage"] > 0 {
			b = []byte("\xff\xff")
		}
		return &ordov1.Action{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{Attempt: args["attempt"], Proposal: b, Value: value}}}
	case "timer":
		return &ordov1.Action{Action: &ordov1.Action_SetTimer_{SetTimer: &ordov1.Action_SetTimer{Id: args["id"], AfterMs: uint32(args["after"])}}}
	case "cancel":
		return &ordov1.Action{Action: &ordov1.Action_CancelTimer_{CancelTimer: &ordov1.Action_CancelTimer{Id: args["id"]}}}
	case "persist":
		return &ordov1.Action{Action: &ordov1.Action_Persist_{Persist: &ordov1.Action_Persist{Data: []byte(texts["data"])}}}
	case "send":
		return &ordov1.Action{Action: &ordov1.Action_Send_{Send: &ordov1.Action_Send{To: texts["to"], Data: []byte(texts["data"])}}}
	}
	e.t.Fatalf("unknown action %q", line)
	return nil
}

func (e *env) results(id uint64, n int, rejected []string, first int) {
	b := e.builds[id]
	if b == nil {
		fmt.Fprintf(&e.out, "no build %d\n", id)
		return
	}
	n = min(n, len(b.items)-len(b.ran))
	r := &ordov1.BuildResponse_Results{First: uint64(min(first, len(b.ran)))}
	for _, item := range b.items[len(b.ran):][:n] {
		result := &ordov1.TransactionResult{Hash: item.Tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED}
		if item.Tx.Type == ordov1.TransactionType_INVOKE && len(item.Tx.Signature) == 0 {
			result.Status, result.Refusal, result.Reason = ordov1.TransactionResult_REJECTED, ordov1.Refusal_VALIDATION_FAILURE, "no signature"
		} else if slices.Contains(rejected, name(item.Tx.Hash)) {
			result.Status, result.Refusal, result.Reason = ordov1.TransactionResult_REJECTED, ordov1.Refusal_INSUFFICIENT_BALANCE, "balance too low"
		} else if before := "no"; slices.ContainsFunc(append(b.ran, r.Results...), func(o *ordov1.TransactionResult) bool {
			before, _, _ = strings.Cut(name(o.Hash), "/")
			sender := name(item.Tx.Sender)
			return o.Status == ordov1.TransactionResult_REJECTED && before == sender
		}) {
			result.Status, result.Refusal, result.Reason = ordov1.TransactionResult_REJECTED, ordov1.Refusal_INVALID_NONCE, "nonce ahead"
		}
		r.Results = append(r.Results, result)
	}
	b.ran = append(b.ran, r.Results...)
	e.step(Executed{id, r})
}

func (e *env) closed(id uint64) {
	b := e.builds[id]
	nonces := map[string]uint64{}
	for i, r := range b.ran[:b.n] {
		if r.Status != ordov1.TransactionResult_REJECTED {
			n, _ := mempool.Nonce(b.items[i].Tx.Nonce)
			nonces[name(b.items[i].Tx.Sender)] = n + 1
		}
	}
	diff := &ordov1.StateDiff{}
	for sender, n := range nonces {
		diff.Nonces = append(append(diff.Nonces, key(sender)...), new(big.Int).SetUint64(n).FillBytes(make([]byte, 32))...)
	}
	e.step(Closed{id, &ordov1.BuildResponse_Closed{N: b.n, StateDiff: diff}})
}

// sealed gives blocks readable values: number, time and transactions.
func (e *env) sealed(id uint64) {
	s := e.builds[id].seal
	header := proto.Clone(s.Draft).(*ordov1.BlockHeader)
	header.PartialHash = fmt.Appendf(nil, "%d@%d[%s]", header.Context.Number, header.Context.Timestamp, names(s.Items))
	e.step(HeaderHashed{id, header})
}

func names(items []Item) string {
	var all []string
	for _, item := range items {
		all = append(all, name(item.Tx.Hash))
	}
	return strings.Join(all, " ")
}

func (e *env) step(in Input) {
	out, err := e.m.Step(e.now, in)
	e.carryOut(out)
	if err != nil {
		e.err = err
	}
}

// answerItself plays a stage that does its work at once.
func (e *env) answerItself(c Command) {
	switch c := c.(type) {
	case Add:
		e.results(c.Build, 1000, nil, 1<<32)
	case Close:
		e.closed(c.Build)
	case HashHeader:
		e.sealed(c.Build)
	case Check:
		e.step(Checked{Build: c.Build})
	case Apply:
		e.step(Applied{c.Height})
	case Adopt:
		e.step(Adopted(c))
	case Commit:
		e.step(Committed{c.Height})
		if e.auto["root"] {
			e.step(RootComputed{&ordov1.Root{Height: c.Height, BlockHash: fmt.Appendf(nil, "hash-%d", c.Height)}})
		}
	case Tell: // a solo protocol: build when there is something, decide at once
		e.unheard--
		e.seq++
		actions := &ordov1.Actions{Seq: e.seq}
		switch event := c.Event.Event.(type) {
		case *ordov1.ConsensusEvent_Ready_:
			actions.Actions = append(actions.Actions, e.action("build attempt=1"), e.action("seal attempt=1"))
		case *ordov1.ConsensusEvent_Built_:
			e.last = event.Built
			actions.Actions = append(actions.Actions, e.action("decide attempt=1"))
		}
		e.step(Answered{actions})
	}
}
