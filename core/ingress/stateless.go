package ingress

import (
	"bytes"

	"github.com/ordo-sequencer/ordo/core/rpc/input"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Limits are what the public network's gateway holds clients to.
type Limits struct {
	Calldata     int // felts
	Signature    int // felts
	ClassProgram int // felts of Sierra
	ClassBytes   int // bytes of class JSON
	// FreeOfCharge takes transactions whose bounds are all zero: the chain charges no fees.
	FreeOfCharge bool
}

// DefaultLimits are the public network's.
func DefaultLimits() Limits {
	return Limits{Calldata: 5000, Signature: 4000, ClassProgram: 81_920, ClassBytes: 4_089_446}
}

// firstContract is the lowest address that a contract can have; those below belong to the protocol.
var firstContract = felt.FromUint64(2)

// addressBound is 2^251-256.
var addressBound = felt.MustHex("0x7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff00")

// check refuses what is wrong whatever the state is.
func (l Limits) check(b *Broadcast) error {
	tx := b.Transaction
	switch {
	case tx.QueryOnly:
		return ErrQueryVersion
	case !isAddress(tx.Sender):
		return input.In("sender_address", input.Errorf("not an address that an account can have"))
	case len(tx.PaymasterData) > 0:
		return input.In("paymaster_data", input.Errorf("must be empty: not in use on starknet yet"))
	case len(tx.AccountDeploymentData) > 0:
		return input.In("account_deployment_data", input.Errorf("must be empty: not in use on starknet yet"))
	case tx.NonceDaMode != 0:
		return input.In("nonce_data_availability_mode", input.Errorf("must be L1: L2 is not in use on starknet yet"))
	case tx.FeeDaMode != 0:
		return input.In("fee_data_availability_mode", input.Errorf("must be L1: L2 is not in use on starknet yet"))
	case b.Proof:
		return refuse(ordov1.Refusal_INVALID_PROOF, "this node verifies no proofs: send the transaction without proof and proof_facts")
	}
	if n := len(tx.Calldata) / felt.Size; n > l.Calldata {
		return refuse(ordov1.Refusal_OTHER, "calldata has %d felts, at most %d are allowed", n, l.Calldata)
	}
	if n := len(tx.Signature) / felt.Size; n > l.Signature {
		return refuse(ordov1.Refusal_OTHER, "signature has %d felts, at most %d are allowed", n, l.Signature)
	}
	if !l.FreeOfCharge && paysNothing(tx.ResourceBounds) {
		return refuse(ordov1.Refusal_INSUFFICIENT_RESOURCES, "all resource bounds are zero: estimate the fee first")
	}
	if b.Class != nil {
		return l.checkClass(b.Class)
	}
	return nil
}

func (l Limits) checkClass(c *SierraClass) error {
	if c.Felts > l.ClassProgram {
		return refuse(ordov1.Refusal_CLASS_TOO_LARGE, "sierra program has %d felts, at most %d are allowed", c.Felts, l.ClassProgram)
	}
	if len(c.Definition) > l.ClassBytes {
		return refuse(ordov1.Refusal_CLASS_TOO_LARGE, "class has %d bytes, at most %d are allowed", len(c.Definition), l.ClassBytes)
	}
	return nil
}

func isAddress(packed []byte) bool {
	f, err := felt.FromBytes(packed)
	return err == nil && f.Cmp(firstContract) >= 0 && f.Cmp(addressBound) < 0
}

// paysNothing: the most that the transaction can pay is zero.
func paysNothing(r *ordov1.ResourceBounds) bool {
	zero := func(amount uint64, price []byte) bool { return amount == 0 || len(bytes.Trim(price, "\x00")) == 0 }
	return r == nil || zero(r.L1GasAmount, r.L1GasPrice) && zero(r.L2GasAmount, r.L2GasPrice) &&
		zero(r.L1DataGasAmount, r.L1DataGasPrice)
}
