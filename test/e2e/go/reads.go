package main

import (
	"errors"
	"math/big"

	"github.com/NethermindEth/juno/core/felt"
	"github.com/NethermindEth/starknet.go/contracts"
	"github.com/NethermindEth/starknet.go/devnet"
	"github.com/NethermindEth/starknet.go/rpc"
	"github.com/NethermindEth/starknet.go/utils"
)

// forms are the ways to name the latest block.
func (f *flow) forms() (forms []rpc.BlockID, last *rpc.BlockHashAndNumberOutput) {
	last = must(f.node.BlockHashAndNumber(f.ctx))
	want(must(f.node.BlockNumber(f.ctx)) == last.Number, "two numbers of the latest block")
	return []rpc.BlockID{latest, rpc.WithBlockNumber(last.Number), rpc.WithBlockHash(last.Hash)}, last
}

// blocks reads blocks in every form.
func (f *flow) blocks() {
	forms, last := f.forms()
	for _, id := range forms {
		hashes := must(f.node.BlockWithTxHashes(f.ctx, id)).(*rpc.BlockTxHashes)
		whole := must(f.node.BlockWithTxs(f.ctx, id)).(*rpc.Block)
		receipts := must(f.node.BlockWithReceipts(f.ctx, id)).(*rpc.BlockWithReceipts)
		count := must(f.node.BlockTransactionCount(f.ctx, id))
		want(hashes.Hash.Equal(last.Hash) && hashes.Status == rpc.BlockStatusAcceptedOnL2 && !hashes.NewRoot.IsZero(), "the latest block is %+v", hashes.BlockHeader)
		want(int(count) == len(hashes.Transactions) && len(whole.Transactions) == len(hashes.Transactions) && len(receipts.Transactions) == len(hashes.Transactions),
			"the latest block has %d, %d, %d and %d transactions", count, len(hashes.Transactions), len(whole.Transactions), len(receipts.Transactions))
		for i, hash := range hashes.Transactions {
			want(whole.Transactions[i].Hash.Equal(hash) && receipts.Transactions[i].Receipt.Hash.Equal(hash), "transaction %d has three hashes", i)
			want(must(f.node.TransactionByBlockIDAndIndex(f.ctx, id, uint64(i))).Hash.Equal(hash), "transaction %d by its index", i)
		}
		update := must(f.node.StateUpdate(f.ctx, id))
		want(update.BlockHash.Equal(last.Hash) && len(update.StateDiff.Nonces) > 0, "the state update is %+v", update)
		traces := must(f.node.TraceBlockTransactions(f.ctx, id))
		want(len(traces) == len(hashes.Transactions) && traces[0].TxnHash.Equal(hashes.Transactions[0]), "%d traces", len(traces))
	}
	open := must(f.node.BlockWithTxHashes(f.ctx, preConfirmed)).(*rpc.PreConfirmedBlockTxHashes)
	want(open.Number > last.Number, "the pre-confirmed block is %d", open.Number)
	must(f.node.BlockWithTxs(f.ctx, preConfirmed))
	must(f.node.BlockWithReceipts(f.ctx, preConfirmed))
	want(!must(f.node.StateUpdate(f.ctx, preConfirmed)).OldRoot.IsZero(), "the pre-confirmed update has no old root")
	tip := must(rpc.EstimateTip(f.ctx, f.node, 1))
	want(tip == "0x0", "the estimated tip is %s, and no block has one", tip)
}

// state reads contracts and classes.
func (f *flow) state() {
	forms, last := f.forms()
	for _, id := range append(forms, preConfirmed) {
		want(must(f.node.ClassHashAt(f.ctx, id, f.token)).Equal(f.class), "the class of the token")
		want(!must(f.node.Nonce(f.ctx, id, f.main.Address)).IsZero(), "the nonce of the account")
		class := must(f.node.Class(f.ctx, id, f.class)).(*contracts.ContractClass)
		at := must(f.node.ClassAt(f.ctx, id, f.token)).(*contracts.ContractClass)
		want(len(class.SierraProgram) > 100 && len(class.SierraProgram) == len(at.SierraProgram), "the class of the token has %d and %d felts", len(class.SierraProgram), len(at.SierraProgram))
		want(must(f.node.StorageAt(f.ctx, f.token, "decimals", id)) == "0x12", "the decimals of the token in its storage")
	}
	legacy := must(f.node.Class(f.ctx, latest, hex("0x7b3e05f48f0c69e4a65ce5e076a66271a527aff2c34ce1083ec6e1526997a69")))
	_, ok := legacy.(*contracts.DeprecatedContractClass)
	want(ok, "the class of the old deployer is %T", legacy)
	casm := must(f.node.CompiledCasm(f.ctx, f.class))
	want(len(casm.ByteCode) > 100, "%d felts of bytecode", len(casm.ByteCode))

	proof := must(f.node.StorageProof(f.ctx, rpc.StorageProofInput{
		BlockID: latest, ClassHashes: []*felt.Felt{f.class}, ContractAddresses: []*felt.Felt{f.token},
		ContractsStorageKeys: []rpc.ContractStorageKeys{{ContractAddress: f.token, StorageKeys: []*felt.Felt{number(1)}}},
	}))
	want(proof.GlobalRoots.BlockHash.Equal(last.Hash), "the proof is of another block")
	leaves := proof.ContractsProof.ContractLeavesData
	want(len(leaves) == 1 && leaves[0].ClassHash.Equal(f.class) && len(proof.ClassesProof) > 0 && len(proof.ContractsStorageProofs) == 1, "the proof is %+v", proof)
}

// transactions reads what was sent.
func (f *flow) transactions() {
	transfer, ok := must(f.node.TransactionByHash(f.ctx, f.sent)).Transaction.(rpc.InvokeTxnV3)
	want(ok && transfer.SenderAddress.Equal(f.main.Address), "the transfer is %+v", transfer)
	status := must(f.node.TransactionStatus(f.ctx, f.sent))
	want(status.FinalityStatus == rpc.TxnStatusAcceptedOnL2 && status.ExecutionStatus == rpc.TxnExecutionStatusSUCCEEDED, "its status is %+v", status)
	receipt := must(f.node.TransactionReceipt(f.ctx, f.sent))
	want(receipt.Type == rpc.TransactionTypeInvoke && receipt.ActualFee.Unit == rpc.UnitFri && receipt.BlockHash != nil, "its receipt is %+v", receipt)
	trace, ok := must(f.node.TraceTransaction(f.ctx, f.sent)).(rpc.InvokeTxnTrace)
	want(ok && trace.ExecuteInvocation.FnInvocation != nil && len(trace.ExecuteInvocation.NestedCalls) == 2, "its trace is %+v", trace)
	deployed := must(f.node.TransactionReceipt(f.ctx, f.deploy))
	want(deployed.Type == rpc.TransactionTypeDeployAccount && deployed.ContractAddress.Equal(f.fresh.Address), "the receipt of the deployment is %+v", deployed)
	_, ok = must(f.node.TraceTransaction(f.ctx, f.deploy)).(rpc.DeployAccountTxnTrace)
	want(ok, "the trace of the deployment")
}

// views estimates and simulates.
func (f *flow) views() {
	nonce := must(f.main.Nonce(f.ctx))
	zero := rpc.ResourceBounds{MaxAmount: "0x0", MaxPricePerUnit: "0x0"}
	data := must(f.main.FmtCalldata(utils.InvokeFuncCallsToFunctionCalls([]rpc.InvokeFunctionCall{call(f.token, "transfer", number(0x123), number(1), number(0))})))
	txn := utils.BuildInvokeTxn(f.main.Address, nonce, data, &rpc.ResourceBoundsMapping{L1Gas: zero, L1DataGas: zero, L2Gas: zero}, &utils.TxnOptions{Tip: "0x0", UseQueryBit: true})
	check(f.main.SignInvokeTransaction(f.ctx, txn))
	for _, id := range []rpc.BlockID{latest, preConfirmed} {
		fees := must(f.node.EstimateFee(f.ctx, []rpc.BroadcastTxn{txn}, []rpc.SimulationFlag{rpc.SkipValidate}, id))
		want(len(fees) == 1 && !fees[0].OverallFee.IsZero() && fees[0].Unit == rpc.FriUnit, "the estimate is %+v", fees)
		simulated := must(f.node.SimulateTransactions(f.ctx, id, []rpc.BroadcastTxn{txn}, []rpc.SimulationFlag{rpc.SkipFeeCharge}))
		want(len(simulated) == 1 && !simulated[0].OverallFee.IsZero(), "the simulation is %+v", simulated)
		_, ok := simulated[0].TxnTrace.(rpc.InvokeTxnTrace)
		want(ok, "the trace of the simulation is %T", simulated[0].TxnTrace)
		message := must(f.node.EstimateMessageFee(f.ctx, rpc.MsgFromL1{
			FromAddress: "0x8453FC6Cd1bCfE8D4dFC069C400B433054d47bDc", ToAddress: f.taker, Selector: utils.GetSelectorFromNameFelt("l1_handle"), Payload: []*felt.Felt{number(7)},
		}, id))
		want(message.Unit == rpc.WeiUnit && !message.OverallFee.IsZero(), "the estimate of a message is %+v", message)
	}
}

// errors asks for what the client has errors for; it compares code and message.
func (f *flow) errors() {
	for name, c := range map[string]struct {
		got  func() error
		want *rpc.RPCError
	}{
		"block": {func() error { _, err := f.node.BlockWithTxs(f.ctx, nothing); return err }, rpc.ErrBlockNotFound},
		"l1_accepted": {func() error {
			_, err := f.node.BlockWithTxs(f.ctx, rpc.WithBlockTag(rpc.BlockTagL1Accepted))
			return err
		}, rpc.ErrBlockNotFound},
		"index":    {func() error { _, err := f.node.TransactionByBlockIDAndIndex(f.ctx, latest, 999); return err }, rpc.ErrInvalidTxnIndex},
		"hash":     {func() error { _, err := f.node.TransactionByHash(f.ctx, number(1)); return err }, rpc.ErrHashNotFound},
		"contract": {func() error { _, err := f.node.ClassHashAt(f.ctx, latest, number(0xdead)); return err }, rpc.ErrContractNotFound},
		"class":    {func() error { _, err := f.node.Class(f.ctx, latest, number(0xdead)); return err }, rpc.ErrClassHashNotFound},
		"entry point": {func() error {
			_, err := f.node.Call(f.ctx, rpc.FunctionCall{ContractAddress: f.token, EntryPointSelector: number(1)}, latest)
			return err
		}, rpc.ErrEntrypointNotFound},
		"call": {func() error {
			_, err := f.node.Call(f.ctx, rpc.FunctionCall{ContractAddress: f.token, EntryPointSelector: utils.GetSelectorFromNameFelt("balance_of")}, latest)
			return err
		}, rpc.ErrContractError},
		"page":  {func() error { _, err := f.node.Events(f.ctx, f.filter(1<<30, "")); return err }, rpc.ErrPageSizeTooBig},
		"token": {func() error { _, err := f.node.Events(f.ctx, f.filter(5, "none")); return err }, rpc.ErrInvalidContinuationToken},
		"proof": {func() error {
			_, err := f.node.StorageProof(f.ctx, rpc.StorageProofInput{BlockID: nothing})
			return err
		}, rpc.ErrBlockNotFound},
		"trace":    {func() error { _, err := f.node.TraceTransaction(f.ctx, number(1)); return err }, rpc.ErrHashNotFound},
		"messages": {func() error { _, err := f.node.MessagesStatus(f.ctx, "0x1"); return err }, rpc.ErrHashNotFound},
	} {
		var got *rpc.RPCError
		err := c.got()
		want(errors.As(err, &got) && got.Code == c.want.Code && got.Message == c.want.Message, "%s: %v, want %v", name, err, c.want)
	}
}

func (f *flow) filter(page int, token string) rpc.EventsInput {
	return rpc.EventsInput{
		EventFilter: rpc.EventFilter{
			FromBlock: rpc.WithBlockNumber(0), ToBlock: latest, Address: f.token, Keys: [][]*felt.Felt{{utils.GetSelectorFromNameFelt("Transfer")}},
		},
		ResultPageRequest: rpc.ResultPageRequest{ChunkSize: page, ContinuationToken: token},
	}
}

// events reads the transfers of tokens in pages of two.
func (f *flow) events() int {
	var all []rpc.EmittedEvent
	for token := ""; ; {
		page := must(f.node.Events(f.ctx, f.filter(2, token)))
		all = append(all, page.Events...)
		if token = page.ContinuationToken; token == "" {
			break
		}
	}
	want(len(all) == 4, "%d events of a mint, two transfers and one back", len(all))
	want(all[1].TransactionHash.Equal(f.sent) && all[1].BlockHash != nil && all[1].FromAddress.Equal(f.token), "the second event is %+v", all[1])
	return len(all)
}

// devnet is the client of development nodes. It knows the paths of starknet-devnet before 0.5 only, of which /is_alive is left: accounts, faucet and
// tokens have been methods since (devnet_getPredeployedAccounts, devnet_mint, devnet_getConfig), there and here.
func (f *flow) devnet(url string) {
	old := devnet.NewDevNet(url)
	want(old.IsAlive(), "the node is not alive")
	_, err := old.Accounts()
	want(err != nil, "the accounts are at their old path")
	_, err = old.Mint(f.main.Address, big.NewInt(1))
	want(err != nil, "the faucet is at its old path")
	_, err = old.FeeToken()
	want(err != nil, "the fee token is at its old path")
}
