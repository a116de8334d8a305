package main

import (
	"context"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/NethermindEth/juno/core/felt"
	"github.com/NethermindEth/starknet.go/account"
	"github.com/NethermindEth/starknet.go/client"
	"github.com/NethermindEth/starknet.go/contracts"
	"github.com/NethermindEth/starknet.go/rpc"
	"github.com/NethermindEth/starknet.go/utils"
)

// flow is what the steps share.
type flow struct {
	ctx    context.Context
	node   *rpc.Provider
	main   *account.Account
	fresh  *account.Account
	strk   *felt.Felt
	token  *felt.Felt // an ERC20
	taker  *felt.Felt // a contract with a handler of messages
	class  *felt.Felt // of the token
	sent   *felt.Felt // the hash of a transfer of tokens
	deploy *felt.Felt // the hash of a deployment of an account
}

const poll = 50 * time.Millisecond

func hex(text string) *felt.Felt { return must(utils.HexToFelt(text)) }

// connect also checks the version: NewProvider has an error when it is not 0.9.0.
func connect(ctx context.Context, url string) *flow {
	f := &flow{ctx: ctx, strk: hex("0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d")}
	f.node = must(rpc.NewProvider(ctx, url+"/rpc/v0_9"))
	want(must(f.node.SpecVersion(ctx)) == "0.9.0", "the path of 0.9 is not 0.9.0")
	want(must(f.node.ChainID(ctx)) == "SN_SEPOLIA", "the chain id")
	want(!must(f.node.Syncing(ctx)).IsSyncing, "the node syncs")

	// The path of the newest version is not this client's, and it says so.
	_, err := rpc.NewProvider(ctx, url, client.WithHTTPClient(http.DefaultClient))
	want(err != nil && strings.Contains(err.Error(), "expected version: 0.9.0, got: 0.10.2"), "the newest version passes for 0.9: %v", err)

	var accounts []struct {
		Address    string `json:"address"`
		PublicKey  string `json:"public_key"`
		PrivateKey string `json:"private_key"`
	}
	raw := must(client.DialOptions(ctx, url, client.WithHTTPClient(http.DefaultClient)))
	defer raw.Close()
	check(raw.CallContext(ctx, &accounts, "devnet_getPredeployedAccounts", map[string]bool{"with_balance": false}))
	first := accounts[0]
	keys := account.NewMemKeystore()
	key, ok := new(big.Int).SetString(first.PrivateKey, 0)
	want(ok, "the key of an account is no number")
	keys.Put(first.PublicKey, key)
	f.main = must(account.NewAccount(f.node, hex(first.Address), first.PublicKey, keys, account.CairoV2))
	return f
}

// accepted waits until a transaction is in an accepted block.
func (f *flow) accepted(hash *felt.Felt) *rpc.TransactionReceiptWithBlockInfo {
	for {
		receipt := must(f.main.WaitForTransactionReceipt(f.ctx, hash, poll))
		want(receipt.ExecutionStatus == rpc.TxnExecutionStatusSUCCEEDED, "%s: %s", hash, receipt.RevertReason)
		if receipt.FinalityStatus == rpc.TxnFinalityStatusAcceptedOnL2 {
			return receipt
		}
		check(f.ctx.Err())
	}
}

func (f *flow) declare(sierraFile, casmFile string) *felt.Felt {
	casm := must(utils.UnmarshalJSONFileToType[contracts.CasmClass](casmFile, ""))
	sierra := must(utils.UnmarshalJSONFileToType[contracts.ContractClass](sierraFile, ""))
	declared := must(f.main.BuildAndSendDeclareTxn(f.ctx, casm, sierra, nil))
	f.accepted(declared.Hash)
	return declared.ClassHash
}

func (f *flow) instance(class *felt.Felt, data ...*felt.Felt) *felt.Felt {
	deployed, salt, err := f.main.DeployContractWithUDC(f.ctx, class, data, nil, &account.UDCOptions{OriginIndependent: true, UDCVersion: utils.UDCCairoV0})
	check(err)
	f.accepted(deployed.Hash)
	address := utils.PrecomputeAddressForUDC(class, salt, data, utils.UDCCairoV0, nil)
	want(must(f.node.ClassHashAt(f.ctx, latest, address)).Equal(class), "no contract at the address that was computed")
	return address
}

func call(to *felt.Felt, function string, data ...*felt.Felt) rpc.InvokeFunctionCall {
	return rpc.InvokeFunctionCall{ContractAddress: to, FunctionName: function, CallData: data}
}

func number(n uint64) *felt.Felt { return new(felt.Felt).SetUint64(n) }

var (
	latest       = rpc.WithBlockTag(rpc.BlockTagLatest)
	preConfirmed = rpc.WithBlockTag(rpc.BlockTagPreConfirmed)
	nothing      = rpc.WithBlockNumber(1 << 40)
)

// send declares and deploys contracts and an account, and transfers tokens.
func (f *flow) send(sierra, casm, takerSierra, takerCasm, accountClass string) {
	f.class = f.declare(sierra, casm)
	f.token = f.instance(f.class, hex("0x544f4b"), hex("0x544f4b"), number(18), number(1_000_000), number(0), f.main.Address)
	f.taker = f.instance(f.declare(takerSierra, takerCasm), number(1))

	keys, public, _ := account.GetRandomKeys()
	f.fresh = must(account.NewAccount(f.node, public, public.String(), keys, account.CairoV2))
	deployment, address, err := f.fresh.BuildAndEstimateDeployAccountTxn(f.ctx, public, hex(accountClass), []*felt.Felt{public}, nil)
	check(err)
	f.fresh = must(account.NewAccount(f.node, address, public.String(), keys, account.CairoV2))
	amount := must(utils.HexToU256Felt("0x56bc75e2d63100000")) // 100 STRK
	f.accepted(must(f.main.BuildAndSendInvokeTxn(f.ctx, []rpc.InvokeFunctionCall{call(f.strk, "transfer", append([]*felt.Felt{address}, amount...)...)}, nil)).Hash)
	created := must(f.fresh.SendTransaction(f.ctx, deployment))
	want(created.ContractAddress.Equal(address), "the account is at %s, and was to be at %s", created.ContractAddress, address)
	f.deploy = created.Hash
	f.accepted(created.Hash)
	want(must(f.fresh.Nonce(f.ctx)).Equal(number(1)), "the nonce of the new account")

	sent := must(f.main.BuildAndSendInvokeTxn(f.ctx, []rpc.InvokeFunctionCall{
		call(f.token, "transfer", address, number(1000), number(0)), call(f.token, "transfer", number(0x123), number(5), number(0)),
	}, &account.TxnOptions{UseLatest: true, UseQueryBit: true}))
	f.sent = sent.Hash
	receipt := f.accepted(sent.Hash)
	want(len(receipt.Events) == 3, "%d events of two transfers and a fee", len(receipt.Events))
	f.accepted(must(f.fresh.BuildAndSendInvokeTxn(f.ctx, []rpc.InvokeFunctionCall{call(f.token, "transfer", f.main.Address, number(400), number(0))}, nil)).Hash)
	want(f.balance(address) == 600, "the balance is %d", f.balance(address))
}

func (f *flow) balance(of *felt.Felt) uint64 {
	result := must(f.node.Call(f.ctx, rpc.FunctionCall{ContractAddress: f.token, EntryPointSelector: utils.GetSelectorFromNameFelt("balance_of"), Calldata: []*felt.Felt{of}}, preConfirmed))
	return result[0].Uint64()
}
