package load

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/load/contract"
	"github.com/ordo-sequencer/ordo/contracts"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
)

// workload says what each account does. calls is a pure function, so that a transaction is signed early and written late
// without being kept in between.
type workload interface {
	// prepare brings to the node what the calls need.
	prepare(ctx context.Context, s *setup, accounts []identity) error
	// calls are those of the n-th transaction of an account; it may be asked from several goroutines.
	calls(account int, n uint64) []client.Call
	// audit compares the node's state with what must have happened when each account has had that many transactions.
	audit(ctx context.Context, s *setup, had []uint64) error
}

// Kinds of workload.
const (
	Transfers = "transfers"
	Swaps     = "swaps"
	Deploys   = "deploys"
	Mixed     = "mixed"
)

func newWorkload(o Options, salt felt.Felt) (workload, error) {
	switch o.Kind {
	case Transfers:
		return &transfers{Options: o, salt: salt}, nil
	case Swaps:
		return &swaps{Options: o, salt: salt}, nil
	case Deploys:
		return &deploys{salt: salt}, nil
	case Mixed:
		return &mixed{[]workload{&transfers{Options: o, salt: salt}, &swaps{Options: o, salt: salt}, &deploys{salt: salt}}}, nil
	}
	return nil, fmt.Errorf("--kind %q: choose %s, %s, %s or %s", o.Kind, Transfers, Swaps, Deploys, Mixed)
}

// ---- transfers ----

// transfers moves one unit at a time to recipients of each account's own, whose balances prove what arrived.
type transfers struct {
	Options
	salt   felt.Felt
	token  felt.Felt
	played func(account int, n uint64) bool // of a mixed workload; nil: all
}

func (t *transfers) prepare(ctx context.Context, s *setup, accounts []identity) (err error) {
	switch t.Token {
	case "", "strk":
		t.token = genesis.STRKAddress()
	case "erc20":
		t.token, err = newToken(ctx, s, t.Options, t.salt, accounts)
	default:
		if t.token, err = felt.FromHex(t.Token); err != nil {
			err = fmt.Errorf("--token %q: choose strk, erc20, or the address of a token that the accounts have", t.Token)
		}
	}
	return err
}

// recipient is an address that no other transfer uses.
func (t *transfers) recipient(account int, n uint64) felt.Felt {
	return t.salt.Add(felt.FromUint64(uint64(account)<<32 + n%uint64(t.Recipients) + 1))
}

func (t *transfers) calls(account int, n uint64) []client.Call {
	return []client.Call{client.Transfer(t.token, t.recipient(account, n), 1)}
}

// auditMost bounds how many balances are read at the end.
const auditMost = 2000

func (t *transfers) audit(ctx context.Context, s *setup, had []uint64) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(16)
	step := max(1, len(had)*t.Recipients/auditMost)
	for at := 0; at < len(had)*t.Recipients; at += step {
		account, which := at%len(had), uint64(at/len(had))
		work.Go(func() error {
			want := uint64(0)
			for n := which; n < had[account]; n += uint64(t.Recipients) {
				if t.played == nil || t.played(account, n) {
					want++
				}
			}
			got, err := s.Balance(ctx, "latest", t.token, t.recipient(account, which))
			if err == nil && (!got.IsUint64() || got.Uint64() != want) {
				err = fmt.Errorf("account %d made %d transfers to a recipient that holds %s: one was lost, doubled or reverted", account, want, got)
			}
			return err
		})
	}
	return work.Wait()
}

// newToken declares and deploys an ERC-20 of new Sierra and gives every account some.
func newToken(ctx context.Context, s *setup, o Options, salt felt.Felt, accounts []identity) (felt.Felt, error) {
	s.say("deploying a token")
	class, err := contracts.Read(o.Contracts, contracts.ERC20)
	if err != nil {
		return felt.Zero(), err
	}
	hash, err := s.declare(ctx, class)
	if err != nil {
		return felt.Zero(), err
	}
	udc, err := s.deployer(ctx)
	if err != nil {
		return felt.Zero(), err
	}
	owner := s.sources[0]
	supply := felt.FromUint64(1 << 62)
	token, err := s.deploy(ctx, udc, hash, salt, felt.MustShortString("Token"), felt.MustShortString("TOK"), felt.FromUint64(18), supply, felt.Zero(), owner.Address)
	if err != nil {
		return felt.Zero(), err
	}
	s.say("handing out the token")
	return token, s.each(ctx, owner, slices.DeleteFunc(slices.Clone(accounts), func(a identity) bool { return a.Address == owner.Address }), func(a identity) client.Call {
		return client.Transfer(token, a.Address, 1<<40)
	})
}

// each makes one call per account, many in a transaction.
func (s *setup) each(ctx context.Context, from identity, list []identity, call func(identity) client.Call) error {
	var last string
	for part := range slices.Chunk(list, 40) {
		var calls []client.Call
		for _, a := range part {
			calls = append(calls, call(a))
		}
		var err error
		if last, err = s.send(ctx, from, calls...); err != nil {
			return err
		}
	}
	if last == "" {
		return nil
	}
	return s.succeeded(ctx, last)
}

// ---- deploys ----

// deploys lets the universal deployer deploy a copy of the account's class, which every node knows, with a salt of its own.
type deploys struct {
	salt, udc, class, public felt.Felt
	played                   func(account int, n uint64) bool
}

func (d *deploys) prepare(ctx context.Context, s *setup, accounts []identity) (err error) {
	if d.udc, err = s.deployer(ctx); err != nil {
		return err
	}
	d.public = genesis.PublicKey(accounts[0].Private)
	return s.Call(ctx, "starknet_getClassHashAt", []any{"latest", accounts[0].Address.Hex()}, &d.class)
}

func (d *deploys) saltOf(account int, n uint64) felt.Felt {
	return d.salt.Add(felt.FromUint64(uint64(account)<<32 + n))
}

func (d *deploys) calls(account int, n uint64) []client.Call {
	call := client.Deploy(d.class, d.saltOf(account, n), d.public)
	call.To = d.udc
	return []client.Call{call}
}

// audit looks at the last contract of each account.
func (d *deploys) audit(ctx context.Context, s *setup, had []uint64) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(16)
	for account, n := range had[:min(len(had), auditMost)] {
		for n > 0 && d.played != nil && !d.played(account, n-1) {
			n--
		}
		if n == 0 {
			continue
		}
		work.Go(func() error {
			address := starknet.ContractAddress(felt.Zero(), d.saltOf(account, n-1), d.class, []felt.Felt{d.public})
			var class felt.Felt
			if err := s.Call(ctx, "starknet_getClassHashAt", []any{"latest", address.Hex()}, &class); err != nil {
				return fmt.Errorf("the last contract of account %d, %s: %w", account, address.Hex(), err)
			}
			if class != d.class {
				return fmt.Errorf("the last contract of account %d has class %s", account, class.Hex())
			}
			return nil
		})
	}
	return work.Wait()
}

// ---- swaps ----

// swaps trades in markets of two tokens, forth and back. Accounts that trade in the same market get in each other's way.
type swaps struct {
	Options
	salt    felt.Felt
	markets []market
}

type market struct{ address, first, second felt.Felt }

const (
	reserve = 1 << 50
	swapped = 1 << 20
)

func (w *swaps) prepare(ctx context.Context, s *setup, accounts []identity) error {
	class, err := contract.Exchange()
	if err != nil {
		return err
	}
	hash, err := s.declare(ctx, class)
	if err != nil {
		return err
	}
	udc, err := s.deployer(ctx)
	if err != nil {
		return err
	}
	owner := s.sources[0]
	var tokens [2]felt.Felt
	for i := range tokens {
		if tokens[i], err = newToken(ctx, s, w.Options, w.salt.Add(felt.FromUint64(uint64(1000+i))), accounts); err != nil {
			return err
		}
	}
	s.say(fmt.Sprintf("opening %d markets", w.Markets))
	for i := range w.Markets {
		m := market{first: tokens[0], second: tokens[1]}
		if m.address, err = s.deploy(ctx, udc, hash, w.salt.Add(felt.FromUint64(uint64(2000+i))), m.first, m.second); err != nil {
			return err
		}
		amount := felt.FromUint64(reserve)
		provide := client.Call{To: m.address, Selector: keccak.Selector("provide"), Calldata: []felt.Felt{amount, {}, amount, {}}}
		if err := s.do(ctx, owner, approve(m.first, m.address), approve(m.second, m.address), provide); err != nil {
			return fmt.Errorf("market %d: %w", i, err)
		}
		w.markets = append(w.markets, m)
	}
	s.say("approving the markets")
	var last []string
	for i, a := range accounts {
		m := w.market(i)
		sent, err := s.send(ctx, a, approve(m.first, m.address), approve(m.second, m.address))
		if err != nil {
			return fmt.Errorf("approve the market for account %d: %w", i, err)
		}
		last = append(last, sent)
	}
	for _, hash := range last {
		if err := s.succeeded(ctx, hash); err != nil {
			return err
		}
	}
	return nil
}

func approve(token, spender felt.Felt) client.Call {
	return client.Call{To: token, Selector: keccak.Selector("approve"), Calldata: []felt.Felt{spender, felt.FromUint64(1 << 62), {}}}
}

func (w *swaps) market(account int) market { return w.markets[account%len(w.markets)] }

func (w *swaps) calls(account int, n uint64) []client.Call {
	m := w.market(account)
	return []client.Call{{To: m.address, Selector: keccak.Selector("swap"), Calldata: []felt.Felt{felt.FromUint64(n & 1), felt.FromUint64(swapped), {}}}}
}

// audit: what a market says it has is what the tokens say it holds, and the product has not shrunk.
func (w *swaps) audit(ctx context.Context, s *setup, had []uint64) error {
	for i, m := range w.markets {
		got, err := s.View(ctx, "latest", m.address, "reserves")
		if err != nil || len(got) != 4 {
			return fmt.Errorf("market %d: reserves: %v, %w", i, got, err)
		}
		product := big.NewInt(1)
		for k, token := range []felt.Felt{m.first, m.second} {
			holds, err := s.Balance(ctx, "latest", token, m.address)
			if err != nil {
				return err
			}
			if holds.Cmp(got[2*k].Big()) != 0 {
				return fmt.Errorf("market %d has a reserve of %s and holds %s: a swap ran by half", i, got[2*k].Big(), holds)
			}
			product.Mul(product, holds)
		}
		if least := new(big.Int).Lsh(big.NewInt(1), 100); product.Cmp(least) < 0 {
			return fmt.Errorf("market %d has lost: %s is below %s", i, product, least)
		}
	}
	return nil
}

// ---- mixed ----

// mixed plays all kinds: of ten transactions seven transfers, two swaps and a deployment.
type mixed struct {
	kinds []workload // transfers, swaps, deploys
}

// which kind the n-th transaction of an account is. Accounts begin at different places, so that each moment has all kinds.
func which(account int, n uint64) int {
	return []int{0, 0, 1, 0, 0, 2, 0, 1, 0, 0}[(uint64(account)*3+n)%10]
}

func (m *mixed) prepare(ctx context.Context, s *setup, accounts []identity) error {
	for _, k := range m.kinds {
		if err := k.prepare(ctx, s, accounts); err != nil {
			return err
		}
	}
	m.kinds[0].(*transfers).played = func(account int, n uint64) bool { return which(account, n) == 0 }
	m.kinds[2].(*deploys).played = func(account int, n uint64) bool { return which(account, n) == 2 }
	return nil
}

func (m *mixed) calls(account int, n uint64) []client.Call {
	return m.kinds[which(account, n)].calls(account, n)
}

func (m *mixed) audit(ctx context.Context, s *setup, had []uint64) error {
	for _, k := range m.kinds {
		if err := k.audit(ctx, s, had); err != nil {
			return err
		}
	}
	return nil
}
