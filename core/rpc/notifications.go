package rpc

import (
	"github.com/ordo-sequencer/ordo/core/subscriptions"
)

// notification writes what subscribers are told. A form is a version with the tags of a subscription.
func notification(form subscriptions.Form, item subscriptions.Item) []byte {
	version := versionNumbered(form.Version)
	var v any
	switch i := item.(type) {
	case subscriptions.Head:
		h := newHeader(i.Header)
		h.Status = "" // it is not in a BLOCK_HEADER
		v = h
	case subscriptions.Event:
		v = struct {
			emittedEvent
			Finality string `json:"finality_status"`
		}{emittedEvent{
			event: event{i.Event.FromAddress, i.Event.Keys, i.Event.Data}, BlockHash: i.Hash, BlockNumber: i.Number,
			Transaction: i.TxHash, TxIndex: i.TxIndex, Index: i.Index,
		}, i.Finality.String()}
	case subscriptions.Receipt:
		v = receiptInBlock{newReceipt(i.Tx, i.Result, i.Finality.String()), i.Hash, i.Number}
	case subscriptions.Transaction:
		return withFinality(version, transactionAnswer(i.Tx, true, form.ProofFacts), i.Finality.String())
	case subscriptions.Status:
		v = struct {
			Hash   hexFelt           `json:"transaction_hash"`
			Status transactionStatus `json:"status"`
		}{i.Hash[:], newStatus(i.Finality.String(), i.Result)}
	case subscriptions.Reorg:
		v = struct {
			FirstHash hexFelt `json:"starting_block_hash"`
			First     uint64  `json:"starting_block_number"`
			LastHash  hexFelt `json:"ending_block_hash"`
			Last      uint64  `json:"ending_block_number"`
		}{i.FirstHash, i.First, i.LastHash, i.Last}
	}
	text, _ := version.write(v) // felts and numbers always can be
	return text
}

// withFinality adds a field to the object of a transaction, which has one of four types.
func withFinality(version *Version, tx any, finality string) []byte {
	text, _ := version.write(tx)
	return append(text[:len(text)-1], `,"finality_status":"`+finality+`"}`...)
}
