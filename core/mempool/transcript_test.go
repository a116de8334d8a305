package mempool

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Names in transcripts are short strings, left in the bytes: account "alice", transaction "alice/3".
func key(name string) (k Key) {
	copy(k[32-len(name):], name)
	return k
}

func name(k Key) string { return strings.TrimLeft(string(k[:]), "\x00") }

func transaction(name, sender string, nonce, tip, price uint64, kind ordov1.TransactionType) *ordov1.Transaction {
	hash, from := key(name), key(sender)
	return &ordov1.Transaction{
		Type: kind, Hash: hash[:], Sender: from[:], Nonce: new(big.Int).SetUint64(nonce).Bytes(), Tip: tip,
		ResourceBounds: &ordov1.ResourceBounds{L2GasAmount: 1, L2GasPrice: new(big.Int).SetUint64(price).FillBytes(make([]byte, 16))},
	}
}

// TestTranscripts runs testdata/*; `go test ./core/mempool -rewrite` writes what the pool really does.
func TestTranscripts(t *testing.T) {
	start := time.UnixMilli(0)
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		p := New(Options{})
		policy := "tip"
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			arg := func(key string, fallback uint64) uint64 {
				if d.HasArg(key) {
					d.ScanArgs(t, key, &fallback)
				}
				return fallback
			}
			text := func(key, fallback string) string {
				if d.HasArg(key) {
					d.ScanArgs(t, key, &fallback)
				}
				return fallback
			}
			at := func() time.Time { return start.Add(time.Duration(arg("at", 0)) * time.Second) }
			var out strings.Builder
			switch d.Cmd {
			case "pool":
				p = New(Options{MaxBytes: int(arg("max-bytes", 0)), AccountBytes: int(arg("account-bytes", 0)), TTL: time.Duration(arg("ttl", 0)) * time.Second})
				policy = text("policy", "tip")
				return ""
			case "add":
				from, nonce := text("from", "-"), arg("nonce", 0)
				kind := ordov1.TransactionType_INVOKE
				switch {
				case d.HasArg("deploy"):
					kind = ordov1.TransactionType_DEPLOY_ACCOUNT
				case d.HasArg("l1"):
					kind = ordov1.TransactionType_L1_HANDLER
				}
				tx := transaction(text("hash", fmt.Sprintf("%s/%d", from, nonce)), from, nonce, arg("tip", 0), arg("price", 100), kind)
				tx.Signature = make([]byte, arg("bytes", 0))
				_, dropped, err := p.Add(at(), tx, nil, arg("account", 0))
				describe(&out, dropped)
				if err != nil {
					fmt.Fprintf(&out, "error: %v\n", err)
				}
				if !d.HasArg("unscored") {
					score(p, policy, 0)
				}
			case "score":
				policy = text("policy", policy)
				if d.HasArg("dead") {
					p.RankByArrival(p.Unscored(1000))
					break
				}
				score(p, policy, arg("generation", 0))
			case "take":
				taken, degraded := p.Take(arg("lease", 1), int(arg("n", 100)))
				for _, e := range taken {
					fmt.Fprintf(&out, "%s ", name(e.Hash))
				}
				if degraded {
					out.WriteString("(degraded)")
				}
				out.WriteString("\n")
			case "lease":
				p.Lease(arg("lease", 1), keys(d, "txs"))
			case "rewind":
				p.Rewind(arg("lease", 1), int(arg("keep", 0)))
			case "expire":
				describe(&out, p.Expire(at()))
			case "commit-block", "reject":
				var refused []Rejected
				for _, k := range keys(d, "rejected") {
					refused = append(refused, Rejected{Hash: k, Code: ordov1.RejectionCode_INSUFFICIENT_BALANCE, Why: fmt.Errorf("balance too low")})
				}
				for _, k := range keys(d, "bad-nonce") {
					refused = append(refused, Rejected{Hash: k, Code: ordov1.RejectionCode_INVALID_NONCE, Why: fmt.Errorf("invalid nonce")})
				}
				nonces := map[Key]uint64{}
				for _, a := range d.CmdArgs {
					if who, ok := strings.CutPrefix(a.Key, "nonce-"); ok {
						nonces[key(who)] = arg(a.Key, 0)
					}
				}
				if d.Cmd == "reject" {
					describe(&out, p.Reject(refused))
				} else {
					describe(&out, p.CommitBlock(arg("height", 1), keys(d, "included"), refused, nonces))
				}
			case "deploying":
				fmt.Fprintln(&out, p.Deploying(key(text("from", ""))))
			case "show":
			default:
				t.Fatalf("unknown command %q", d.Cmd)
			}
			if err := invariants(p); err != nil {
				t.Fatalf("%s: %v", d.Pos, err)
			}
			if d.Cmd == "show" {
				show(&out, p)
			}
			return out.String()
		})
	})
}

func keys(d *datadriven.TestData, arg string) (all []Key) {
	for _, a := range d.CmdArgs {
		if a.Key == arg {
			for _, v := range a.Vals {
				all = append(all, key(v))
			}
		}
	}
	return all
}

// score ranks what waits for a rank: by tip, or all equal.
func score(p *Pool, policy string, generation uint64) {
	for more := true; more; {
		batch := p.Unscored(1000)
		more = len(batch) > 0 || generation > 0
		scores := make([]Score, len(batch))
		for i, e := range batch {
			scores[i].Entry = e
			switch policy {
			case "tip":
				scores[i].Hi = e.Tx.Tip
			case "lowest":
				scores[i].Hi = ^e.Tx.Tip
			}
		}
		p.Rank(scores, generation)
		generation = 0
	}
}

func describe(out *strings.Builder, dropped []Dropped) {
	lines := make([]string, len(dropped))
	for i, d := range dropped {
		lines[i] = fmt.Sprintf("dropped %s: %v\n", name(d.Hash), d.Why)
	}
	slices.Sort(lines)
	out.WriteString(strings.Join(lines, ""))
}

func show(out *strings.Builder, p *Pool) {
	for _, e := range p.Snapshot() {
		fmt.Fprintf(out, "%s: %s\n", name(e.Hash), p.State(e))
	}
	fmt.Fprintf(out, "len=%d waiting=%d ready=%d bytes=%d\n", p.Len(), p.Waiting(), p.Ready(), p.Bytes())
}
