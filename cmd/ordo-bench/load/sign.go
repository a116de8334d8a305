package load

import (
	"crypto/hmac"
	"crypto/sha256"
	"math/big"
	"runtime"
	"sync"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fr"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// signed is all that has to be kept of a transaction until it is sent: the calls are made again.
type signed struct{ hash, r, s felt.Felt }

// unsigned is an invoke of version 3 with what all transactions of a run share left out.
type unsigned struct {
	sender, key felt.Felt
	nonce       uint64
	calldata    []felt.Felt
}

// signer signs transactions many at a time: their hashes go through Poseidon's lanes, the curve points share a table and
// their inversions, and the secret numbers theirs.
type signer struct {
	chain  felt.Felt
	bounds starknet.ResourceBounds
}

// signMany signs with all processors.
func (s *signer) signMany(list []unsigned) []signed {
	out := make([]signed, len(list))
	const part = 512
	parts := make(chan int)
	var work sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for at := range parts {
				end := min(at+part, len(list))
				s.sign(out[at:end], list[at:end])
			}
		})
	}
	for at := 0; at < len(list); at += part {
		parts <- at
	}
	close(parts)
	work.Wait()
	return out
}

func (s *signer) sign(out []signed, list []unsigned) {
	hashes := s.hashes(list)
	secrets := make([]fr.Element, len(list))
	for i, tx := range list {
		secrets[i] = secret(tx.key, hashes[i])
	}
	points := multiples(secrets)

	// s = (z + r*d) / k, and the verifier's 1/s must be below 2^251: both inversions go over the whole batch.
	sums := make([]fr.Element, len(list))
	for i, tx := range list {
		r, d, z := scalar(felt.Felt(points[i].X)), scalar(tx.key), scalar(hashes[i])
		sums[i].Mul(&r, &d).Add(&sums[i], &z)
	}
	overSecrets, overSums := fr.BatchInvert(secrets), fr.BatchInvert(sums)
	for i, tx := range list {
		out[i].hash = hashes[i]
		var sig, inverse fr.Element
		sig.Mul(&sums[i], &overSecrets[i])
		inverse.Mul(&secrets[i], &overSums[i])
		value, err := felt.FromBig(sig.BigInt(new(big.Int)))
		x := felt.Felt(points[i].X)
		if err != nil || sig.IsZero() || inverse.IsZero() || !short(inverse.Bits()) || !short(x.Words()) || x.IsZero() {
			out[i].r, out[i].s = genesis.Sign(tx.key, hashes[i]) // as good as never
			continue
		}
		out[i].r, out[i].s = x, value
	}
}

// short: below 2^251.
func short(words [4]uint64) bool { return words[3]>>59 == 0 }

func scalar(f felt.Felt) (e fr.Element) {
	b := f.Bytes()
	e.SetBytes(b[:])
	return e
}

// secret comes from key and message, so that the same message always gets the same signature.
func secret(key, message felt.Felt) (e fr.Element) {
	k, m := key.Bytes(), message.Bytes()
	mac := hmac.New(sha256.New, k[:])
	mac.Write(m[:])
	first := mac.Sum(nil)
	mac.Write(first)
	e.SetBytes(mac.Sum(first)) // twice the width, so that the remainder is even
	if e.IsZero() {
		e.SetOne()
	}
	return e
}

// hashes computes the transaction hashes: first all calldata, then all outer lists.
func (s *signer) hashes(list []unsigned) []felt.Felt {
	empty, bounds := poseidon.HashMany(), s.bounds.Hash(0)
	kind, version := felt.MustShortString("invoke"), felt.FromUint64(3)
	inner := make([][]felt.Felt, len(list))
	for i := range list {
		inner[i] = list[i].calldata
	}
	calldata := poseidon.HashLists(inner)
	for i, tx := range list {
		inner[i] = []felt.Felt{kind, version, tx.sender, bounds, empty, s.chain, felt.FromUint64(tx.nonce), {}, empty, calldata[i]}
	}
	return poseidon.HashLists(inner)
}

// one signs a single transaction of any kind, as clients do.
func (s *signer) one(address, key felt.Felt) *client.Account {
	return &client.Account{Address: address, Key: key, Chain: s.chain, Bounds: s.bounds}
}
