package e2e

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/contracts"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/openrpc"
)

// openZeppelin is the class of the predeployed accounts.
func openZeppelin() felt.Felt {
	return felt.MustHex("0x5b4b537eaa2399e3aa99c4e2e0208ebd6c71bc1467938cd52c798c601e43564")
}

// provoker asks for errors.
type provoker struct {
	*node
	whole *node // by its own path
	t     *testing.T
}

// held runs something while consensus is stopped, so that transactions wait in the pool.
func (p *provoker) held(work func()) {
	p.t.Helper()
	pid := p.whole.listed(p.t, "consensus").PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	work()
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		p.t.Fatal(err)
	}
}

// refused wants an error of that code; 0: a result.
func (p *provoker) refused(code int, method string, params ...any) {
	p.t.Helper()
	p.judge(code, method, p.Call(within(p.t, patient), method, append([]any{}, params...), nil))
}

// sent wants a transaction to be refused with that code.
func (p *provoker) sent(code int, tx *client.Tx, changes ...func(map[string]any)) {
	p.t.Helper()
	body := tx.JSON()
	for _, change := range changes {
		change(body)
	}
	_, err := p.SubmitJSON(within(p.t, patient), tx.Type, body)
	p.judge(code, tx.Type.String(), err)
}

func (p *provoker) judge(code int, what string, err error) {
	p.t.Helper()
	var e *client.Error
	if errors.As(err, &e) && e.Code == code || err == nil && code == openrpc.Result {
		return
	}
	p.t.Errorf("%s: got %v, want %d", what, err, code)
}

func set(field string, value any) func(map[string]any) {
	return func(tx map[string]any) { tx[field] = value }
}

// provoke makes the node give each error that it can give in a version.
func provoke(t *testing.T, whole, n *node, version string) {
	t.Helper()
	p := &provoker{n, whole, t}
	p.reads(version == openrpc.Versions[0])
	all := accounts(0, 10)
	p.transactions(all[4:], version == openrpc.Versions[0])
	p.declarations(all[6])
	p.deployments(all[8])
	p.refused(42, "starknet_getStorageProof", map[string]any{"block_number": 0}) // by now far behind
}

func (p *provoker) reads(newest bool) {
	none, account, token := map[string]any{"block_number": 1 << 40}, accounts(0, 1)[0].Address.Hex(), strk().Hex()
	for _, method := range []string{"getBlockWithTxHashes", "getBlockWithTxs", "getBlockWithReceipts", "getBlockTransactionCount", "getStateUpdate", "traceBlockTransactions", "getStorageProof"} {
		p.refused(24, "starknet_"+method, none)
	}
	for _, method := range []string{"getNonce", "getClassHashAt", "getClassAt"} {
		p.refused(24, "starknet_"+method, none, account)
		p.refused(20, "starknet_"+method, "latest", "0xdead")
	}
	p.refused(24, "starknet_getStorageAt", token, "0x1", none)
	p.refused(20, "starknet_getStorageAt", "0xdead", "0x1", "latest")
	p.refused(24, "starknet_getClass", none, "0x1")
	p.refused(28, "starknet_getClass", "latest", "0x1")
	p.refused(28, "starknet_getCompiledCasm", "0x1")
	p.refused(24, "starknet_getTransactionByBlockIdAndIndex", none, 0)
	p.refused(27, "starknet_getTransactionByBlockIdAndIndex", "latest", 1000)
	for _, method := range []string{"getTransactionByHash", "getTransactionStatus", "getTransactionReceipt", "traceTransaction", "getMessagesStatus"} {
		p.refused(29, "starknet_"+method, "0x1")
	}
	filter := func(more map[string]any) map[string]any {
		f := map[string]any{"chunk_size": 5}
		for key, value := range more {
			f[key] = value
		}
		return f
	}
	p.refused(24, "starknet_getEvents", filter(map[string]any{"from_block": none}))
	p.refused(31, "starknet_getEvents", map[string]any{"chunk_size": 1 << 30})
	p.refused(33, "starknet_getEvents", filter(map[string]any{"continuation_token": "none"}))
	p.refused(34, "starknet_getEvents", filter(map[string]any{"keys": [][]string{slices.Repeat([]string{"0x1"}, 2000)}}))

	call := func(to, function string, calldata ...string) map[string]any {
		return map[string]any{"contract_address": to, "entry_point_selector": keccak.Selector(function).Hex(), "calldata": append([]string{}, calldata...)}
	}
	p.refused(0, "starknet_call", call(token, "balance_of", account), "latest")
	p.refused(20, "starknet_call", call("0xdead", "balance_of", account), "latest")
	p.refused(21, "starknet_call", call(token, "nothing"), "latest")
	p.refused(24, "starknet_call", call(token, "balance_of", account), none)
	p.refused(40, "starknet_call", call(token, "balance_of"), "latest")

	message := func(to string) map[string]any {
		return map[string]any{"from_address": "0x8888888888888888888888888888888888888888", "to_address": to, "entry_point_selector": "0x1", "payload": []string{"0x1"}}
	}
	missing := map[bool]int{true: 20, false: 40}[newest]
	p.refused(missing, "starknet_estimateMessageFee", message("0xdead"), "latest")
	p.refused(24, "starknet_estimateMessageFee", message(token), none)
	p.refused(40, "starknet_estimateMessageFee", message(token), "latest")
	p.message(accounts(0, 10)[9])

	a := accounts(0, 4)[3]
	transfer := client.Transfer(strk(), felt.FromUint64(7), 1)
	stranger := *a
	stranger.Address = felt.MustHex("0xdead")
	p.refused(24, "starknet_estimateFee", []any{}, []string{}, none)
	p.refused(41, "starknet_estimateFee", []any{a.Invoke(1<<40, transfer).JSON()}, []string{}, "latest")
	p.refused(map[bool]int{true: 20, false: 41}[newest], "starknet_estimateFee", []any{stranger.Invoke(0, transfer).JSON()}, []string{}, "latest")
	if newest {
		p.refused(0, "starknet_simulateTransactions", "latest", []any{a.Invoke(10, transfer).JSON()}, []string{"SKIP_VALIDATE", "SKIP_FEE_CHARGE", "RETURN_INITIAL_READS"})
	}
	p.refused(24, "starknet_simulateTransactions", none, []any{}, []string{})
	p.refused(41, "starknet_simulateTransactions", "latest", []any{a.Invoke(1<<40, transfer).JSON()}, []string{})
}

// taker is a contract with a handler of messages, and no account.
func (p *provoker) taker() *ordov1.Class {
	p.t.Helper()
	class, err := client.CairoClass(need.Binaries(p.t), testData(p.t), p.t.TempDir(), "test_contract__test_contract")
	if err != nil {
		p.t.Fatal(err)
	}
	return class
}

// message estimates a message to a contract that takes it, which it deploys.
func (p *provoker) message(a *client.Account) {
	class := p.taker()
	hash := client.Felt(class.Hash)
	p.accepted(p.t, p.submit(p.t, a.Declare(0, class)))
	p.accepted(p.t, p.submit(p.t, a.Invoke(1, client.Deploy(hash, felt.One(), felt.One()))))
	p.refused(0, "starknet_estimateMessageFee", map[string]any{
		"from_address": "0x8888888888888888888888888888888888888888", "payload": []string{"0x7"}, "entry_point_selector": keccak.Selector("l1_handle").Hex(),
		"to_address": starknet.ContractAddress(felt.Zero(), felt.One(), hash, []felt.Felt{felt.One()}).Hex(),
	}, "latest")
}

func (p *provoker) transactions(all []*client.Account, newest bool) {
	a := all[0]
	to := felt.FromUint64(1234)
	transfer := client.Transfer(strk(), to, 1)
	wrongKey, tooDear, tooLow, free, noAccount := *a, *a, *a, *a, *a
	wrongKey.Key = felt.FromUint64(4711)
	tooDear.Bounds.L2Gas.MaxAmount = 1 << 60
	tooLow.Bounds.L2Gas.MaxAmount = 10
	free.Bounds.L2Gas.MaxPrice = starknet.Uint128{Lo: 1}
	noAccount.Address = genesis.UDCAddress()
	p.accepted(p.t, p.submit(p.t, all[1].Invoke(0, client.Transfer(strk(), noAccount.Address, 1e19))))
	p.sent(55, wrongKey.Invoke(0, transfer))
	p.sent(54, tooDear.Invoke(0, transfer))
	p.sent(53, tooLow.Invoke(0, transfer))
	p.sent(65, free.Invoke(0, transfer))
	p.sent(52, a.Invoke(1_000_000, transfer))
	p.sent(58, noAccount.Invoke(0, transfer))
	p.sent(61, a.Invoke(0, transfer), set("version", "0x1"))
	p.sent(63, a.Invoke(0, transfer), set("signature", slices.Repeat([]string{"0x1"}, 5000)))
	p.sent(map[bool]int{true: 69, false: -32602}[newest], a.Invoke(0, transfer), set("proof", "AAAA"))
	early := a.Invoke(3, transfer) // waits for its nonce
	p.sent(0, early)
	p.sent(59, early)
	p.sent(64, a.Invoke(3, client.Transfer(strk(), to, 2)))
	p.refused(10, "starknet_traceTransaction", early.ID())
	p.refused(0, "starknet_getTransactionStatus", early.ID())
}

func (p *provoker) class(name string) *ordov1.Class {
	p.t.Helper()
	class, err := contracts.Read(filepath.Join(need.Binaries(p.t), "contracts"), name)
	if err != nil {
		p.t.Fatal(err)
	}
	return class
}

// large are the felts of a program over the limit.
const large = 90_000

func (p *provoker) declarations(a *client.Account) {
	hello, declared := p.class(contracts.Hello), p.class(contracts.OpenZeppelinAccount)
	changed := func(change func([]any) []any) *ordov1.Class {
		var definition map[string]any
		if err := json.Unmarshal(hello.Definition, &definition); err != nil {
			p.t.Fatal(err)
		}
		definition["sierra_program"] = change(definition["sierra_program"].([]any))
		raw, err := json.Marshal(definition)
		if err != nil {
			p.t.Fatal(err)
		}
		class := &ordov1.Class{Hash: hello.Hash, Definition: raw, CompiledClassHash: hello.CompiledClassHash}
		if read, err := gateway.DecodeClass(raw); err == nil { // signed well
			class.Hash = read.Hash
		}
		return class
	}
	wrongKey, tooDear, tooLow, free, noAccount := *a, *a, *a, *a, *a
	wrongKey.Key = felt.FromUint64(4711)
	tooDear.Bounds.L2Gas.MaxAmount = 1 << 60
	tooLow.Bounds.L2Gas.MaxAmount = 10
	free.Bounds.L2Gas.MaxPrice = starknet.Uint128{Lo: 1}
	noAccount.Address = genesis.UDCAddress()
	p.sent(55, wrongKey.Declare(0, hello))
	p.sent(54, tooDear.Declare(0, hello))
	p.sent(53, tooLow.Declare(0, hello))
	p.sent(65, free.Declare(0, hello))
	p.sent(52, a.Declare(1_000_000, hello))
	p.sent(58, noAccount.Declare(0, hello))
	p.sent(61, a.Declare(0, hello), set("version", "0x1"))
	p.sent(63, a.Declare(0, hello), set("signature", slices.Repeat([]string{"0x1"}, 5000)))
	p.sent(51, a.Declare(0, declared))
	p.sent(60, a.Declare(0, &ordov1.Class{Hash: hello.Hash, Kind: hello.Kind, Definition: hello.Definition, CompiledClassHash: declared.CompiledClassHash}))
	p.sent(56, a.Declare(0, changed(func(program []any) []any { return program[:len(program)/2] })))
	p.sent(57, a.Declare(0, changed(func(program []any) []any { return slices.Repeat([]any{"0x1"}, large) })))
	p.sent(62, a.Declare(0, changed(func(program []any) []any { program[0], program[1] = "0x63", "0x63"; return program })))
	again, dearer := a.Declare(0, hello), *a
	dearer.Bounds.L2Gas.MaxAmount++
	p.held(func() {
		p.sent(0, again)
		p.sent(59, again)
		p.sent(64, dearer.Declare(0, hello))
	})
	p.accepted(p.t, again.ID())
}

func (p *provoker) deployments(funder *client.Account) {
	class, noClass, noAccount := openZeppelin(), felt.MustHex("0xc1a55"), client.Felt(p.taker().Hash)
	fund := func(salt uint64, class felt.Felt) *client.Account {
		a := client.NewAccountAt(funder, class, felt.FromUint64(salt), felt.FromUint64(77))
		p.accepted(p.t, p.submit(p.t, funder.Invoke(salt, client.Transfer(strk(), a.Address, 5e18))))
		return a
	}
	salt := felt.FromUint64
	poor := client.NewAccountAt(funder, class, salt(99), felt.FromUint64(77))
	p.sent(54, poor.DeployAccount(class, salt(99)))
	a := fund(0, class)
	wrongKey, tooLow, free := *a, *a, *a
	wrongKey.Key = felt.FromUint64(4711)
	tooLow.Bounds.L2Gas.MaxAmount = 10
	free.Bounds.L2Gas.MaxPrice = starknet.Uint128{Lo: 1}
	p.sent(55, wrongKey.DeployAccount(class, salt(0)), set("constructor_calldata", []string{genesis.PublicKey(felt.FromUint64(77)).Hex()}))
	p.sent(53, tooLow.DeployAccount(class, salt(0)))
	p.sent(65, free.DeployAccount(class, salt(0)))
	p.sent(52, a.DeployAccount(class, salt(0)), set("nonce", "0x1"))
	p.sent(61, a.DeployAccount(class, salt(0)), set("version", "0x1"))
	p.sent(63, a.DeployAccount(class, salt(0)), set("signature", slices.Repeat([]string{"0x1"}, 5000)))
	p.sent(28, fund(1, noClass).DeployAccount(noClass, salt(1)))
	p.sent(58, fund(2, noAccount).DeployAccount(noAccount, salt(2)))
	again, dearer := a.DeployAccount(class, salt(0)), *a
	dearer.Bounds.L2Gas.MaxAmount++
	p.held(func() {
		p.sent(0, again)
		p.sent(59, again)
		p.sent(64, dearer.DeployAccount(class, salt(0)))
	})
	p.accepted(p.t, again.ID())
}
