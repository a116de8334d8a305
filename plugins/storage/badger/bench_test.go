//go:build unix

package badger

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// transferBlocks are blocks of 1,000 transfers between distinct accounts on a token: 2,000 balances,
// a fee token's 1,001, and 1,000 nonces each.
type transferBlocks struct {
	r        *rand.Rand
	n        uint64
	accounts uint64
	oneToken bool
	key      func(i uint64) felt.Felt
}

func (x *transferBlocks) next() *block {
	token, fees, nonces := pairMap{}, pairMap{}, pairMap{}
	value := felt.FromUint64(x.n + 1)
	for i := range uint64(2000) {
		token[x.key(x.r.Uint64N(x.accounts))] = value
		if i < 1000 {
			if !x.oneToken {
				fees[x.key(x.r.Uint64N(x.accounts))] = value
			}
			nonces[x.key(x.r.Uint64N(x.accounts))] = value
		}
	}
	b := &block{diff: &ordov1.StateDiff{Nonces: nonces.pack(), Storage: []*ordov1.ContractStorage{
		{Address: felt.FromUint64(100).Append(nil), Entries: token.pack()}}}}
	if !x.oneToken {
		b.diff.Storage = append(b.diff.Storage, &ordov1.ContractStorage{Address: felt.FromUint64(200).Append(nil), Entries: fees.pack()})
	}
	for i := range uint64(1000) {
		hash := felt.FromUint64(x.n<<20 + i).Append(nil)
		b.transactions = append(b.transactions, &ordov1.Transaction{Hash: hash, Sender: hash, Calldata: hash, Signature: hash})
		b.results = append(b.results, &ordov1.TransactionResult{Hash: hash, Status: ordov1.TransactionResult_SUCCEEDED,
			Events: []*ordov1.Event{{FromAddress: hash, Keys: hash, Data: hash}, {FromAddress: hash, Keys: hash, Data: hash}}})
	}
	seal(b, x.n)
	x.n++
	return b
}

func newTransferBlocks() *transferBlocks {
	return &transferBlocks{r: rand.New(rand.NewPCG(1, 2)), accounts: 1 << 17, key: func(i uint64) felt.Felt {
		return felt.FromUint64(i + 1).Mul(felt.MustHex("0x1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcd")).Mul(felt.FromUint64(i ^ 0x55555))
	}}
}

// small keeps a key below 2^251: the few above would be refused.
func small(x *transferBlocks) *transferBlocks {
	wide := x.key
	x.key = func(i uint64) felt.Felt {
		b := wide(i).Bytes()
		b[0] &= 7
		return felt.Reduce(b[:])
	}
	return x
}

// BenchmarkCommit is one block of 1,000 transfers, in CPU time of the process: the commit alone, with the roots held back,
// and then its root. The accounts are drawn from so many; what proofs of past blocks need is kept, or not.
func BenchmarkCommit(b *testing.B) {
	for _, accounts := range []uint64{200, 1 << 17} {
		for _, blocks := range []int{1, 16} {
			b.Run(fmt.Sprintf("accounts=%d/proof_blocks=%d", accounts, blocks), func(b *testing.B) {
				o := DefaultOptions()
				o.MaxLag, o.ProofBlocks = 1<<30, blocks
				s := open(b, b.TempDir(), o)
				x := small(newTransferBlocks())
				x.accounts = accounts
				benchmarkCommit(b, s, x)
			})
		}
	}
}

// BenchmarkCommitMillion has 2^20 accounts, all of them holders of one token, which also pays the fees.
func BenchmarkCommitMillion(b *testing.B) {
	dir, o := b.TempDir(), DefaultOptions()
	o.MaxLag, o.History, o.SyncWrites = 2, false, false
	s, err := Open(dir, o)
	if err != nil {
		b.Fatal(err)
	}
	x := small(newTransferBlocks())
	x.accounts, x.oneToken = 1<<20, true
	const part = 1 << 15
	for at := uint64(0); at < x.accounts; at += part {
		token, nonces := pairMap{}, pairMap{}
		for i := at; i < at+part; i++ {
			token[x.key(i)], nonces[x.key(i)] = felt.FromUint64(1), felt.FromUint64(1)
		}
		g := &block{diff: &ordov1.StateDiff{Nonces: nonces.pack(), Storage: []*ordov1.ContractStorage{
			{Address: felt.FromUint64(100).Append(nil), Entries: token.pack()}}}}
		seal(g, x.n)
		x.n++
		commitAll(b, s, g)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	o = DefaultOptions()
	o.MaxLag = 1 << 30
	benchmarkCommit(b, open(b, dir, o), x)
}

func benchmarkCommit(b *testing.B, s *Store, x *transferBlocks) {
	blocks := make([]*block, b.N+20)
	for i := range blocks {
		blocks[i] = x.next()
	}
	rooted := func() {
		for now, changed, err := s.snapshot(); now.rooted < now.blocks; now, changed, err = s.snapshot() {
			if err != nil {
				b.Fatal(err)
			}
			<-changed
		}
	}
	commitAll(b, s, blocks[:20]...)
	rooted()
	blocks = blocks[20:]
	b.ResetTimer()
	s.roots.mu.Lock()
	start, clock := cpuTime(b), time.Now()
	commitAll(b, s, blocks...)
	took := time.Since(clock)
	committed := cpuTime(b)
	s.roots.mu.Unlock()
	rooted()
	b.StopTimer()
	perBlock := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(perBlock(took), "commit-ms")
	b.ReportMetric(perBlock(committed-start), "commit-cpu-ms")
	b.ReportMetric(perBlock(cpuTime(b)-committed), "root-cpu-ms")
}

// cpuTime is what the process has used so far.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkMemory reports the resident memory of a plugin process: fresh, and after b.N blocks of 1,000 transfers.
func BenchmarkMemory(b *testing.B) {
	for _, accounts := range []uint64{200, 1 << 17} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) { benchmarkMemory(b, accounts) })
	}
}

func benchmarkMemory(b *testing.B, accounts uint64) {
	p := startProcess(b, shortDir(b), "", 1, "")
	client := ordov1.NewStorageClient(p.conn)
	report := func(when string) {
		status := string(must(os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))))
		for _, field := range []string{"RssAnon", "RssFile"} { // the kernel takes file pages back when it needs them
			_, rest, _ := strings.Cut(status, field+":")
			var kb float64
			_, _ = fmt.Sscan(rest, &kb)
			b.ReportMetric(kb/1024, "MB-"+field+"-"+when)
		}
	}
	report("fresh")
	x := small(newTransferBlocks())
	x.accounts = accounts
	for range b.N {
		if err := send(b.Context(), client, x.next()); err != nil {
			b.Fatal(err)
		}
	}
	report("after")
}

// BenchmarkProofs proves 100 balances of a token with 2^17 holders, in a store that was just opened, in CPU time of the process.
func BenchmarkProofs(b *testing.B) {
	dir, o := b.TempDir(), DefaultOptions()
	o.SyncWrites = false
	s, err := Open(dir, o)
	if err != nil {
		b.Fatal(err)
	}
	x := small(newTransferBlocks())
	token := pairMap{}
	for i := range x.accounts {
		token[x.key(i)] = felt.One()
	}
	g := &block{diff: &ordov1.StateDiff{Storage: []*ordov1.ContractStorage{{Address: felt.FromUint64(100).Append(nil), Entries: token.pack()}}}}
	seal(g, 0)
	commitAll(b, s, g)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	s = open(b, dir, o)
	start, nodes := cpuTime(b), 0
	for b.Loop() {
		var keys []felt.Felt
		for range 100 {
			keys = append(keys, x.key(x.r.Uint64N(x.accounts)))
		}
		out, err := s.Proofs(b.Context(), &ordov1.ProofsRequest{Storage: []*ordov1.StorageKeys{{Contract: g.diff.Storage[0].Address, Keys: felt.Pack(keys)}}})
		if err != nil || out.OutOfReach {
			b.Fatal(err, out)
		}
		nodes += len(out.Storage[0].Lengths) + len(out.Storage[0].Binary)/(3*feltSize)
	}
	b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/float64(b.N), "cpu-us/request")
	b.ReportMetric(float64(nodes)/(cpuTime(b)-start).Seconds(), "nodes/cpu-s")
}
