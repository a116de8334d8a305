// Package client is a small Starknet JSON-RPC client for commands, benchmarks and tests.
// It signs transactions, and hides nothing that a test may want to get wrong.
package client

import (
	"encoding/binary"

	"github.com/ordo-sequencer/ordo/devnet/genesis"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
)

// Account signs transactions. Nothing is looked up: nonce, bounds and tip are what the caller says.
type Account struct {
	Address, Key felt.Felt
	Chain        felt.Felt
	Bounds       starknet.ResourceBounds
	Tip          uint64
}

// NewAccount is an account with bounds wide enough for ordinary transactions at default prices.
func NewAccount(a genesis.Account, chainID string) *Account {
	return &Account{Address: a.Address, Key: a.PrivateKey, Chain: felt.MustShortString(chainID), Bounds: WideBounds()}
}

// WideBounds pays up to about 1.6 STRK at the default prices.
func WideBounds() starknet.ResourceBounds {
	price := starknet.Uint128{Lo: 1_500_000_000}
	return starknet.ResourceBounds{
		L1Gas:     starknet.Bound{MaxAmount: 20_000, MaxPrice: price},
		L2Gas:     starknet.Bound{MaxAmount: 1_000_000_000, MaxPrice: price},
		L1DataGas: &starknet.Bound{MaxAmount: 20_000, MaxPrice: price},
	}
}

// Call is one call of an invoke.
type Call struct {
	To, Selector felt.Felt
	Calldata     []felt.Felt
}

// Transfer moves tokens; the entry point is the one of the fee tokens and of most others.
func Transfer(token, to felt.Felt, amount uint64) Call {
	return Call{To: token, Selector: keccak.Selector("transfer"), Calldata: []felt.Felt{to, felt.FromUint64(amount), felt.Zero()}}
}

// Deploy asks the universal deployer for a contract; with unique false its address depends on salt and data only.
func Deploy(class, salt felt.Felt, constructor ...felt.Felt) Call {
	data := []felt.Felt{class, salt, felt.Zero(), felt.FromUint64(uint64(len(constructor)))}
	return Call{To: genesis.UDCAddress(), Selector: keccak.Selector("deployContract"), Calldata: append(data, constructor...)}
}

// Multicall is the calldata of __execute__.
func Multicall(calls ...Call) []felt.Felt {
	data := []felt.Felt{felt.FromUint64(uint64(len(calls)))}
	for _, c := range calls {
		data = append(data, c.To, c.Selector, felt.FromUint64(uint64(len(c.Calldata))))
		data = append(data, c.Calldata...)
	}
	return data
}

// Tx is a signed transaction with the class that a declare brings.
type Tx struct {
	*ordov1.Transaction
	Class *ordov1.Class
}

// ID is the hash as hex.
func (t *Tx) ID() string { return Hex(t.Hash) }

// Invoke signs an invoke.
func (a *Account) Invoke(nonce uint64, calls ...Call) *Tx {
	t := &starknet.InvokeV3{V3: a.v3(nonce), Sender: a.Address, Calldata: Multicall(calls...)}
	tx := a.message(ordov1.TransactionType_INVOKE, nonce, t.Hash(a.Chain, false))
	tx.Calldata = felt.Pack(t.Calldata)
	return &Tx{Transaction: tx}
}

// Declare signs a declare of a compiled class.
func (a *Account) Declare(nonce uint64, class *ordov1.Class) *Tx {
	hash, compiled := Felt(class.Hash), Felt(class.CompiledClassHash)
	t := &starknet.DeclareV3{V3: a.v3(nonce), Sender: a.Address, ClassHash: hash, CompiledClassHash: compiled}
	tx := a.message(ordov1.TransactionType_DECLARE, nonce, t.Hash(a.Chain, false))
	tx.ClassHash, tx.CompiledClassHash = class.Hash, class.CompiledClassHash
	return &Tx{Transaction: tx, Class: class}
}

// NewAccountAt is the account of a key that is not deployed yet: DeployAccount deploys it.
func NewAccountAt(like *Account, class, salt, key felt.Felt) *Account {
	fresh := *like
	fresh.Key = key
	fresh.Address = starknet.ContractAddress(felt.Zero(), salt, class, []felt.Felt{genesis.PublicKey(key)})
	return &fresh
}

// DeployAccount signs the deployment of the account itself.
func (a *Account) DeployAccount(class, salt felt.Felt) *Tx {
	constructor := []felt.Felt{genesis.PublicKey(a.Key)}
	t := &starknet.DeployAccountV3{V3: a.v3(0), ClassHash: class, Salt: salt, ConstructorCalldata: constructor}
	tx := a.message(ordov1.TransactionType_DEPLOY_ACCOUNT, 0, t.Hash(a.Chain, false))
	tx.ClassHash, tx.ContractAddressSalt, tx.Calldata = class.Append(nil), salt.Append(nil), felt.Pack(constructor)
	return &Tx{Transaction: tx}
}

func (a *Account) v3(nonce uint64) starknet.V3 {
	return starknet.V3{Tip: a.Tip, Bounds: a.Bounds, Nonce: felt.FromUint64(nonce)}
}

func (a *Account) message(kind ordov1.TransactionType, nonce uint64, hash felt.Felt) *ordov1.Transaction {
	r, s := genesis.Sign(a.Key, hash)
	return &ordov1.Transaction{
		Type: kind, Hash: hash.Append(nil), Sender: a.Address.Append(nil), Nonce: felt.FromUint64(nonce).Append(nil), Tip: a.Tip,
		ResourceBounds: &ordov1.ResourceBounds{
			L1GasAmount: a.Bounds.L1Gas.MaxAmount, L1GasPrice: u128(a.Bounds.L1Gas.MaxPrice),
			L2GasAmount: a.Bounds.L2Gas.MaxAmount, L2GasPrice: u128(a.Bounds.L2Gas.MaxPrice),
			L1DataGasAmount: a.Bounds.L1DataGas.MaxAmount, L1DataGasPrice: u128(a.Bounds.L1DataGas.MaxPrice),
		},
		Signature: felt.Pack([]felt.Felt{r, s}),
	}
}

func u128(n starknet.Uint128) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n.Hi), n.Lo)
}

// Felt reads a felt of a message; it panics on a damaged one, which only a wrong test makes.
func Felt(raw []byte) felt.Felt {
	f, err := felt.FromBytes(raw)
	if err != nil {
		panic(err)
	}
	return f
}

// Hex writes a felt of a message.
func Hex(raw []byte) string { return Felt(raw).Hex() }
