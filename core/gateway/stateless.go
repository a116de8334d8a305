package gateway

import (
	"bytes"
	"time"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Limits bound what a transaction may be, as the public network's gateway does, and what its admission may cost. A zero
// number takes the value of DefaultLimits.
type Limits struct {
	Calldata     int // felts
	Signature    int // felts
	ClassProgram int // felts of Sierra
	ClassBytes   int // bytes of class JSON

	Compiles        int // classes compiled at a time
	CompilesWaiting int
	CompilesEach    int // of those, for one sender, or for estimates from one address
	ValidateMemory  int // MiB that the validation of one transaction may hold
	// TransactionMemory is the MiB that the run of one transaction may hold in a block. With 0 heavy transactions are not tried
	// before they are taken.
	TransactionMemory int
	Compile           time.Duration // of one class
	Validate          time.Duration // of a batch of transactions
	Turn              time.Duration // how long a transaction waits for its turn
	Grace             time.Duration // how long it waits for a stage that is being restarted
	// FreeOfCharge takes transactions whose bounds are all zero: the chain charges no fees.
	FreeOfCharge bool
}

// DefaultLimits are the public network's, and times that suit a small machine.
func DefaultLimits() Limits {
	return Limits{
		Calldata: 5000, Signature: 4000, ClassProgram: 81_920, ClassBytes: 4_089_446,
		Compiles: 1, CompilesWaiting: 16, CompilesEach: 4, ValidateMemory: 256, Compile: 50 * time.Second, Validate: 20 * time.Second, Turn: 10 * time.Second, Grace: 10 * time.Second,
	}
}

func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ field, otherwise *int }{
		{&l.Calldata, &d.Calldata}, {&l.Signature, &d.Signature}, {&l.ClassProgram, &d.ClassProgram}, {&l.ClassBytes, &d.ClassBytes},
		{&l.Compiles, &d.Compiles}, {&l.CompilesWaiting, &d.CompilesWaiting}, {&l.CompilesEach, &d.CompilesEach}, {&l.ValidateMemory, &d.ValidateMemory},
	} {
		if *f.field == 0 {
			*f.field = *f.otherwise
		}
	}
	for _, f := range []struct{ field, otherwise *time.Duration }{
		{&l.Compile, &d.Compile}, {&l.Validate, &d.Validate}, {&l.Turn, &d.Turn}, {&l.Grace, &d.Grace},
	} {
		if *f.field == 0 {
			*f.field = *f.otherwise
		}
	}
	return l
}

// firstContract is the lowest address that a contract can have; those below belong to the protocol.
var firstContract = felt.FromUint64(2)

// addressBound is 2^251-256.
var addressBound = felt.MustHex("0x7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff00")

// check rejects what is wrong whatever the state is.
func (l Limits) check(b *Broadcast) error {
	tx := b.Transaction
	switch {
	case tx.QueryOnly:
		return ErrQueryVersion
	case !isAddress(tx.Sender):
		return jsonin.In("sender_address", jsonin.Errorf("not an address that an account can have"))
	case len(tx.PaymasterData) > 0:
		return jsonin.In("paymaster_data", jsonin.Errorf("must be empty: not in use on starknet yet"))
	case len(tx.AccountDeploymentData) > 0:
		return jsonin.In("account_deployment_data", jsonin.Errorf("must be empty: not in use on starknet yet"))
	case tx.NonceDaMode != 0:
		return jsonin.In("nonce_data_availability_mode", jsonin.Errorf("must be L1: L2 is not in use on starknet yet"))
	case tx.FeeDaMode != 0:
		return jsonin.In("fee_data_availability_mode", jsonin.Errorf("must be L1: L2 is not in use on starknet yet"))
	case b.Proof:
		return reject(ordov1.RejectionCode_INVALID_PROOF, "this node verifies no proofs: send the transaction without proof and proof_facts")
	}
	if !l.FreeOfCharge && paysNothing(tx.ResourceBounds) {
		return reject(ordov1.RejectionCode_INSUFFICIENT_RESOURCES, "all resource bounds are zero: estimate the fee first")
	}
	return l.checkSize(b)
}

// checkSize is for estimates too: what can be sent can be estimated, and no more.
func (l Limits) checkSize(b *Broadcast) error {
	if n := len(b.Transaction.Calldata) / felt.Size; n > l.Calldata {
		return reject(ordov1.RejectionCode_OTHER, "calldata has %d felts, at most %d are allowed", n, l.Calldata)
	}
	if n := len(b.Transaction.Signature) / felt.Size; n > l.Signature {
		return reject(ordov1.RejectionCode_OTHER, "signature has %d felts, at most %d are allowed", n, l.Signature)
	}
	c := b.Class
	if c == nil {
		return nil
	}
	if c.Felts > l.ClassProgram {
		return reject(ordov1.RejectionCode_CLASS_TOO_LARGE, "sierra program has %d felts, at most %d are allowed", c.Felts, l.ClassProgram)
	}
	if len(c.Definition) > l.ClassBytes {
		return reject(ordov1.RejectionCode_CLASS_TOO_LARGE, "class has %d bytes, at most %d are allowed", len(c.Definition), l.ClassBytes)
	}
	return nil
}

func isAddress(packed []byte) bool {
	f, err := felt.FromBytes(packed)
	return err == nil && f.Cmp(firstContract) >= 0 && f.Cmp(addressBound) < 0
}

// paysNothing reports that the most that the transaction can pay is zero.
func paysNothing(r *ordov1.ResourceBounds) bool {
	zero := func(amount uint64, price []byte) bool { return amount == 0 || len(bytes.Trim(price, "\x00")) == 0 }
	return r == nil || zero(r.L1GasAmount, r.L1GasPrice) && zero(r.L2GasAmount, r.L2GasPrice) &&
		zero(r.L1DataGasAmount, r.L1DataGasPrice)
}
