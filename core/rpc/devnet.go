package rpc

import (
	"context"
	"math/big"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
)

// Devnet is what a dev node adds: the methods that starknet-devnet's clients know.
type Devnet struct {
	Config   DevnetConfig
	Accounts []DevnetAccount
	STRK     felt.Felt // token contracts
	ETH      felt.Felt
	Faucet   Faucet // mints; nil: devnet_mint is not served
	// CreateBlock closes a block now, also an empty one, and returns its hash when the root is known; nil: not served.
	CreateBlock func(ctx context.Context) (hash []byte, err error)
	Clock       Clock // with CreateBlock, serves devnet_setTime and devnet_increaseTime
	// Hidden: the methods are not served; what else the node does as a dev node stays.
	Hidden bool
	// Forbidden methods are known and refused, as by devnet in its restrictive mode.
	Forbidden []string
	// Instant: every transaction gets a block at once, so the answer to one that is sent, or minted, waits for its block.
	Instant bool
}

// Faucet is the account that may mint both tokens.
type Faucet interface {
	Address() felt.Felt
	// Sign returns the signature that the account accepts on a transaction hash.
	Sign(hash felt.Felt) ([]felt.Felt, error)
}

// DevnetConfig answers devnet_getConfig; the field names are starknet-devnet's.
type DevnetConfig struct {
	Seed             uint32       `json:"seed"`
	TotalAccounts    uint8        `json:"total_accounts"`
	AccountClassHash felt.Felt    `json:"account_contract_class_hash"`
	InitialBalance   string       `json:"predeployed_accounts_initial_balance"` // decimal
	StartTime        *uint64      `json:"start_time"`
	L1GasPriceWei    uint64       `json:"gas_price_wei"`
	L1GasPriceFri    uint64       `json:"gas_price_fri"`
	DataGasPriceWei  uint64       `json:"data_gas_price_wei"`
	DataGasPriceFri  uint64       `json:"data_gas_price_fri"`
	L2GasPriceWei    uint64       `json:"l2_gas_price_wei"`
	L2GasPriceFri    uint64       `json:"l2_gas_price_fri"`
	ChainID          string       `json:"chain_id"`
	DumpOn           *string      `json:"dump_on"`
	DumpPath         *string      `json:"dump_path"`
	StateArchive     string       `json:"state_archive"`
	Fork             DevnetFork   `json:"fork_config"`
	Server           DevnetServer `json:"server_config"`
	BlockGeneration  any          `json:"block_generation_on"` // "transaction", "demand" or seconds
	LiteMode         bool         `json:"lite_mode"`
}

// DevnetFork has no values: there is no forking.
type DevnetFork struct {
	URL         *string `json:"url"`
	BlockNumber *uint64 `json:"block_number"`
}

// DevnetServer is where the node listens.
type DevnetServer struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// DevnetAccount is a predeployed account. Its key is public: it exists on dev chains only.
type DevnetAccount struct {
	InitialBalance string    `json:"initial_balance"` // decimal
	Address        felt.Felt `json:"address"`
	PublicKey      felt.Felt `json:"public_key"`
	PrivateKey     felt.Felt `json:"private_key"`
}

func (s *Server) devnetMethods() map[string]method {
	methods := map[string]method{
		"devnet_getConfig":              {call: func(context.Context, *jsonin.Object) (any, error) { return s.Devnet.Config, nil }},
		"devnet_getPredeployedAccounts": {params: []string{"with_balance"}, call: s.predeployed},
		"devnet_getAccountBalance":      {params: []string{"address", "unit", "block_id", "block_tag"}, call: s.accountBalance},
	}
	if s.Devnet.Faucet != nil {
		methods["devnet_mint"] = method{params: []string{"address", "amount", "unit"}, call: s.devnetMint}
	}
	if s.Devnet.CreateBlock != nil {
		methods["devnet_createBlock"] = method{call: s.createBlock}
	}
	if s.Devnet.CreateBlock != nil && s.Devnet.Clock != nil {
		methods["devnet_setTime"] = method{params: []string{"time", "generate_block"}, call: s.setTime}
		methods["devnet_increaseTime"] = method{params: []string{"time"}, call: s.increaseTime}
	}
	for _, name := range s.Devnet.Forbidden {
		if m, ok := methods[name]; ok {
			m.call = func(context.Context, *jsonin.Object) (any, error) { return nil, errForbidden }
			methods[name] = m
		}
	}
	return methods
}

type balance struct {
	Amount string `json:"amount"`
	Unit   string `json:"unit"`
}

func (s *Server) predeployed(ctx context.Context, p *jsonin.Object) (any, error) {
	var with bool
	if p.Has("with_balance") {
		v, err := jsonin.Bool(p.Raw("with_balance"))
		p.Fail("with_balance", err)
		with = v
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	type balances struct {
		ETH  balance `json:"eth"`
		STRK balance `json:"strk"`
	}
	type account struct {
		DevnetAccount
		Balance *balances `json:"balance,omitempty"`
	}
	list := make([]account, len(s.Devnet.Accounts))
	at := preConfirmed(s.Chain.Snapshot())
	for i, a := range s.Devnet.Accounts {
		list[i].DevnetAccount = a
		if !with {
			continue
		}
		wei, err := s.balanceOf(ctx, at, a.Address, "WEI")
		if err != nil {
			return nil, err
		}
		fri, err := s.balanceOf(ctx, at, a.Address, "FRI")
		if err != nil {
			return nil, err
		}
		list[i].Balance = &balances{balance{wei.String(), "WEI"}, balance{fri.String(), "FRI"}}
	}
	return list, nil
}

var units = []string{"FRI", "WEI"}

// unitParam reads the optional unit; FRI without.
func unitParam(p *jsonin.Object) string {
	if !p.Has("unit") {
		return units[0]
	}
	return units[p.Enum("unit", units...)]
}

func (s *Server) token(unit string) felt.Felt {
	if unit == "WEI" {
		return s.Devnet.ETH
	}
	return s.Devnet.STRK
}

func (s *Server) accountBalance(ctx context.Context, p *jsonin.Object) (any, error) {
	packed, unit := p.Felt("address"), unitParam(p)
	id := blockID{tag: tagLatest}
	for _, name := range []string{"block_id", "block_tag"} { // the second is what older clients send
		if p.Has(name) {
			at, err := decodeBlockID(p.Raw(name))
			p.Fail(name, err)
			id = at
		}
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	ref, err := s.resolve(ctx, s.Chain.Snapshot(), id)
	if err != nil {
		return nil, err
	}
	address, err := felt.FromBytes(packed)
	if err != nil {
		return nil, err
	}
	amount, err := s.balanceOf(ctx, ref, address, unit)
	if err != nil {
		return nil, err
	}
	return balance{amount.String(), unit}, nil
}

// balanceOf asks the token contract, as anybody would.
func (s *Server) balanceOf(ctx context.Context, at *blockRef, account felt.Felt, unit string) (*big.Int, error) {
	result, err := s.runCall(ctx, at, &ordov1.CallView{
		Contract: s.token(unit).Append(nil), Selector: keccak.Selector("balanceOf").Append(nil), Calldata: account.Append(nil),
	})
	if err != nil {
		return nil, err
	}
	if len(result) != 2*felt.Size {
		return nil, withData(errContract, map[string]any{"revert_error": "balanceOf of the fee token did not return a u256"})
	}
	low, high := new(big.Int).SetBytes(result[:felt.Size]), new(big.Int).SetBytes(result[felt.Size:])
	return low.Add(low, high.Lsh(high, 128)), nil
}

func (s *Server) createBlock(ctx context.Context, _ *jsonin.Object) (any, error) {
	hash, err := s.makeBlock(ctx)
	if err != nil {
		return nil, err
	}
	return struct {
		Hash hexFelt `json:"block_hash"`
	}{hash}, nil
}
