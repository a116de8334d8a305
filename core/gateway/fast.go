package gateway

import (
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// The fields of an invoke, in any order: all of these once and no others, or it is for the careful reader.
const (
	seenType = 1 << iota
	seenVersion
	seenSender
	seenCalldata
	seenSignature
	seenNonce
	seenBounds
	seenTip
	seenPaymaster
	seenDeployment
	seenNonceMode
	seenFeeMode
	seenAll = 1<<iota - 1
)

// ReadInvoke reads an invoke of version 3 as clients write it, in one pass and without its hash. It returns nil when q gives
// up: then Decode reads the same, or tells what is wrong.
func ReadInvoke(q *jsonin.Fast) *Broadcast {
	// One array for what has a fixed size.
	fixed := make([]byte, 2*felt.Size+3*16)
	sender, nonce, prices := fixed[:felt.Size:felt.Size], fixed[felt.Size:2*felt.Size:2*felt.Size], fixed[2*felt.Size:]
	tx := &ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Sender: sender, Nonce: nonce}
	seen := 0
	for name := range q.Fields {
		field := 0
		switch string(name) {
		case "type":
			field = seenType
			if string(q.Text()) != "INVOKE" {
				q.GiveUp()
			}
		case "version":
			field = seenVersion
			if q.Uint64() != 3 {
				q.GiveUp()
			}
		case "sender_address":
			field = seenSender
			q.Felt(sender)
		case "calldata":
			field = seenCalldata
			tx.Calldata = q.Felts()
		case "signature":
			field = seenSignature
			tx.Signature = q.Felts()
		case "nonce":
			field = seenNonce
			q.Felt(nonce)
		case "resource_bounds":
			field = seenBounds
			tx.ResourceBounds = readBounds(q, prices)
		case "tip":
			field = seenTip
			tx.Tip = q.Uint64()
		case "paymaster_data":
			field = seenPaymaster
			tx.PaymasterData = q.Felts()
		case "account_deployment_data":
			field = seenDeployment
			tx.AccountDeploymentData = q.Felts()
		case "nonce_data_availability_mode":
			field = seenNonceMode
			tx.NonceDaMode = readMode(q)
		case "fee_data_availability_mode":
			field = seenFeeMode
			tx.FeeDaMode = readMode(q)
		}
		if field == 0 || seen&field != 0 {
			q.GiveUp()
		}
		seen |= field
	}
	if q.GaveUp() || seen != seenAll {
		q.GiveUp()
		return nil
	}
	return &Broadcast{Transaction: tx}
}

func readMode(q *jsonin.Fast) uint32 {
	switch string(q.Text()) {
	case "L1":
		return 0
	case "L2":
		return 1
	}
	q.GiveUp()
	return 0
}

func readBounds(q *jsonin.Fast, prices []byte) *ordov1.ResourceBounds {
	r := &ordov1.ResourceBounds{L1GasPrice: prices[:16:16], L2GasPrice: prices[16:32:32], L1DataGasPrice: prices[32:48:48]}
	seen := 0
	for name := range q.Fields {
		field := 0
		switch string(name) {
		case "l1_gas":
			field = 1
			r.L1GasAmount = readBound(q, r.L1GasPrice)
		case "l2_gas":
			field = 2
			r.L2GasAmount = readBound(q, r.L2GasPrice)
		case "l1_data_gas":
			field = 4
			r.L1DataGasAmount = readBound(q, r.L1DataGasPrice)
		}
		if field == 0 || seen&field != 0 {
			q.GiveUp()
		}
		seen |= field
	}
	if seen != 7 {
		q.GiveUp()
	}
	return r
}

func readBound(q *jsonin.Fast, price []byte) (amount uint64) {
	seen := 0
	for name := range q.Fields {
		field := 0
		switch string(name) {
		case "max_amount":
			field = 1
			amount = q.Uint64()
		case "max_price_per_unit":
			field = 2
			q.Hex(price)
		}
		if field == 0 || seen&field != 0 {
			q.GiveUp()
		}
		seen |= field
	}
	if seen != 3 {
		q.GiveUp()
	}
	return amount
}
