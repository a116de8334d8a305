package devnet

import (
	"context"
	"math/big"
	"sync"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/rpc"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
)

// Options are the parts that the devnet_* methods work on.
type Options struct {
	ChainID  felt.Felt
	Chain    *chainview.Chain
	Gateway  Gateway
	Config   Config
	Accounts []Account
	STRK     felt.Felt // token contracts
	ETH      felt.Felt
	Faucet   Faucet
	// CreateBlock closes a block now, also an empty one, and returns its hash when the block is accepted.
	CreateBlock func(ctx context.Context) (hash felt.Felt, err error)
	Clock       Clock
	// Forbidden methods are known and refused, as by starknet-devnet in its restrictive mode.
	Forbidden []string
}

// Gateway admits the transactions of the faucet; *gateway.Gateway is one.
type Gateway interface {
	Admit(ctx context.Context, b *gateway.Broadcast) error
}

// Devnet serves the devnet_* methods. It is an rpc.Extension; safe for concurrent use.
type Devnet struct {
	Options
	*Answers
	server    *rpc.Server // set by Methods, before any call
	mint      minter
	submitted submissions
	moving    sync.Mutex // held while the time of blocks is moved
}

var _ rpc.Extension = (*Devnet)(nil)

// New returns the extension of a development node, whose answers about transactions come as Answers decides.
func New(o Options, a *Answers) *Devnet { return &Devnet{Options: o, Answers: a} }

// Submitted implements rpc.Extension.
func (d *Devnet) Submitted(hash []byte) { d.submitted.add(hash) }

// Faucet is the account that may mint both tokens.
type Faucet interface {
	Address() felt.Felt
	// Sign returns the signature that the account accepts on a transaction hash.
	Sign(hash felt.Felt) ([]felt.Felt, error)
}

// Config answers devnet_getConfig; the field names are starknet-devnet'd.
type Config struct {
	Seed             uint32    `json:"seed"`
	TotalAccounts    uint8     `json:"total_accounts"`
	AccountClassHash felt.Felt `json:"account_contract_class_hash"`
	InitialBalance   string    `json:"predeployed_accounts_initial_balance"` // decimal
	StartTime        *uint64   `json:"start_time"`
	L1GasPriceWei    uint64    `json:"gas_price_wei"`
	L1GasPriceFri    uint64    `json:"gas_price_fri"`
	DataGasPriceWei  uint64    `json:"data_gas_price_wei"`
	DataGasPriceFri  uint64    `json:"data_gas_price_fri"`
	L2GasPriceWei    uint64    `json:"l2_gas_price_wei"`
	L2GasPriceFri    uint64    `json:"l2_gas_price_fri"`
	ChainID          string    `json:"chain_id"`
	DumpOn           *string   `json:"dump_on"`
	DumpPath         *string   `json:"dump_path"`
	StateArchive     string    `json:"state_archive"`
	Fork             Fork      `json:"fork_config"`
	Server           Listener  `json:"server_config"`
	BlockGeneration  any       `json:"block_generation_on"` // "transaction", "demand" or seconds
	LiteMode         bool      `json:"lite_mode"`
}

// Fork is the part of Config about forking. It has no values: there is no forking.
type Fork struct {
	URL         *string `json:"url"`
	BlockNumber *uint64 `json:"block_number"`
}

// Listener is the address that the node listens at.
type Listener struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// Account is a predeployed account. Its key is public: it exists on dev chains only.
type Account struct {
	InitialBalance string    `json:"initial_balance"` // decimal
	Address        felt.Felt `json:"address"`
	PublicKey      felt.Felt `json:"public_key"`
	PrivateKey     felt.Felt `json:"private_key"`
}

// errForbidden is starknet-devnet's, of its restrictive mode.
func errForbidden() error { return rpc.Errorf(-32604, "Method forbidden") }

// Methods implements rpc.Extension. All of them are guarded: they move money and time, or reveal keys.
func (d *Devnet) Methods(s *rpc.Server) map[string]rpc.Method {
	d.server, d.mint.turns = s, s.Turns("mints", 1)
	methods := map[string]rpc.Method{
		"devnet_getConfig":              {Call: func(context.Context, *rpc.Params) (any, error) { return d.Config, nil }},
		"devnet_getPredeployedAccounts": {Params: []string{"with_balance"}, Call: d.predeployed},
		"devnet_getAccountBalance":      {Params: []string{"address", "unit", "block_id", "block_tag"}, Call: d.accountBalance},
		"devnet_mint":                   {Params: []string{"address", "amount", "unit"}, Call: d.serveMint},
		"devnet_createBlock":            {Call: d.createBlock},
		"devnet_setTime":                {Params: []string{"time", "generate_block"}, Call: d.setTime},
		"devnet_increaseTime":           {Params: []string{"time"}, Call: d.increaseTime},
	}
	for _, name := range d.Forbidden {
		if m, ok := methods[name]; ok {
			m.Call = func(context.Context, *rpc.Params) (any, error) { return nil, errForbidden() }
			methods[name] = m
		}
	}
	return methods
}

type balance struct {
	Amount string `json:"amount"`
	Unit   string `json:"unit"`
}

func (d *Devnet) predeployed(ctx context.Context, p *rpc.Params) (any, error) {
	with := p.Has("with_balance") && p.Bool("with_balance")
	if err := p.Err(); err != nil {
		return nil, err
	}
	type balances struct {
		ETH  balance `json:"eth"`
		STRK balance `json:"strk"`
	}
	type account struct {
		Account
		Balance *balances `json:"balance,omitempty"`
	}
	list := make([]account, len(d.Accounts))
	at := d.server.PreConfirmed()
	for i, a := range d.Accounts {
		list[i].Account = a
		if !with {
			continue
		}
		wei, err := d.balanceOf(ctx, at, a.Address, "WEI")
		if err != nil {
			return nil, err
		}
		fri, err := d.balanceOf(ctx, at, a.Address, "FRI")
		if err != nil {
			return nil, err
		}
		list[i].Balance = &balances{balance{wei.String(), "WEI"}, balance{fri.String(), "FRI"}}
	}
	return list, nil
}

var units = []string{"FRI", "WEI"}

// unitParam reads the optional unit; FRI without.
func unitParam(p *rpc.Params) string {
	if !p.Has("unit") {
		return units[0]
	}
	return units[p.Enum("unit", units...)]
}

func (d *Devnet) token(unit string) felt.Felt {
	if unit == "WEI" {
		return d.ETH
	}
	return d.STRK
}

func (d *Devnet) accountBalance(ctx context.Context, p *rpc.Params) (any, error) {
	packed, unit := p.Felt("address"), unitParam(p)
	id := rpc.BlockID{Tag: rpc.TagLatest}
	for _, name := range []string{"block_id", "block_tag"} { // the second is what older clients send
		if p.Has(name) {
			at, err := rpc.DecodeBlockID(p.Raw(name))
			p.Fail(name, err)
			id = at
		}
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	ref, err := d.server.Block(ctx, id)
	if err != nil {
		return nil, err
	}
	address, err := felt.FromBytes(packed)
	if err != nil {
		return nil, err
	}
	amount, err := d.balanceOf(ctx, ref, address, unit)
	if err != nil {
		return nil, err
	}
	return balance{amount.String(), unit}, nil
}

// balanceOf asks the token contract for the balance of an account.
func (d *Devnet) balanceOf(ctx context.Context, at *rpc.BlockRef, account felt.Felt, unit string) (*big.Int, error) {
	result, err := d.server.CallContract(ctx, at, &ordov1.CallView{
		Contract: d.token(unit).Append(nil), Selector: keccak.Selector("balanceOf").Append(nil), Calldata: account.Append(nil),
	})
	if err != nil {
		return nil, err
	}
	if len(result) != 2*felt.Size {
		return nil, rpc.ContractError("balanceOf of the fee token did not return a u256")
	}
	low, high := new(big.Int).SetBytes(result[:felt.Size]), new(big.Int).SetBytes(result[felt.Size:])
	return low.Add(low, high.Lsh(high, 128)), nil
}

func (d *Devnet) createBlock(ctx context.Context, _ *rpc.Params) (any, error) {
	hash, err := d.makeBlock(ctx)
	if err != nil {
		return nil, err
	}
	return struct {
		Hash felt.Felt `json:"block_hash"`
	}{hash}, nil
}
