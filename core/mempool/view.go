package mempool

import (
	"math/big"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Calls decodes the multicall of a Cairo 1 account: a count, then (to, selector, length, arguments...) for each. Other
// encodings give nothing.
func Calls(tx *ordov1.Transaction) []*ordov1.Call {
	if tx.Type != ordov1.TransactionType_INVOKE {
		return nil
	}
	words := tx.Calldata
	next := func() (word []byte) {
		if len(words) < felt.Size {
			return nil
		}
		word, words = words[:felt.Size], words[felt.Size:]
		return word
	}
	number := func() (uint64, bool) {
		word := next()
		if word == nil {
			return 0, false
		}
		return Nonce(word)
	}
	count, ok := number()
	if !ok || count > uint64(len(words)/felt.Size/3) {
		return nil
	}
	found := make([]*ordov1.Call, 0, count)
	for range count {
		to, selector := next(), next()
		length, ok := number()
		if !ok || length > uint64(len(words)/felt.Size) {
			return nil
		}
		words = words[length*felt.Size:]
		found = append(found, &ordov1.Call{To: to, Selector: selector})
	}
	if len(words) > 0 {
		return nil
	}
	return found
}

// maxFee is the worst case over all bounds, with the tip, as a u128; what does not fit is cut to the largest u128.
func maxFee(tx *ordov1.Transaction) []byte {
	b := tx.ResourceBounds
	if b == nil {
		return nil
	}
	sum := new(big.Int).SetUint64(tx.Tip)
	sum.Mul(sum, new(big.Int).SetUint64(b.L2GasAmount))
	for _, bound := range []struct {
		amount uint64
		price  []byte
	}{{b.L1GasAmount, b.L1GasPrice}, {b.L2GasAmount, b.L2GasPrice}, {b.L1DataGasAmount, b.L1DataGasPrice}} {
		term := new(big.Int).SetBytes(bound.price)
		sum.Add(sum, term.Mul(term, new(big.Int).SetUint64(bound.amount)))
	}
	if limit := new(big.Int).Lsh(big.NewInt(1), 128); sum.Cmp(limit) >= 0 {
		sum.Sub(limit, big.NewInt(1))
	}
	return sum.FillBytes(make([]byte, 16))
}
