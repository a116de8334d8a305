package load

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/contracts"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// identity is an account whose key is known.
type identity struct {
	Address felt.Felt `json:"address"`
	Private felt.Felt `json:"private_key"`
}

// setup knows a node well enough to prepare a run on it. It goes through the RPC only, so that it works with any node.
type setup struct {
	client.Node
	signer  *signer
	sources []identity // funded and deployed before
	nonces  map[felt.Felt]uint64
	say     func(string)
}

// limits of one transaction of a run, in gas; the prices come from the node.
const (
	maxL1Gas     = 20_000
	maxL2Gas     = 60_000_000
	maxL1DataGas = 20_000
	setupL2Gas   = 1_000_000_000 // declarations, and many calls in one
)

func newSetup(ctx context.Context, node client.Node, file string, say func(string)) (*setup, error) {
	s := &setup{Node: node, signer: &signer{}, nonces: map[felt.Felt]uint64{}, say: say}
	if err := s.Call(ctx, "starknet_chainId", []any{}, &s.signer.chain); err != nil {
		return nil, fmt.Errorf("%s: %w: is a node running there? name another with --url", node.URL, err)
	}
	if err := s.readPrices(ctx); err != nil {
		return nil, err
	}
	if file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &s.sources); err != nil {
			return nil, fmt.Errorf(`%s: %w: want a list such as [{"address":"0x1","private_key":"0x2"}]`, file, err)
		}
	} else if err := s.Call(ctx, "devnet_getPredeployedAccounts", []any{}, &s.sources); err != nil {
		return nil, fmt.Errorf("predeployed accounts: %w: name a file of funded accounts with --accounts-file", err)
	}
	if len(s.sources) == 0 {
		return nil, errors.New("the node has no predeployed accounts: start it with some, or name a file of funded ones with --accounts-file")
	}
	return s, nil
}

// readPrices allows for prices half as high again as those of the last block.
func (s *setup) readPrices(ctx context.Context) error {
	var block struct {
		L1Gas     price `json:"l1_gas_price"`
		L2Gas     price `json:"l2_gas_price"`
		L1DataGas price `json:"l1_data_gas_price"`
	}
	if err := s.Call(ctx, "starknet_getBlockWithTxHashes", []any{"latest"}, &block); err != nil {
		return fmt.Errorf("prices: %w", err)
	}
	s.signer.bounds = starknet.ResourceBounds{
		L1Gas: block.L1Gas.bound(maxL1Gas), L2Gas: block.L2Gas.bound(maxL2Gas), L1DataGas: new(starknet.Bound),
	}
	*s.signer.bounds.L1DataGas = block.L1DataGas.bound(maxL1DataGas)
	return nil
}

type price struct {
	Fri felt.Felt `json:"price_in_fri"`
}

func (p price) bound(amount uint64) starknet.Bound {
	n := p.Fri.Big()
	n.Mul(n, big.NewInt(3)).Rsh(n, 1).Add(n, big.NewInt(1))
	lo := new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1)).Uint64()
	return starknet.Bound{MaxAmount: amount, MaxPrice: starknet.Uint128{Hi: n.Rsh(n, 64).Uint64(), Lo: lo}}
}

// accounts returns n deployed accounts with money: the node's own, and as many of ours as are missing, derived from them.
// When another class is wanted than the node's own have, all of them are ours.
func (s *setup) accounts(ctx context.Context, n int, fund *big.Int, wanted, dir string) ([]identity, error) {
	var own felt.Felt
	if err := s.Call(ctx, "starknet_getClassHashAt", []any{"latest", s.sources[0].Address.Hex()}, &own); err != nil {
		return nil, fmt.Errorf("class of %s: %w", s.sources[0].Address.Hex(), err)
	}
	class, list := own, append([]identity(nil), s.sources...)
	if wanted != "" {
		file, err := contracts.Read(dir, genesis.AccountClass(wanted).Contract())
		if err != nil {
			return nil, err
		}
		if class = client.Felt(file.Hash); class != own {
			list = nil
			s.say("declaring the class of the accounts")
			if _, err := s.declare(ctx, file); err != nil {
				return nil, err
			}
		}
	}
	if n <= len(list) {
		return list[:n], nil
	}
	var fresh []*client.Account
	var salts []felt.Felt
	for i := 0; len(list) < n; i++ {
		salt := felt.FromUint64(uint64(i))
		a := client.NewAccountAt(s.signer.one(felt.Zero(), felt.Zero()), class, salt, derive(s.sources[0].Private, i))
		list = append(list, identity{a.Address, a.Key})
		if _, err := s.Nonce(ctx, "pre_confirmed", a.Address); err != nil { // else an earlier run has deployed it
			fresh, salts = append(fresh, a), append(salts, salt)
		}
	}
	s.say(fmt.Sprintf("funding %d accounts", len(fresh)))
	if err := s.pay(ctx, fresh, fund); err != nil {
		return nil, err
	}
	s.say(fmt.Sprintf("deploying %d accounts", len(fresh)))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(32)
	for i, a := range fresh {
		work.Go(func() error {
			hash, err := s.Submit(ctx, a.DeployAccount(class, salts[i]))
			if err != nil {
				return fmt.Errorf("deploy account %d: %w", i, err)
			}
			return s.succeeded(ctx, hash)
		})
	}
	return list, work.Wait()
}

// derive makes the key of an account that depends on the first source only, so that a later run finds it again.
func derive(source felt.Felt, i int) felt.Felt {
	b := source.Bytes()
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint64(b[:], uint64(i)), "ordo bench load"...))
	sum[0] &= 1 // far below the order of the curve
	key, _ := felt.FromBytes(sum[:])
	return key.Add(felt.One())
}

// pay sends fee tokens to many, each source to as many as it can afford.
func (s *setup) pay(ctx context.Context, to []*client.Account, amount *big.Int) error {
	const each = 40 // transfers in one transaction
	token, value := genesis.STRKAddress(), felt.Reduce(amount.Bytes())
	var last []string
	for from := 0; len(to) > 0; from++ {
		if from == len(s.sources) {
			return fmt.Errorf("the predeployed accounts cannot pay %s to each of the %d accounts left: lower --fund or --accounts", amount, len(to))
		}
		source := s.sources[from]
		balance, err := s.Balance(ctx, "pre_confirmed", token, source.Address)
		if err != nil {
			return err
		}
		room := int(new(big.Int).Div(balance, new(big.Int).Mul(amount, big.NewInt(2))).Int64()) // it keeps half for itself
		for room > 0 && len(to) > 0 {
			var calls []client.Call
			for range min(each, room, len(to)) {
				calls = append(calls, transfer(token, to[0].Address, value))
				to, room = to[1:], room-1
			}
			hash, err := s.send(ctx, source, calls...)
			if err != nil {
				return fmt.Errorf("fund accounts: %w", err)
			}
			last = append(last, hash)
		}
	}
	for _, hash := range last {
		if err := s.succeeded(ctx, hash); err != nil {
			return err
		}
	}
	return nil
}

func transfer(token, to, amount felt.Felt) client.Call {
	call := client.Transfer(token, to, 0)
	call.Calldata[1] = amount
	return call
}

// send signs and sends an invoke.
func (s *setup) send(ctx context.Context, from identity, calls ...client.Call) (string, error) {
	nonce, err := s.nonce(ctx, from)
	if err != nil {
		return "", err
	}
	hash, err := s.Submit(ctx, s.account(from).Invoke(nonce, calls...))
	if err != nil {
		return "", err
	}
	s.nonces[from.Address]++
	return hash, nil
}

func (s *setup) account(of identity) *client.Account {
	a := s.signer.one(of.Address, of.Private)
	a.Bounds.L2Gas.MaxAmount = setupL2Gas
	return a
}

func (s *setup) nonce(ctx context.Context, of identity) (uint64, error) {
	if nonce, ok := s.nonces[of.Address]; ok {
		return nonce, nil
	}
	nonce, err := s.Nonce(ctx, "pre_confirmed", of.Address)
	if err != nil {
		return 0, fmt.Errorf("nonce of %s: %w", of.Address.Hex(), err)
	}
	s.nonces[of.Address] = nonce
	return nonce, nil
}

// do sends an invoke and waits until it is accepted.
func (s *setup) do(ctx context.Context, from identity, calls ...client.Call) error {
	hash, err := s.send(ctx, from, calls...)
	if err != nil {
		return err
	}
	return s.succeeded(ctx, hash)
}

// settleTimeout is how long one transaction of the preparation may wait for its block.
const settleTimeout = 90 * time.Second

func (s *setup) succeeded(ctx context.Context, hash string) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	status, err := s.Wait(ctx, hash, "ACCEPTED_ON_L2")
	if err != nil {
		return err
	}
	if status.Execution != "SUCCEEDED" {
		return fmt.Errorf("%s: %s: %.400s", hash, status.Execution, status.Reason)
	}
	return nil
}

// declare makes sure that the node knows a class.
func (s *setup) declare(ctx context.Context, class *ordov1.Class) (felt.Felt, error) {
	hash := client.Felt(class.Hash)
	if err := s.Call(ctx, "starknet_getClass", []any{"latest", hash.Hex()}, nil); err == nil {
		return hash, nil
	}
	from := s.sources[0]
	nonce, err := s.nonce(ctx, from)
	if err != nil {
		return hash, err
	}
	sent, err := s.Submit(ctx, s.account(from).Declare(nonce, class))
	if err != nil {
		return hash, fmt.Errorf("declare %s: %w", hash.Hex(), err)
	}
	s.nonces[from.Address]++
	return hash, s.succeeded(ctx, sent)
}

// deployer is the universal deployer that the node has.
func (s *setup) deployer(ctx context.Context) (felt.Felt, error) {
	for _, address := range []felt.Felt{genesis.UDCAddress(), genesis.LegacyUDCAddress()} {
		if s.Call(ctx, "starknet_getClassHashAt", []any{"latest", address.Hex()}, nil) == nil {
			return address, nil
		}
	}
	return felt.Zero(), errors.New("the node has no universal deployer: only transfers can be run on it")
}

// deploy deploys a contract and returns its address. salt makes it another one than that of the last run.
func (s *setup) deploy(ctx context.Context, udc, class, salt felt.Felt, constructor ...felt.Felt) (felt.Felt, error) {
	call := client.Deploy(class, salt, constructor...)
	call.To = udc
	if err := s.do(ctx, s.sources[0], call); err != nil {
		return felt.Zero(), fmt.Errorf("deploy %s: %w", class.Hex(), err)
	}
	return starknet.ContractAddress(felt.Zero(), salt, class, constructor), nil
}
