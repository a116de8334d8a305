package rpc

import (
	"golang.org/x/crypto/sha3"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

type feePayment struct {
	Amount hexFelt `json:"amount"`
	Unit   string  `json:"unit"`
}

type messageToL1 struct {
	From    hexFelt  `json:"from_address"`
	To      hexFelt  `json:"to_address"`
	Payload hexFelts `json:"payload"`
}

type event struct {
	From hexFelt  `json:"from_address"`
	Keys hexFelts `json:"keys"`
	Data hexFelts `json:"data"`
}

type resources struct {
	L1Gas     uint64 `json:"l1_gas"`
	L1DataGas uint64 `json:"l1_data_gas"`
	L2Gas     uint64 `json:"l2_gas"`
}

func newResources(g *ordov1.Gas) resources {
	return resources{g.GetL1Gas(), g.GetL1DataGas(), g.GetL2Gas()}
}

type receipt struct {
	Type            string        `json:"type"`
	TransactionHash hexFelt       `json:"transaction_hash"`
	Contract        hexFelt       `json:"contract_address,omitempty"` // DEPLOY_ACCOUNT
	MessageHash     hexFelt       `json:"message_hash,omitempty"`     // L1_HANDLER
	Fee             feePayment    `json:"actual_fee"`
	Finality        string        `json:"finality_status"`
	Execution       string        `json:"execution_status"`
	RevertReason    *string       `json:"revert_reason,omitempty"`
	Messages        []messageToL1 `json:"messages_sent"`
	Events          []event       `json:"events"`
	Resources       resources     `json:"execution_resources"`
}

// receiptInBlock is a receipt with its place.
type receiptInBlock struct {
	*receipt
	Hash   hexFelt `json:"block_hash,omitempty"`
	Number uint64  `json:"block_number"`
}

func newReceipt(tx *ordov1.Transaction, r *ordov1.TransactionResult, finality string) *receipt {
	out := &receipt{
		Type: tx.Type.String(), TransactionHash: tx.Hash, Finality: finality, Execution: r.Status.String(),
		Fee: feePayment{r.ActualFee, "FRI"}, Resources: newResources(r.Gas),
		Messages: make([]messageToL1, len(r.Messages)), Events: make([]event, len(r.Events)),
	}
	switch tx.Type {
	case ordov1.TransactionType_DEPLOY_ACCOUNT:
		out.Contract = tx.Sender
	case ordov1.TransactionType_L1_HANDLER:
		out.MessageHash, out.Fee.Unit = messageHash(tx), "WEI"
	}
	if r.Status == ordov1.TransactionResult_REVERTED {
		out.RevertReason = &r.Reason
	}
	for i, m := range r.Messages {
		out.Messages[i] = messageToL1{m.FromAddress, m.ToAddress, m.Payload}
	}
	for i, e := range r.Events {
		out.Events[i] = event{e.FromAddress, e.Keys, e.Data}
	}
	return out
}

// messageHash is how the core contract on L1 names a message to L2: keccak over sender, contract, nonce, selector, the
// length of the payload and the payload, 32 bytes each.
func messageHash(tx *ordov1.Transaction) []byte {
	var sender, payload []byte
	if len(tx.Calldata) >= felt.Size {
		sender, payload = tx.Calldata[:felt.Size], tx.Calldata[felt.Size:]
	}
	h := sha3.NewLegacyKeccak256()
	h.Write(padded(sender))
	h.Write(padded(tx.Sender))
	h.Write(padded(tx.Nonce))
	h.Write(padded(tx.EntryPointSelector))
	h.Write(felt.FromUint64(uint64(len(payload) / felt.Size)).Append(nil))
	h.Write(payload)
	return h.Sum(nil)
}

func padded(number []byte) []byte {
	if len(number) >= felt.Size {
		return number
	}
	return append(make([]byte, felt.Size-len(number), felt.Size), number...)
}
