package trie

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// transfers makes blocks of ERC-20 transfers between accounts of a state that has as many balances as contracts.
type transfers struct {
	r         *rand.Rand
	token     felt.Felt
	sequencer felt.Felt
	keys      []felt.Felt // of the balances
	accounts  []felt.Felt
	n         uint64
}

func newTransfers(leaves int) *transfers {
	x := &transfers{r: rand.New(rand.NewPCG(1, 2)), token: felt.FromUint64(77)}
	random := func() felt.Felt {
		var buf [32]byte
		for i := range buf {
			buf[i] = byte(x.r.Uint32())
		}
		buf[0] &= 7
		return felt.Reduce(buf[:])
	}
	for range leaves {
		x.keys, x.accounts = append(x.keys, random()), append(x.accounts, random())
	}
	x.sequencer = random()
	return x
}

// genesis feeds the state in parts.
func (x *transfers) genesis(apply func(*Diff) error) error {
	const part = 1 << 14
	for at := 0; at < len(x.keys); at += part {
		end := min(at+part, len(x.keys))
		token := Storage{Address: x.token}
		var contracts []Entry
		for i := at; i < end; i++ {
			token.Entries = append(token.Entries, Entry{x.keys[i], felt.FromUint64(1e9)})
			contracts = append(contracts, Entry{x.accounts[i], felt.FromUint64(5)})
		}
		if err := apply(&Diff{Storage: []Storage{token}, Contracts: contracts}); err != nil {
			return err
		}
	}
	return nil
}

func (x *transfers) block(n int) *Diff {
	x.n++
	var d Diff
	seen := map[int]bool{}
	pick := func() int {
		for {
			if i := x.r.IntN(len(x.keys)); !seen[i] {
				seen[i] = true
				return i
			}
		}
	}
	token := Storage{Address: x.token}
	for range n {
		from, to := pick(), pick()
		for _, i := range []int{from, to} {
			token.Entries = append(token.Entries, Entry{x.keys[i], felt.FromUint64(1e9 + x.n)})
		}
		d.Nonces = append(d.Nonces, Entry{x.accounts[from], felt.FromUint64(x.n)})
	}
	token.Entries = append(token.Entries, Entry{x.sequencer, felt.FromUint64(x.n)})
	d.Storage = []Storage{token, {Address: felt.One(), Entries: []Entry{{felt.FromUint64(x.n), felt.FromUint64(x.n)}}}}
	return &d
}

func BenchmarkBlock(b *testing.B) {
	for _, leaves := range []int{1 << 10, 1 << 17} {
		b.Run(felt.FromUint64(uint64(leaves)).Big().String(), func(b *testing.B) { benchmarkBlock(b, leaves) })
	}
}

func BenchmarkBlockMillion(b *testing.B) { benchmarkBlock(b, 1<<20) }

func benchmarkBlock(b *testing.B, leaves int) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	x := newTransfers(leaves)
	state := NewState(NewMemory())
	err := x.genesis(func(d *Diff) error { _, err := state.Apply(d); return err })
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	var blocks []*Diff
	for range 64 {
		blocks = append(blocks, x.block(min(1000, leaves/2)))
	}
	i := 0
	for b.Loop() {
		if _, err := state.Apply(blocks[i%len(blocks)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
	_ = slices.Clip(blocks)
}
