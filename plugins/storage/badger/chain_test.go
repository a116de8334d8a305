package badger

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/trie"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// flat is a state in a map: what a store must answer. Keys are readable: "storage ADDRESS KEY", "class ADDRESS"..
type flat map[string]felt.Felt

// testChain makes blocks and knows, from maps and from starknet/trie alone, what every height must look like.
type testChain struct {
	r       *rand.Rand
	blocks  []*block
	states  []flat // after each block
	roots   []felt.Felt
	hashes  []felt.Felt
	tries   *trie.State
	classes uint64
}

func newTestChain(seed uint64) *testChain {
	return &testChain{r: rand.New(rand.NewPCG(seed, 77)), tries: trie.NewState(trie.NewMemory())}
}

func (c *testChain) head() flat {
	if len(c.states) == 0 {
		return flat{}
	}
	return c.states[len(c.states)-1]
}

type pairMap map[felt.Felt]felt.Felt

func (m pairMap) pack() []byte {
	var out []byte
	for _, k := range slices.SortedFunc(maps.Keys(m), felt.Felt.Cmp) {
		out = m[k].Append(k.Append(out))
	}
	return out
}

// grow appends a random block: contracts come, change class and nonce; slots come, change and go.
func (c *testChain) grow() *block {
	r, num := c.r, uint64(len(c.blocks))
	storage := map[felt.Felt]pairMap{}
	deployed, replaced, nonces, declared, migrated := pairMap{}, pairMap{}, pairMap{}, pairMap{}, pairMap{}
	address := func() felt.Felt { return felt.FromUint64(1 + r.Uint64N(8)) }
	state := maps.Clone(c.head())
	for range r.IntN(12) {
		a := address()
		if storage[a] == nil {
			storage[a] = pairMap{}
		}
		storage[a][felt.FromUint64(r.Uint64N(20))] = felt.FromUint64(r.Uint64N(4))
	}
	for range r.IntN(3) {
		a, class := address(), felt.FromUint64(1000+r.Uint64N(9))
		if _, known := state["class "+a.Hex()]; known {
			replaced[a] = class
		} else {
			deployed[a] = class
		}
	}
	for range r.IntN(3) {
		nonces[address()] = felt.FromUint64(1 + num)
	}
	var classes []*ordov1.Class
	var deprecated []byte
	if r.IntN(3) == 0 {
		c.classes++
		hash := felt.FromUint64(5000 + c.classes)
		b := hash.Bytes()
		class := &ordov1.Class{Hash: b[:], Kind: ordov1.Class_SIERRA, Definition: bytes.Repeat([]byte(hash.Hex()), 400), Casm: []byte("casm of " + hash.Hex()),
			SierraVersion: "1.7.0"}
		if r.IntN(4) == 0 {
			class.Kind, class.Casm, class.SierraVersion = ordov1.Class_CAIRO0, nil, ""
			deprecated = hash.Append(nil)
		} else {
			declared[hash] = felt.FromUint64(9000 + c.classes)
			class.CompiledClassHash = declared[hash].Append(nil)
		}
		classes = append(classes, class)
	}
	if c.classes > 0 && r.IntN(6) == 0 {
		hash := felt.FromUint64(5000 + 1 + r.Uint64N(c.classes))
		if _, known := state["compiled "+hash.Hex()]; known {
			migrated[hash] = felt.FromUint64(20000 + num)
		}
	}
	d := &ordov1.StateDiff{Deployed: deployed.pack(), Replaced: replaced.pack(), Nonces: nonces.pack(), Declared: declared.pack(),
		Migrated: migrated.pack(), DeprecatedDeclared: deprecated}
	for _, a := range slices.SortedFunc(maps.Keys(storage), felt.Felt.Cmp) {
		d.Storage = append(d.Storage, &ordov1.ContractStorage{Address: a.Append(nil), Entries: storage[a].pack()})
	}
	b := &block{diff: d, classes: classes}
	for i := range r.IntN(4) {
		tx := testTransaction(address(), felt.FromUint64(num*10+uint64(i)), num, felt.One(), felt.FromUint64(r.Uint64()))
		b.transactions = append(b.transactions, tx)
		result := &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED, ActualFee: wire.FromUint128(starknet.Uint128{Lo: 5}),
			Gas: &ordov1.Gas{L2Gas: 77}}
		if r.IntN(5) == 0 {
			result.Status, result.Reason = ordov1.TransactionResult_REVERTED, "out of gas"
		}
		for range r.IntN(3) {
			result.Events = append(result.Events, &ordov1.Event{FromAddress: tx.Sender, Keys: felt.Pack([]felt.Felt{felt.One()})})
		}
		b.results = append(b.results, result)
	}
	if r.IntN(2) == 0 {
		b.certificate = []byte(fmt.Sprintf("certificate of block %d", num))
	}
	return c.append(b)
}

// testTransaction is an invoke with its true hash.
func testTransaction(sender, nonce felt.Felt, tip uint64, calldata ...felt.Felt) *ordov1.Transaction {
	tx := &ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Sender: sender.Append(nil), Nonce: nonce.Append(nil),
		Calldata: felt.Pack(calldata), Signature: felt.Pack([]felt.Felt{felt.One(), felt.Zero()}), Tip: tip,
		ResourceBounds: &ordov1.ResourceBounds{L2GasAmount: 1000, L2GasPrice: wire.FromUint128(starknet.Uint128{Lo: 3})}}
	tx.Hash = wire.FromFelt(must(wire.TransactionHash(tx, felt.MustShortString("SN_TEST"))))
	return tx
}

// append completes a block and applies it to the model.
func (c *testChain) append(b *block) *block {
	seal(b, uint64(len(c.blocks)))
	state := maps.Clone(c.head())
	for _, s := range b.diff.Storage {
		for k, v := range felt.Pairs(s.Entries) {
			state[name("storage", s.Address, k)] = f(v)
		}
	}
	for _, list := range [][]byte{b.diff.Deployed, b.diff.Replaced} {
		for a, v := range felt.Pairs(list) {
			state[name("class", a)] = f(v)
		}
	}
	for a, v := range felt.Pairs(b.diff.Nonces) {
		state[name("nonce", a)] = f(v)
	}
	for _, list := range [][]byte{b.diff.Declared, b.diff.Migrated} {
		for a, v := range felt.Pairs(list) {
			state[name("compiled", a)] = f(v)
		}
	}
	td, err := trieDiff(b.diff)
	if err != nil {
		panic(err)
	}
	roots, err := c.tries.Apply(td)
	if err != nil {
		panic(err)
	}
	parent := felt.Zero()
	if n := len(c.hashes); n > 0 {
		parent = c.hashes[n-1]
	}
	h, err := wire.Header(b.header)
	if err != nil {
		panic(err)
	}
	h.StateRoot, h.ParentHash = roots.Root(true), parent
	hash, err := h.Hash()
	if err != nil {
		panic(err)
	}
	c.blocks, c.states = append(c.blocks, b), append(c.states, state)
	c.roots, c.hashes = append(c.roots, h.StateRoot), append(c.hashes, hash)
	return b
}

// fork copies the chain up to a length, to continue differently.
func (c *testChain) fork(blocks int, seed uint64) *testChain {
	out := newTestChain(seed)
	out.classes = c.classes
	for _, b := range c.blocks[:blocks] {
		out.append(b)
	}
	return out
}

func f(b []byte) felt.Felt {
	v, err := felt.FromBytes(b)
	if err != nil {
		panic(err)
	}
	return v
}

func name(what string, parts ...[]byte) string {
	for _, p := range parts {
		what += " " + f(p).Hex()
	}
	return what
}

// seal hashes the header: it writes the header of a block whose parts are there, with true commitments.
func seal(b *block, num uint64) {
	price := &ordov1.GasPrice{Wei: wire.FromUint128(starknet.Uint128{Lo: 1}), Fri: wire.FromUint128(starknet.Uint128{Lo: 2})}
	diff := must(wire.StateDiff(b.diff))
	var signed []starknet.Signed
	var receipts []starknet.Receipt
	for i, t := range b.transactions {
		signed = append(signed, starknet.Signed{Hash: f(t.Hash), Signature: must(felt.Unpack(t.Signature))})
		receipts = append(receipts, must(wire.Receipt(b.results[i])))
	}
	b.header = &ordov1.BlockHeader{
		Context: &ordov1.BlockContext{Number: num, Timestamp: 1700000000 + num, Sequencer: felt.FromUint64(0x5e9).Append(nil), StarknetVersion: "0.14.1",
			L1Gas: price, L1DataGas: price, L2Gas: price, BlobDa: true},
		TransactionCount:      uint32(len(b.transactions)),
		EventCount:            uint32(starknet.EventCount(receipts)),
		StateDiffLength:       uint32(diff.Length()),
		TransactionCommitment: wire.FromFelt(starknet.TransactionCommitment(signed, starknet.V0_14_1)),
		EventCommitment:       wire.FromFelt(starknet.EventCommitment(receipts)),
		ReceiptCommitment:     wire.FromFelt(starknet.ReceiptCommitment(receipts)),
		StateDiffCommitment:   wire.FromFelt(diff.Commitment()),
	}
	h := must(wire.Header(b.header))
	b.header.PartialHash = wire.FromFelt(must(h.PartialHash()))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// ---- driving a store ----

func testOptions() Options {
	o := DefaultOptions()
	o.ChainID = "SN_TEST"
	o.SyncWrites = false
	o.MemTableSize = 8 << 20
	o.CheckpointEvery = 3
	return o
}

func open(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func commitAll(t testing.TB, s *Store, blocks ...*block) {
	t.Helper()
	for _, b := range blocks {
		if repeated, err := s.commit(t.Context(), b); err != nil || repeated {
			t.Fatalf("block %d: repeated %v, %v", b.num(), repeated, err)
		}
	}
}

// waitRoots waits until all blocks have their root and compares the last.
func waitRoots(t testing.TB, s *Store, c *testChain) {
	t.Helper()
	for {
		now, changed, err := s.snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if now.rooted == uint64(len(c.blocks)) {
			break
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("no root")
		}
	}
	checkRoots(t, s, c)
}

// checkRoots compares every stored root and hash with the model.
func checkRoots(t testing.TB, s *Store, c *testChain) {
	t.Helper()
	for num := range c.blocks {
		m, err := s.rootMessage(uint64(num))
		if err != nil || m == nil {
			t.Fatalf("root of block %d: %v, %v", num, m, err)
		}
		if f(m.StateRoot) != c.roots[num] || f(m.BlockHash) != c.hashes[num] {
			t.Fatalf("block %d: root 0x%x, hash 0x%x, want %s, %s", num, m.StateRoot, m.BlockHash, c.roots[num], c.hashes[num])
		}
	}
}

// checkState compares everything that the model knows with the store, at every height that must be readable.
func checkState(t testing.TB, s *Store, c *testChain, floor int) {
	t.Helper()
	head := len(c.blocks) - 1
	for height := -1; height <= head+1; height++ {
		r := &ordov1.StateRequest{AtHeight: height >= 0, Height: uint64(max(height, 0))}
		state := flat{}
		if height < 0 {
			state = c.head()
		} else if height <= head {
			state = c.states[height]
		}
		// Ask for every key that ever was, so that absent ones are asked for too.
		var want struct{ storage, nonces, classes, compiled []byte }
		for a := range uint64(10) {
			address := felt.FromUint64(a)
			r.Nonces, r.ClassHashes = address.Append(r.Nonces), address.Append(r.ClassHashes)
			want.nonces = state["nonce "+address.Hex()].Append(want.nonces)
			want.classes = state["class "+address.Hex()].Append(want.classes)
			for k := range uint64(21) {
				slot := felt.FromUint64(k)
				r.Storage = slot.Append(address.Append(r.Storage))
				want.storage = state["storage "+address.Hex()+" "+slot.Hex()].Append(want.storage)
			}
		}
		for k := range c.classes + 2 {
			class := felt.FromUint64(5000 + k)
			r.CompiledClassHashes = class.Append(r.CompiledClassHashes)
			want.compiled = state["compiled "+class.Hex()].Append(want.compiled)
		}
		got, err := s.State(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if height > head || height >= 0 && height < floor {
			if !got.NotFound {
				t.Fatalf("height %d of %d with floor %d is found", height, head, floor)
			}
			continue
		}
		if got.NotFound || !bytes.Equal(got.Storage, want.storage) || !bytes.Equal(got.Nonces, want.nonces) ||
			!bytes.Equal(got.ClassHashes, want.classes) || !bytes.Equal(got.CompiledClassHashes, want.compiled) {
			t.Fatalf("state at height %d of %d differs from the model (found: %v)", height, head, !got.NotFound)
		}
	}
}

// checkBlocks compares the stored blocks with those committed.
func checkBlocks(t testing.TB, s *Store, c *testChain) {
	t.Helper()
	v := s.eng.view()
	defer v.close()
	for num, want := range c.blocks {
		got, err := s.readBlock(v, uint64(num), parts{true, true, true, true})
		if err != nil || got == nil {
			t.Fatalf("block %d: %v, %v", num, got, err)
		}
		got.Header.StateRoot, got.Header.Hash, got.Header.ParentHash = nil, nil, nil
		all := &ordov1.Block{Header: want.header, Transactions: want.transactions, Results: want.results, StateDiff: want.diff, Certificate: want.certificate}
		if !proto.Equal(got, all) {
			t.Fatalf("block %d differs from what was committed", num)
		}
		for i, tx := range want.transactions {
			at, err := s.FindTransaction(t.Context(), &ordov1.FindTransactionRequest{Hash: tx.Hash})
			if err != nil || !at.Found || at.Number != uint64(num) || at.Index != uint32(i) {
				t.Fatalf("transaction %d of block %d: %v, %v", i, num, at, err)
			}
		}
	}
}

func crc(data []byte) uint32 { return crc32.ChecksumIEEE(data) }
