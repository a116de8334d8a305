package rpc

import (
	"context"
	"fmt"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func (s *Server) transactionMethods() map[string]Method {
	hash, flags := "transaction_hash", "response_flags"
	return map[string]Method{
		"starknet_getTransactionStatus":            {Params: []string{hash}, Call: s.transactionStatus},
		"starknet_getTransactionByHash":            {Params: []string{hash, flags}, Call: s.transactionByHash},
		"starknet_getTransactionByBlockIdAndIndex": {Params: []string{"block_id", "index", flags}, Call: s.transactionByIndex},
		"starknet_getTransactionReceipt":           {Params: []string{hash}, Call: s.transactionReceipt},
	}
}

// proofFacts reads the optional response_flags of transactions.
func proofFacts(p *jsonin.Object) bool {
	return p.Flags("response_flags", true, "INCLUDE_PROOF_FACTS")[0]
}

type resourceBound struct {
	Amount hexUint `json:"max_amount"`
	Price  hexFelt `json:"max_price_per_unit"`
}

type resourceBounds struct {
	L1Gas     resourceBound `json:"l1_gas"`
	L1DataGas resourceBound `json:"l1_data_gas"`
	L2Gas     resourceBound `json:"l2_gas"`
}

// sharedV3 is what all transactions of accounts have.
type sharedV3 struct {
	Hash      hexFelt        `json:"transaction_hash,omitempty"`
	Type      string         `json:"type"`
	Version   string         `json:"version"`
	Signature hexFelts       `json:"signature"`
	Nonce     hexFelt        `json:"nonce"`
	Bounds    resourceBounds `json:"resource_bounds"`
	Tip       hexUint        `json:"tip"`
	Paymaster hexFelts       `json:"paymaster_data"`
	NonceMode string         `json:"nonce_data_availability_mode"`
	FeeMode   string         `json:"fee_data_availability_mode"`
}

func newSharedV3(tx *ordov1.Transaction, hash []byte) sharedV3 {
	b := tx.GetResourceBounds()
	version := "0x3"
	if tx.QueryOnly {
		version = "0x100000000000000000000000000000003"
	}
	return sharedV3{
		Hash: hash, Type: tx.Type.String(), Version: version, Signature: tx.Signature, Nonce: tx.Nonce, Tip: hexUint(tx.Tip),
		Paymaster: tx.PaymasterData, NonceMode: daMode(tx.NonceDaMode), FeeMode: daMode(tx.FeeDaMode),
		Bounds: resourceBounds{
			L1Gas:     resourceBound{hexUint(b.GetL1GasAmount()), b.GetL1GasPrice()},
			L1DataGas: resourceBound{hexUint(b.GetL1DataGasAmount()), b.GetL1DataGasPrice()},
			L2Gas:     resourceBound{hexUint(b.GetL2GasAmount()), b.GetL2GasPrice()},
		},
	}
}

func daMode(m uint32) string {
	if m == 1 {
		return "L2"
	}
	return "L1"
}

// transactionAnswer shows a transaction as TXN, or with its hash as TXN_WITH_HASH.
func transactionAnswer(tx *ordov1.Transaction, withHash, facts bool) any {
	var hash hexFelt
	if withHash {
		hash = tx.Hash
	}
	switch tx.Type {
	case ordov1.TransactionType_INVOKE:
		t := struct {
			sharedV3
			Sender     hexFelt   `json:"sender_address"`
			Calldata   hexFelts  `json:"calldata"`
			Deployment hexFelts  `json:"account_deployment_data"`
			Facts      *hexFelts `json:"proof_facts,omitempty"`
		}{sharedV3: newSharedV3(tx, hash), Sender: tx.Sender, Calldata: tx.Calldata, Deployment: tx.AccountDeploymentData}
		if list := hexFelts(tx.ProofFacts); facts {
			t.Facts = &list
		}
		return t
	case ordov1.TransactionType_DECLARE:
		return struct {
			sharedV3
			Sender     hexFelt  `json:"sender_address"`
			Compiled   hexFelt  `json:"compiled_class_hash"`
			Class      hexFelt  `json:"class_hash"`
			Deployment hexFelts `json:"account_deployment_data"`
		}{newSharedV3(tx, hash), tx.Sender, tx.CompiledClassHash, tx.ClassHash, tx.AccountDeploymentData}
	case ordov1.TransactionType_DEPLOY_ACCOUNT:
		return struct {
			sharedV3
			Salt     hexFelt  `json:"contract_address_salt"`
			Calldata hexFelts `json:"constructor_calldata"`
			Class    hexFelt  `json:"class_hash"`
		}{newSharedV3(tx, hash), tx.ContractAddressSalt, tx.Calldata, tx.ClassHash}
	}
	return struct {
		Hash     hexFelt  `json:"transaction_hash,omitempty"`
		Type     string   `json:"type"`
		Version  string   `json:"version"`
		Nonce    hexFelt  `json:"nonce"`
		Contract hexFelt  `json:"contract_address"`
		Selector hexFelt  `json:"entry_point_selector"`
		Calldata hexFelts `json:"calldata"`
	}{hash, tx.Type.String(), "0x0", tx.Nonce, tx.Sender, tx.EntryPointSelector, tx.Calldata}
}

// place is where a transaction is.
type place struct {
	ref    *BlockRef // nil while it waits
	index  int
	tx     *ordov1.Transaction
	result *ordov1.TransactionResult
	stage  chainview.Status // while it waits
}

// find looks where the chain says the transaction stands.
func (s *Server) find(ctx context.Context, hash []byte) (*place, error) {
	switch r := s.Chain.Status(Key(hash)); r.Status {
	case chainview.Received, chainview.Candidate:
		return &place{tx: r.Tx, stage: r.Status}, nil
	case chainview.PreConfirmed:
		// Gone from the view when its root came or the attempt was lost a moment ago: then it is in storage, or nowhere.
		if at := inView(s.Chain.Snapshot(), r.Height, hash); at != nil {
			return at, nil
		}
	case chainview.Accepted:
		// Storage needs not be asked which block it is, and not at all once the block was read.
		view := s.Chain.Snapshot()
		b, err := s.whole(ctx, r.Height)
		if err != nil {
			return nil, err
		}
		for i, tx := range b.GetTransactions() {
			if string(tx.Hash) == string(hash) && i < len(b.Results) {
				return storedPlace(view, b, i), nil
			}
		}
	case chainview.Dropped:
		return nil, withData(errTransactionNotFound, fmt.Sprintf("dropped: %v", r.Why))
	}
	return s.findStored(ctx, s.Chain.Snapshot(), hash)
}

func inView(view *chainview.Snapshot, height uint64, hash []byte) *place {
	for _, b := range view.Blocks() {
		if b.Context.Number != height {
			continue
		}
		txs, results := included(b)
		for i, tx := range txs {
			if string(tx.Hash) == string(hash) {
				ref := &BlockRef{number: height, view: view, block: b, tip: preConfirmed(view).number == height}
				return &place{ref: ref, index: i, tx: tx, result: results[i]}
			}
		}
	}
	return nil
}

func (s *Server) findStored(ctx context.Context, view *chainview.Snapshot, hash []byte) (*place, error) {
	var found *ordov1.FindTransactionResponse
	err := s.storage.Ask(ctx, func(ctx context.Context) (err error) {
		found, err = s.Storage.FindTransaction(ctx, &ordov1.FindTransactionRequest{Hash: hash})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find transaction: %w", err)
	}
	if !found.Found {
		return nil, errTransactionNotFound
	}
	b, err := s.whole(ctx, found.Number)
	if err != nil {
		return nil, err
	}
	if b == nil || int(found.Index) >= len(b.Transactions) || int(found.Index) >= len(b.Results) {
		return nil, errTransactionNotFound
	}
	return storedPlace(view, b, int(found.Index)), nil
}

func storedPlace(view *chainview.Snapshot, b *ordov1.Block, index int) *place {
	ref := &BlockRef{number: b.Header.Context.Number, view: view, accepted: b.Header}
	if isZero(b.Header.Hash) { // committed, its root is being computed
		ref.accepted, ref.block = nil, chainview.NewBlock(b.Header, b.Transactions, b.Results, nil, nil)
	}
	return &place{ref: ref, index: index, tx: b.Transactions[index], result: b.Results[index]}
}

func (s *Server) findParam(ctx context.Context, p *jsonin.Object) (*place, error) {
	hash := p.Felt("transaction_hash")
	if err := p.Err(); err != nil {
		return nil, err
	}
	return s.find(ctx, hash)
}

type transactionStatus struct {
	Finality  string `json:"finality_status"`
	Execution string `json:"execution_status,omitempty"`
	Reason    string `json:"failure_reason,omitempty"`
}

func (s *Server) transactionStatus(ctx context.Context, p *jsonin.Object) (any, error) {
	hash := p.Felt("transaction_hash")
	if err := p.Err(); err != nil {
		return nil, err
	}
	// Clients poll this one: what the chain remembers needs no storage.
	r := s.Chain.Status(Key(hash))
	if r.Result != nil || r.Status == chainview.Received || r.Status == chainview.Candidate {
		return newStatus(r.Status.String(), r.Result), nil
	}
	at, err := s.find(ctx, hash)
	if err != nil {
		return nil, err
	}
	if at.ref == nil {
		return newStatus(at.stage.String(), nil), nil
	}
	return newStatus(finality(at.ref), at.result), nil
}

func newStatus(finality string, r *ordov1.TransactionResult) transactionStatus {
	status := transactionStatus{Finality: finality}
	if r != nil {
		status.Execution, status.Reason = r.Status.String(), r.Reason
	}
	return status
}

func (s *Server) transactionByHash(ctx context.Context, p *jsonin.Object) (any, error) {
	facts := proofFacts(p)
	at, err := s.findParam(ctx, p)
	if err != nil {
		return nil, err
	}
	return transactionAnswer(at.tx, true, facts), nil
}

func (s *Server) transactionByIndex(ctx context.Context, p *jsonin.Object) (any, error) {
	index, facts := p.Number("index"), proofFacts(p)
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	txs, _, err := s.body(ctx, ref, false)
	if err != nil {
		return nil, err
	}
	if index >= uint64(len(txs)) {
		return nil, errInvalidIndex
	}
	return transactionAnswer(txs[index], true, facts), nil
}

func (s *Server) transactionReceipt(ctx context.Context, p *jsonin.Object) (any, error) {
	at, err := s.findParam(ctx, p)
	if err != nil {
		return nil, err
	}
	if at.ref == nil {
		return nil, errTransactionNotFound // it has no receipt before it has run
	}
	return receiptInBlock{newReceipt(at.tx, at.result, finality(at.ref)), at.ref.accepted.GetHash(), at.ref.number}, nil
}
