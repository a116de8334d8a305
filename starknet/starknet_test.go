package starknet

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

func hex(s string) felt.Felt { return felt.MustHex(s) }

// sparseRoot is the root of a Poseidon trie by the general rules: keys are bit strings, empty subtrees are 0, a node with
// one child is (part of) an edge.
func sparseRoot(leaves []felt.Felt, height int) felt.Felt {
	type node struct {
		hash   felt.Felt
		path   felt.Felt // open edge above the node
		length int
	}
	closed := func(n node) felt.Felt {
		if n.length == 0 {
			return n.hash
		}
		return poseidon.Hash(n.hash, n.path).Add(felt.FromUint64(uint64(n.length)))
	}
	two := felt.FromUint64(2)
	var walk func(from, height int) (node, bool)
	walk = func(from, height int) (node, bool) {
		if from >= len(leaves) {
			return node{}, false
		}
		if height == 0 {
			return node{hash: leaves[from]}, true
		}
		left, hasLeft := walk(from, height-1)
		right, hasRight := node{}, false
		if height-1 < 30 {
			right, hasRight = walk(from+1<<(height-1), height-1)
		}
		grow := func(n node, bit uint64) node {
			power := felt.One()
			for range n.length {
				power = power.Mul(two)
			}
			n.path, n.length = n.path.Add(power.Mul(felt.FromUint64(bit))), n.length+1
			return n
		}
		switch {
		case hasLeft && hasRight:
			return node{hash: poseidon.Hash(closed(left), closed(right))}, true
		case hasLeft:
			return grow(left, 0), true
		case hasRight:
			return grow(right, 1), true
		}
		return node{}, false
	}
	n, _ := walk(0, height)
	return closed(n)
}

func TestDenseRoot(t *testing.T) {
	for n := range 150 {
		leaves := make([]felt.Felt, n)
		for i := range leaves {
			leaves[i] = felt.FromUint64(uint64(i*i + 1))
		}
		want := felt.Zero()
		if n > 0 {
			want = sparseRoot(leaves, commitmentHeight)
		}
		if got := poseidonRoot(leaves); got != want {
			t.Errorf("%d leaves: %s, want %s", n, got, want)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, good := range []string{"0.13.2", "0.13.2.1", "0.14.0", "1.0"} {
		if _, err := ParseVersion(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "0", "0.", "0.1.2.3.4", "a.b", "0.256", "0.-1", "0.01", "0.1 "} {
		if _, err := ParseVersion(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
	v, _ := ParseVersion("0.13.2.1")
	if !V0_13_2.Before(v) || v.Before(V0_13_2) || !v.Before(V0_13_4) || v.Before(v) || v.String() != "0.13.2.1" {
		t.Error("order of versions")
	}
	if _, err := (&Header{Version: "0.13.1"}).Hash(); err == nil {
		t.Error("a block hash for 0.13.1")
	}
	if _, err := (&Header{Version: "x"}).Hash(); err == nil {
		t.Error("a block hash for version x")
	}
}

func TestStateRoot(t *testing.T) {
	a, b := felt.FromUint64(5), felt.FromUint64(6)
	h := poseidon.HashMany(felt.MustShortString("STARKNET_STATE_V0"), a, b)
	for _, c := range []struct {
		contracts, classes, want felt.Felt
		v                        Version
	}{
		{felt.Zero(), felt.Zero(), felt.Zero(), V0_13_2},
		{felt.Zero(), felt.Zero(), felt.Zero(), V0_14_0},
		{a, felt.Zero(), a, V0_13_4},
		{a, felt.Zero(), poseidon.HashMany(felt.MustShortString("STARKNET_STATE_V0"), a, felt.Zero()), V0_14_0},
		{a, b, h, V0_13_2},
		{a, b, h, V0_14_1},
	} {
		if got := StateRoot(c.contracts, c.classes, c.v); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
}

func TestAddressIsReduced(t *testing.T) {
	if want := "0x7" + strings.Repeat("f", 60) + "00"; addressBound.Hex() != want {
		t.Fatal(addressBound)
	}
	for salt := range uint64(50) {
		if a := ContractAddress(felt.Zero(), felt.FromUint64(salt), felt.One(), nil); a.Cmp(addressBound) >= 0 {
			t.Fatal(a)
		}
	}
}

func TestStateDiffOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	d := &StateDiff{DeprecatedDeclared: []felt.Felt{hex("0x9"), hex("0x3")}}
	for i := range uint64(20) {
		p := Pair{felt.FromUint64(i * 7 % 20), felt.FromUint64(i)}
		d.Deployed = append(d.Deployed, Pair{p.Key.Add(hex("0x1000")), p.Value})
		d.Replaced = append(d.Replaced, p)
		d.Nonces = append(d.Nonces, p)
		d.Storage = append(d.Storage, ContractStorage{Address: p.Key, Entries: []Pair{{p.Key.Add(felt.One()), p.Value}, p}[:r.IntN(3)]})
	}
	if d.Check() == nil {
		t.Error("a diff out of order passes")
	}
	want := d.Length()
	d.Sort()
	if err := d.Check(); err != nil {
		t.Error(err)
	}
	if d.Length() != want {
		t.Errorf("length %d after sorting, %d before", d.Length(), want)
	}
	before := d.Commitment()
	// Deployed and replaced are hashed as one list.
	d.Deployed, d.Replaced = nil, append(d.Replaced, d.Deployed...)
	d.Sort()
	if d.Commitment() != before {
		t.Error("the commitment tells deployed from replaced")
	}
	d.Nonces = append(d.Nonces, d.Nonces[len(d.Nonces)-1])
	if d.Check() == nil {
		t.Error("a repeated key passes")
	}
}

func TestSegments(t *testing.T) {
	code := make([]felt.Felt, 10)
	for i := range code {
		code[i] = felt.FromUint64(uint64(i))
	}
	h := func(list ...felt.Felt) felt.Felt { return poseidon.HashMany(list...) }
	n := felt.FromUint64
	inner := h(n(2), h(code[3:5]...), n(1), h(code[5:6]...)).Add(n(1))
	want := h(n(3), h(code[:3]...), n(3), inner, n(4), h(code[6:]...)).Add(n(1))
	tree := Segment{Parts: []Segment{{Length: 3}, {Parts: []Segment{{Length: 2}, {Length: 1}}}, {Length: 4}}}
	got, rest, covered, err := tree.hash(code, poseidon.HashMany, 0)
	if err != nil || got != want || len(rest) != 0 || covered != 10 {
		t.Error(got, rest, covered, err)
	}
	for _, bad := range []Segment{{Length: 11}, {Length: 9}, {Parts: []Segment{{Length: 10}, {Length: 1}}}} {
		if _, err := (&CompiledClass{Bytecode: code, Segments: &bad}).HashV1(); err == nil {
			t.Errorf("%v accepted for 10 felts", bad)
		}
	}
}

func TestUint128(t *testing.T) {
	var u Uint128
	if err := u.UnmarshalText([]byte("0xffffffffffffffffffffffffffffffff")); err != nil || u != (Uint128{1<<64 - 1, 1<<64 - 1}) {
		t.Error(u, err)
	}
	if back, err := Uint128FromBig(u.Big()); err != nil || back != u {
		t.Error(back, err)
	}
	if err := u.UnmarshalText([]byte("0x100000000000000000000000000000000")); err == nil {
		t.Error("2^128 accepted")
	}
	if (Uint128{1, 0}).Cmp(Uint128{0, 5}) != 1 || (Uint128{0, 4}).Cmp(Uint128{0, 5}) != -1 || u.Cmp(u) != 0 {
		t.Error("order")
	}
}

func TestPartialHash(t *testing.T) {
	h := Header{Version: "0.14.1", Number: 7, StateRoot: felt.One(), ParentHash: felt.One()}
	full, err := h.Hash()
	if err != nil {
		t.Fatal(err)
	}
	partial, err := h.PartialHash()
	if err != nil || partial == full || h.StateRoot != felt.One() {
		t.Fatal(partial, err)
	}
	h.StateRoot, h.ParentHash = felt.Zero(), felt.Zero()
	if again, _ := h.Hash(); again != partial {
		t.Error("partial hash is not the hash with both zero")
	}
}

func TestFillRefuses(t *testing.T) {
	h := Header{Version: "0.14.1"}
	if h.Fill(make([]Signed, 1), nil, &StateDiff{}) == nil {
		t.Error("a transaction without a receipt")
	}
	if h.Fill(nil, nil, &StateDiff{DeprecatedDeclared: []felt.Felt{felt.One(), felt.Zero()}}) == nil {
		t.Error("a diff out of order")
	}
	if err := h.Fill(nil, nil, &StateDiff{}); err != nil || !h.TransactionCommitment.IsZero() {
		t.Error(err)
	}
}

func BenchmarkInvokeV3Hash(b *testing.B) {
	tx := &InvokeV3{V3: V3{Bounds: ResourceBounds{L1DataGas: &Bound{}}}, Calldata: make([]felt.Felt, 7)}
	for b.Loop() {
		tx.Hash(felt.One(), false)
	}
}

func BenchmarkCommitments1000(b *testing.B) {
	const n = 1000
	signed, receipts := make([]Signed, n), make([]Receipt, n)
	for i := range signed {
		h := felt.FromUint64(uint64(i)).Mul(hex("0x123456789abcdef0123456789abcdef0123456789"))
		signed[i] = Signed{h, []felt.Felt{h, h}}
		e := Event{From: h, Keys: []felt.Felt{h}, Data: []felt.Felt{h, h, h, h}}
		receipts[i] = Receipt{Hash: h, Fee: h, Events: []Event{e, e}}
	}
	for b.Loop() {
		TransactionCommitment(signed, V0_14_1)
		EventCommitment(receipts)
		ReceiptCommitment(receipts)
	}
}
