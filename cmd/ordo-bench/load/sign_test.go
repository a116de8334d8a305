package load

import (
	"fmt"
	"math/big"
	"testing"

	starkcurve "github.com/consensys/gnark-crypto/ecc/stark-curve"
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fr"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func testSigner() *signer {
	return &signer{chain: felt.MustShortString("SN_SEPOLIA"), bounds: client.WideBounds()}
}

func someTransactions(n int) []unsigned {
	keys := genesis.Accounts(0, 5)
	list := make([]unsigned, n)
	for i := range list {
		a := keys[i%len(keys)]
		calls := []client.Call{client.Transfer(genesis.STRKAddress(), felt.FromUint64(uint64(1000+i)), uint64(i))}
		if i%3 == 0 {
			calls = append(calls, calls[0])
		}
		list[i] = unsigned{sender: a.Address, key: a.PrivateKey, nonce: uint64(i / len(keys)), calldata: client.Multicall(calls...)}
	}
	return list
}

// TestHashes: the batch has the hashes that the arithmetic of the chain gives.
func TestHashes(t *testing.T) {
	s := testSigner()
	list := someTransactions(70)
	for i, got := range s.hashes(list) {
		tx := list[i]
		want := (&starknet.InvokeV3{V3: starknet.V3{Bounds: s.bounds, Nonce: felt.FromUint64(tx.nonce)}, Sender: tx.sender, Calldata: tx.calldata}).Hash(s.chain, false)
		if got != want {
			t.Fatalf("transaction %d: %s, want %s", i, got.Hex(), want.Hex())
		}
	}
}

// TestSignatures verifies each with the public key: x(z/s*G + r/s*Q) = r, and as the chain's builtin wants it, r and 1/s are
// below 2^251.
func TestSignatures(t *testing.T) {
	s := testSigner()
	list := someTransactions(1100) // three parts
	public := map[felt.Felt]starkcurve.G1Affine{}
	for _, a := range genesis.Accounts(0, 5) {
		var q starkcurve.G1Affine
		public[a.PrivateKey] = *q.ScalarMultiplicationBase(a.PrivateKey.Big())
	}
	hashes := s.hashes(list)
	for i, got := range s.signMany(list) {
		if got.hash != hashes[i] {
			t.Fatalf("transaction %d has the hash of another", i)
		}
		if i%7 != 0 && i < 1000 { // each takes two multiplications
			continue
		}
		w := scalar(got.s)
		w.Inverse(&w)
		if !short(w.Bits()) || !short(got.r.Words()) {
			t.Fatalf("transaction %d: out of range", i)
		}
		z, r := scalar(got.hash), scalar(got.r)
		z.Mul(&z, &w)
		r.Mul(&r, &w)
		var one, two starkcurve.G1Affine
		one.ScalarMultiplicationBase(z.BigInt(new(big.Int)))
		q := public[list[i].key]
		two.ScalarMultiplication(&q, r.BigInt(new(big.Int)))
		one.Add(&one, &two)
		if felt.Felt(one.X) != got.r {
			t.Fatalf("transaction %d: the signature does not hold", i)
		}
	}
}

func TestSecret(t *testing.T) {
	a, b := secret(felt.One(), felt.One()), secret(felt.One(), felt.FromUint64(2))
	if a == b || a.IsZero() || a == (fr.Element{}) {
		t.Error("secrets of two messages are equal or nothing")
	}
}

func BenchmarkSign(b *testing.B) {
	s := testSigner()
	for _, n := range []int{1, 64, 1024} {
		list := someTransactions(n)
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			for b.Loop() {
				s.signMany(list)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/tx")
		})
	}
	b.Run("client", func(b *testing.B) {
		tx := someTransactions(1)[0]
		for b.Loop() {
			genesis.Sign(tx.key, tx.sender)
		}
	})
}
