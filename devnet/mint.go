package devnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/rpc"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// minter orders the transactions of the faucet: each needs the nonce after the one before.
type minter struct {
	turns *rpc.Turns // one at a time
	next  uint64     // nonce after the last one sent
	last  []byte     // hash of the last one sent
}

const (
	mintWait     = 10 * time.Second
	mintPatience = 500 * time.Millisecond // for a block that the client may have yet to ask for
	mintTries    = 20
	mintPause    = 100 * time.Millisecond // for the other node's mint to run
	mintL2Gas    = 200_000_000            // far above a mint, far below the most a transaction may use
	mintL1Gas    = 100_000
)

func (d *Devnet) serveMint(ctx context.Context, p *rpc.Params) (any, error) {
	packed, unit := p.Felt("address"), unitParam(p)
	amount, err := decimal(p.Raw("amount"))
	p.Fail("amount", err)
	if err := p.Err(); err != nil {
		return nil, err
	}
	address, err := felt.FromBytes(packed)
	if err != nil {
		return nil, err
	}
	hash, err := d.sendAndAwaitMint(ctx, address, unit, amount)
	if err != nil {
		return nil, err
	}
	total, err := d.balanceOf(ctx, d.server.PreConfirmed(), address, unit)
	if err != nil {
		return nil, err
	}
	return struct {
		Balance string    `json:"new_balance"`
		Unit    string    `json:"unit"`
		Hash    felt.Felt `json:"tx_hash"`
	}{total.String(), unit, hash}, nil
}

// sendAndAwaitMint sends a mint until it has the nonce that it took. In a network each node has the same faucet, and another node may
// have minted with that nonce.
func (d *Devnet) sendAndAwaitMint(ctx context.Context, to felt.Felt, unit string, amount *big.Int) (hash felt.Felt, err error) {
	for try := 1; ; try++ {
		var taken bool
		if hash, err = d.sendMint(ctx, to, unit, amount); err != nil {
			taken = nonceTaken(err)
		} else if err = d.awaitMint(ctx, hash.Append(nil)); err != nil {
			taken = nonceTaken(d.Chain.Status(chainview.Key(hash.Append(nil))).Why)
		}
		if !taken || try == mintTries {
			return hash, err
		}
		select {
		case <-time.After(mintPause):
		case <-ctx.Done():
			return hash, ctx.Err()
		}
	}
}

// nonceTaken says whether a transaction failed because another one has its nonce.
func nonceTaken(err error) bool {
	rejection, _ := errors.AsType[*gateway.Rejection](err)
	return errors.Is(err, mempool.ErrNonceTooOld) || errors.Is(err, mempool.ErrUnderpriced) || errors.Is(err, mempool.ErrExecuting) || errors.Is(err, mempool.ErrReplaced) ||
		rejection != nil && rejection.Code == ordov1.RejectionCode_INVALID_NONCE
}

// decimal reads a whole JSON number below 2^256; clients in JavaScript write 1e+21. Its length and its exponent are bounded
// before anything is calculated: 1e-1000000 is ten bytes, and a number with a million digits to multiply.
func decimal(raw json.RawMessage) (*big.Int, error) {
	wrong := errors.New("want a whole number from 0 to 2^256-1")
	digits, ok := wholeDigits(string(raw))
	if !ok {
		return nil, wrong
	}
	n, ok := new(big.Int).SetString(digits, 10)
	if !ok || n.BitLen() > 256 {
		return nil, wrong
	}
	return n, nil
}

// wholeDigits writes a JSON number without point and exponent; false when it is negative, not whole, or longer than 2^256.
func wholeDigits(text string) (digits string, ok bool) {
	const longest = 78 // digits of 2^256-1
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(text), "e")
	if len(mantissa) > 4*longest || len(exponent) > 8 {
		return "", false
	}
	shift := 0
	if hasExponent {
		n, err := strconv.Atoi(strings.TrimPrefix(exponent, "+"))
		if err != nil || strings.HasPrefix(exponent, "+-") {
			return "", false
		}
		shift = n
	}
	before, after, _ := strings.Cut(mantissa, ".")
	digits, shift = before+after, shift-len(after)
	if before == "" || strings.Trim(digits, "0123456789") != "" {
		return "", false
	}
	if digits = strings.TrimLeft(digits, "0"); digits == "" {
		return "0", true
	}
	significant := strings.TrimRight(digits, "0")
	shift += len(digits) - len(significant)
	if shift < 0 || len(significant)+shift > longest {
		return "", false
	}
	return significant + strings.Repeat("0", shift), true
}

// sendMint sends the faucet's next transaction.
func (d *Devnet) sendMint(ctx context.Context, to felt.Felt, unit string, amount *big.Int) (hash felt.Felt, err error) {
	leave, err := d.mint.turns.Enter(ctx)
	if err != nil {
		return hash, err
	}
	defer leave()
	nonce, err := d.faucetNonce(ctx)
	if err != nil {
		return hash, err
	}
	tx, err := d.mintTransaction(to, unit, amount, nonce)
	if err != nil {
		return hash, err
	}
	if err := d.Gateway.Admit(ctx, &gateway.Broadcast{Transaction: tx}); err != nil {
		return hash, err
	}
	d.mint.next, d.mint.last = nonce+1, tx.Hash
	d.submitted.add(tx.Hash)
	return felt.FromBytes(tx.Hash)
}

// faucetNonce is the nonce at the tip, unless the last mint still waits for its turn.
func (d *Devnet) faucetNonce(ctx context.Context) (uint64, error) {
	if d.mint.last != nil {
		if stage := d.Chain.Status(chainview.Key(d.mint.last)).Status; stage == chainview.Received || stage == chainview.Candidate {
			return d.mint.next, nil
		}
	}
	address := d.Faucet.Address().Append(nil)
	state, err := d.server.State(ctx, d.server.PreConfirmed(), &ordov1.StateRequest{Nonces: address})
	if err != nil {
		return 0, fmt.Errorf("mint: nonce of the faucet: %w", err)
	}
	f, err := felt.FromBytes(state.Nonces)
	if err != nil {
		return 0, err
	}
	n, _ := f.Uint64()
	return n, nil
}

// mintTransaction is a multicall of one call, signed by the faucet.
func (d *Devnet) mintTransaction(to felt.Felt, unit string, amount *big.Int, nonce uint64) (*ordov1.Transaction, error) {
	low := new(big.Int).And(amount, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1)))
	lowFelt, err := felt.FromBig(low)
	if err != nil {
		return nil, err
	}
	highFelt, err := felt.FromBig(new(big.Int).Rsh(amount, 128))
	if err != nil {
		return nil, err
	}
	next := d.Chain.Snapshot().Next()
	tx := &ordov1.Transaction{
		Type:   ordov1.TransactionType_INVOKE,
		Sender: d.Faucet.Address().Append(nil),
		Nonce:  felt.FromUint64(nonce).Append(nil),
		Calldata: felt.Pack([]felt.Felt{
			felt.One(), d.token(unit), keccak.Selector("permissioned_mint"), felt.FromUint64(3), to, lowFelt, highFelt,
		}),
		ResourceBounds: &ordov1.ResourceBounds{
			L1GasAmount: mintL1Gas, L1GasPrice: doubled(next.L1Gas),
			L2GasAmount: mintL2Gas, L2GasPrice: doubled(next.L2Gas),
			L1DataGasAmount: mintL1Gas, L1DataGasPrice: doubled(next.L1DataGas),
		},
	}
	hash, err := wire.TransactionHash(tx, d.ChainID)
	if err != nil {
		return nil, err
	}
	tx.Hash = wire.FromFelt(hash)
	signature, err := d.Faucet.Sign(hash)
	tx.Signature = felt.Pack(signature)
	return tx, err
}

// doubled leaves room for a price that moves before the block.
func doubled(p *ordov1.GasPrice) []byte {
	price := new(big.Int).SetBytes(p.GetFri())
	return price.Lsh(price, 1).FillBytes(make([]byte, 17))[1:]
}

// awaitMint waits until the mint has run, and on an instant node until its block is accepted. On a node that makes blocks on
// demand it may wait for a block that the client has yet to ask for, so waiting longer is no error.
func (d *Devnet) awaitMint(ctx context.Context, hash []byte) error {
	patience := mintPatience
	enough := chainview.PreConfirmed
	if d.OneByOne() {
		patience, enough = mintWait, chainview.Accepted
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var r chainview.Record
	err := d.Chain.Await(waiting, func() bool {
		r = d.Chain.Status(chainview.Key(hash))
		return r.Status >= enough
	})
	switch {
	case r.Status == chainview.Dropped:
		return rpc.Unexpected(fmt.Sprintf("the mint was dropped: %v", r.Why))
	case r.Result.GetStatus() == ordov1.TransactionResult_REVERTED:
		return rpc.Unexpected("the mint reverted: " + r.Result.Reason)
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && d.OneByOne():
		return rpc.Unexpected("the mint is in no accepted block yet: see the log of the node")
	}
	return nil
}
