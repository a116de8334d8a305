// Package genesis builds block 0 of a development chain: fee tokens, deployers and funded accounts, at the addresses that clients
// know.
// It is a state diff with classes and no transactions; the same options give the same bytes.
package genesis

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/ordo-sequencer/ordo/contracts"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// MaxAccounts is devnet's limit, kept since clients read the number as a byte.
const MaxAccounts = 255

// Options is what the operator chooses.
type Options struct {
	Seed           uint32
	Accounts       int
	InitialBalance *big.Int // of each account, in wei and in fri
	AccountClass   AccountClass
	Contracts      string // folder of the class files
	Tokens         []Token
}

// Token is an ERC-20 of new Sierra beside the fee tokens; benchmarks move it. Each predeployed account gets Amount.
type Token struct {
	Address felt.Felt
	Amount  uint64
}

// AccountClass names the class of the predeployed accounts.
type AccountClass string

const (
	// OpenZeppelin is the account that clients know, of an old Sierra version: it always runs on the Cairo VM.
	OpenZeppelin AccountClass = "openzeppelin"
	// Native is a plain account of a new Sierra version: metered in Sierra gas, and Cairo Native can run it.
	Native AccountClass = "native"
)

// Contract is the name of its class file.
func (c AccountClass) Contract() string {
	if c == Native {
		return contracts.NativeAccount
	}
	return contracts.OpenZeppelinAccount
}

// Genesis is block 0.
type Genesis struct {
	Diff       *ordov1.StateDiff
	Classes    []*ordov1.Class
	Accounts   []Account
	Chargeable Account // may mint
	Class      felt.Felt
	STRK, ETH  Contract
	UDC        Contract
	LegacyUDC  Contract
}

// Contract is where something lies and what it runs.
type Contract struct {
	Address, ClassHash felt.Felt
}

// STRKAddress is the fee token that transactions of version 3 pay in.
func STRKAddress() felt.Felt {
	return felt.MustHex("0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d")
}

// ETHAddress is the fee token of older transactions and of messages.
func ETHAddress() felt.Felt {
	return felt.MustHex("0x49d36570d4e46f48e99674bd3fcc84644ddd6b96f7c741b1562b82f9e004dc7")
}

// UDCAddress is the universal deployer that clients use today.
func UDCAddress() felt.Felt {
	return felt.MustHex("0x2ceed65a4bd731034c01113685c831b01c15d7d432f71afb1cf1634b53a2125")
}

// LegacyUDCAddress is the universal deployer of Cairo 0, still hard-coded in many places.
func LegacyUDCAddress() felt.Felt {
	return felt.MustHex("0x41a78e741e5af2fec34b695679bc6891742439f7afb8484ecd7766661ad02bf")
}

// New builds block 0.
func New(o Options) (*Genesis, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	b := builder{dir: o.Contracts, contracts: map[felt.Felt]*contract{}, classes: map[felt.Felt]*ordov1.Class{}}
	g := &Genesis{Accounts: Accounts(o.Seed, o.Accounts), Chargeable: chargeable()}
	g.STRK = b.deploy(STRKAddress(), contracts.STRK)
	g.ETH = b.deploy(ETHAddress(), contracts.ETH)
	g.UDC = b.deploy(UDCAddress(), contracts.UDC)
	g.LegacyUDC = b.deploy(LegacyUDCAddress(), contracts.LegacyUDC)
	b.token(g.STRK.Address, "StarkNet Token", "STRK", g.Chargeable.Address)
	b.token(g.ETH.Address, "Ether", "ETH", g.Chargeable.Address)
	b.account(g.Chargeable, OpenZeppelin, chargeableBalance())
	for _, a := range g.Accounts {
		b.account(a, o.AccountClass, o.InitialBalance)
	}
	for _, t := range o.Tokens {
		b.plainToken(t, g.Accounts)
	}
	// Both account classes are there whichever the accounts use: DEPLOY_ACCOUNT of either works at once.
	g.Class = b.declare(o.AccountClass.Contract())
	for _, other := range []AccountClass{OpenZeppelin, Native} {
		b.declare(other.Contract())
	}
	supply := new(big.Int).Mul(o.InitialBalance, big.NewInt(int64(o.Accounts)))
	supply.Add(supply, chargeableBalance())
	for _, token := range []felt.Felt{g.STRK.Address, g.ETH.Address} {
		b.storage(token).putU256(variable("ERC20_total_supply"), supply)
	}
	if b.err != nil {
		return nil, fmt.Errorf("genesis: %w", b.err)
	}
	g.Diff, g.Classes = b.finish()
	return g, nil
}

func (o Options) check() error {
	switch {
	case o.Accounts < 0 || o.Accounts > MaxAccounts:
		return fmt.Errorf("genesis: %d accounts: choose 0 to %d", o.Accounts, MaxAccounts)
	case o.InitialBalance == nil || o.InitialBalance.Sign() < 0:
		return errors.New("genesis: initial balance: choose 0 or more")
	case o.AccountClass != OpenZeppelin && o.AccountClass != Native:
		return fmt.Errorf("genesis: account class %q: choose %s or %s", o.AccountClass, OpenZeppelin, Native)
	}
	supply := new(big.Int).Mul(o.InitialBalance, big.NewInt(int64(o.Accounts)))
	if supply.Add(supply, chargeableBalance()).BitLen() > 256 {
		return fmt.Errorf("genesis: initial balance: %d accounts of %s exceed the token supply of 2^255: choose less", o.Accounts, o.InitialBalance)
	}
	return nil
}

// builder gathers state; the first error stays and makes the rest do nothing that counts.
type builder struct {
	dir       string
	contracts map[felt.Felt]*contract
	classes   map[felt.Felt]*ordov1.Class
	byName    map[string]felt.Felt
	err       error
}

type contract struct {
	class   felt.Felt
	storage slots
}

// declare reads a class file once.
func (b *builder) declare(name string) felt.Felt {
	if hash, ok := b.byName[name]; ok || b.err != nil {
		return hash
	}
	class, err := contracts.Read(b.dir, name)
	if err != nil {
		b.err = err
		return felt.Zero()
	}
	hash, err := felt.FromBytes(class.Hash)
	if err != nil {
		b.err = fmt.Errorf("class file %s: class hash: %w", name, err)
	}
	if b.byName == nil {
		b.byName = make(map[string]felt.Felt)
	}
	b.byName[name] = hash
	b.classes[hash] = class
	return hash
}

func (b *builder) deploy(address felt.Felt, name string) Contract {
	class := b.declare(name)
	b.contracts[address] = &contract{class: class, storage: make(slots)}
	return Contract{Address: address, ClassHash: class}
}

func (b *builder) storage(address felt.Felt) slots { return b.contracts[address].storage }

func (b *builder) token(address felt.Felt, name, symbol string, minter felt.Felt) {
	s := b.storage(address)
	s.putText("ERC20_name", name)
	s.putText("ERC20_symbol", symbol)
	s.put(variable("ERC20_decimals"), felt.FromUint64(18))
	s.put(variable("permitted_minter"), minter)
}

// plainToken is the ERC-20 of Cairo's own examples: names are single felts.
func (b *builder) plainToken(t Token, owners []Account) {
	b.deploy(t.Address, contracts.ERC20)
	s := b.storage(t.Address)
	s.put(variable("name"), felt.MustShortString("Token"))
	s.put(variable("symbol"), felt.MustShortString("TOK"))
	s.put(variable("decimals"), felt.FromUint64(18))
	amount := new(big.Int).SetUint64(t.Amount)
	s.putU256(variable("total_supply"), new(big.Int).Mul(amount, big.NewInt(int64(len(owners)))))
	for _, a := range owners {
		s.putU256(variable("balances", a.Address), amount)
	}
}

// account deploys an account as its constructor would have, and funds it.
func (b *builder) account(a Account, class AccountClass, balance *big.Int) {
	b.deploy(a.Address, class.Contract())
	s := b.storage(a.Address)
	switch class {
	case Native:
		s.put(variable("public_key"), a.PublicKey)
	default:
		s.put(variable("Account_public_key"), a.PublicKey)
		account := felt.MustHex("0x2ceccef7f994940b3962a6c67e0ba4fcd37df7d131417c604f91e03caecc1cd") // SRC-6
		s.put(variable("SRC5_supported_interfaces", account), felt.One())
	}
	for _, token := range []felt.Felt{STRKAddress(), ETHAddress()} {
		b.storage(token).putU256(variable("ERC20_balances", a.Address), balance)
	}
}

// finish puts everything into the canonical order.
func (b *builder) finish() (*ordov1.StateDiff, []*ordov1.Class) {
	diff := new(ordov1.StateDiff)
	for _, address := range sorted(b.contracts) {
		c := b.contracts[address]
		diff.Deployed = c.class.Append(address.Append(diff.Deployed))
		if len(c.storage) == 0 {
			continue
		}
		entries := make([]byte, 0, len(c.storage)*2*felt.Size)
		for _, key := range sorted(c.storage) {
			entries = c.storage[key].Append(key.Append(entries))
		}
		diff.Storage = append(diff.Storage, &ordov1.ContractStorage{Address: address.Append(nil), Entries: entries})
	}
	var classes []*ordov1.Class
	for _, hash := range sorted(b.classes) {
		class := b.classes[hash]
		classes = append(classes, class)
		if class.Kind == ordov1.Class_CAIRO0 {
			diff.DeprecatedDeclared = hash.Append(diff.DeprecatedDeclared)
			continue
		}
		diff.Declared = append(hash.Append(diff.Declared), class.CompiledClassHash...)
	}
	return diff, classes
}

func sorted[V any](m map[felt.Felt]V) []felt.Felt {
	keys := make([]felt.Felt, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b felt.Felt) int {
		x, y := a.Bytes(), b.Bytes()
		return bytes.Compare(x[:], y[:])
	})
	return keys
}
