package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

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
		*e = env{t: t, now: 1000, pool: mempool.New(mempool.Options{}), builds: map[uint64]*build{}, auto: map[string]bool{}, lazy: d.HasArg("lazy")}
		for _, stage := range list("auto") {
			e.auto[stage] = true
		}
		head := Head{Height: number("height", 0), Timestamp: number("timestamp", 0), Hashes: map[uint64][]byte{}}
		if d.HasArg("block") { // partial hash of the head
			head.Block = []byte(text("block"))
		}
		head.Accepted = number("accepted", head.Height)
		for h := range head.Accepted + 1 {
			head.Hashes[h] = fmt.Appendf(nil, "hash-%d", h)
		}
		for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
			e.before(&head, strings.Fields(line))
		}
		var out []Command
		e.m, out = New(Options{Capabilities: abilities(d.HasArg("arrival"), d.HasArg("proposals")), Chunk: int(number("chunk", 0)), Window: int(number("window", 0)),
			MaxCommits: int(number("max-commits", 0)), Journaled: d.HasArg("journaled"), Template: template,
			Network: keeping(network(list("validators"), text("self")), number("kept-bytes", 0)), Proposals: Tolerance{PricePercent: number("price-percent", 0)},
			Lazy: e.lazy, ChainID: "C", Order: OrderLimits{Transactions: int(number("order-transactions", 0)), Gas: number("order-gas", 0)}}, e.pool, e.now, head)
		if d.HasArg("engine") {
			e.m.capabilities.engine = true
		}
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
		e.consensus(d.Input, d.HasArg("oldest"))
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
		e.headerHashed(number("build", 1))
	case "build-failed":
		e.step(BuildFailed{number("build", 1), text("why"), d.HasArg("away")})
	case "fetched": // the body as `validate` writes it; nothing: no peer has it
		body := []byte{}
		if d.Input != "" {
			body = e.action("body " + d.Input).GetValidate().Proposal
		}
		e.step(Fetched{number("build", 1), body})
	case "unasked": // an engine acts by itself
		actions := &ordov1.Actions{}
		for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
			actions.Actions = append(actions.Actions, e.action(line))
		}
		e.step(Answered{actions})
	case "learned": // time=1 value=1@1[q/0] q/0
		head := Head{Height: e.m.Height() - 1}
		e.before(&head, append([]string{"theirs"}, strings.Fields(d.Input)...))
		e.step(Learned{number("height", e.m.Height()), !d.HasArg("unproven"), head.Decided[0]})
	case "delivered":
		e.step(Delivered{[]byte(text("from")), []byte(text("data"))})
	case "checked":
		e.step(Checked{Build: number("build", 1), Invalid: text("invalid")})
	case "stage-down":
		for _, a := range d.CmdArgs {
			if stage, ok := stages[a.Key]; ok {
				e.stageDown(StageDown{stage, "killed", d.HasArg("shared"), d.HasArg("forced")})
			}
		}
	case "stage-up":
		for _, a := range d.CmdArgs {
			if stage, ok := stages[a.Key]; ok {
				e.stageUp(stage, number("head", e.m.storage.committed), text("block"))
			}
		}
	case "adopted":
		e.step(Adopted{number("height", e.m.storage.committed)})
	case "recorded":
		e.step(DecisionRecorded{number("height", e.m.Height())})
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

// before sets what a restart found: `pool a/0 b/0`, `decided time=1 value=.. a/0`, `order time=2 b/0`, `log vote`, `guard vote`, `state term-3`.
func (e *env) before(head *Head, fields []string) {
	if len(fields) == 0 {
		return
	}
	c, value, parent, rest := template(e.now), "", head.Block, []byte(nil)
	if e.m != nil {
		parent = e.m.parentResult()
	}
	c.Number = head.Height + uint64(len(head.Decided)) + 1
	var items []Item
	for _, f := range fields[1:] {
		k, v, valued := strings.Cut(f, "=")
		switch {
		case k == "time":
			fmt.Sscan(v, &c.Timestamp)
		case k == "parent": // as an order names it
			parent = []byte(v)
		case k == "rest": // of an order: transactions that did not come with it
			rest = appendDigests(rest, []Item{{Tx: transaction(e.t, v, "")}})
		case k == "value":
			value = strings.ReplaceAll(v, "_", " ")
		case valued:
			e.t.Fatalf("unknown %q", f)
		case fields[0] == "pool":
			e.submit(f, "", false)
		case fields[0] == "log":
			head.Log = appendRecord(head.Log, recordWrite, []byte(f))
		case fields[0] == "guard": // of kind 1, round 0
			head.Log = appendRecord(head.Log, guardWrite, appendGuard(&ordov1.Action_Sign{Kind: 1, Data: []byte(f)}))
		case fields[0] == "body": // of a proposal that this node had published or found valid
			head.Log = appendRecord(head.Log, bodyWrite, appendBody([]byte(f), []byte("a body")))
		case fields[0] == "state":
			head.State = []byte(f)
		case fields[0] == "theirs":
			f, bare := strings.CutSuffix(f, "!")
			tx := transaction(e.t, f, "")
			if bare {
				tx.Signature = nil
			}
			items = append(items, Item{Tx: tx})
		case e.pool.Get(mempool.Key(key(f))) != nil:
			items = append(items, Item{Tx: e.pool.Get(mempool.Key(key(f))).Tx})
		}
	}
	if e.lazy && value == "" {
		value = string(orderValue("C", c, parent, items, rest))
	}
	switch fields[0] {
	case "decided":
		head.Decided = append(head.Decided, Decided{Context: c, Items: items, Value: []byte(value), Certificate: []byte("signed"), Parent: parent, Rest: rest})
	case "theirs": // decided, proposed by another node
		head.Decided = append(head.Decided, Decided{Context: c, Items: items, Value: []byte(value), Certificate: []byte("signed"), FromPeer: true, Parent: parent, Rest: rest})
	case "order":
		head.Order = &Order{Context: c, Items: items}
	}
}

var stages = map[string]ordov1.Stage{"ordering": ordov1.Stage_STAGE_ORDERING, "execution": ordov1.Stage_STAGE_EXECUTION,
	"storage": ordov1.Stage_STAGE_STORAGE, "consensus": ordov1.Stage_STAGE_CONSENSUS}

// stageDown ends a stage: what it was asked will not be answered.
func (e *env) stageDown(in StageDown) {
	if in.Stage == ordov1.Stage_STAGE_CONSENSUS {
		e.seq, e.unheard = 0, 0
	}
	e.step(in)
}

// stageUp brings a stage back: storage holds block head; its hash is what the machine decided unless the transcript says otherwise.
func (e *env) stageUp(stage ordov1.Stage, head uint64, block string) {
	in := StageUp{Stage: stage, Capabilities: abilities(e.m.capabilities.arrival, e.m.capabilities.proposals)[stage], Head: head, Block: []byte(block)}
	if block == "" {
		in.Block = e.m.storage.block
		for _, c := range e.m.storage.pending {
			if c.Height == head {
				in.Block = c.Header.PartialHash
			}
		}
	}
	e.step(in)
}

// keeping bounds the bodies that are kept; 0: the default.
func keeping(n Network, bytes uint64) Network {
	n.KeptBytes = int(bytes)
	return n
}
