package driver

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// startProposalCheck begins the check of a proposal. The one before is given up: a machine waits for one at a time, and a proposer
// must not keep the compiler busy with what was abandoned.
func (d *Driver) startProposalCheck(c pipeline.Check) {
	l := d.at[ordov1.Stage_STAGE_EXECUTION]
	ctx, cancel := context.WithCancel(l.ctx)
	if d.checking != nil {
		d.checking()
	}
	d.checking = cancel
	l.run(func() {
		defer cancel()
		d.checkProposal(ctx, l, c)
	})
}

// checkProposal recomputes what a proposal of another node claims about itself, and lets the machine know.
func (d *Driver) checkProposal(ctx context.Context, l *instance, c pipeline.Check) {
	answer := pipeline.Checked{Build: c.Build, Classes: map[mempool.Key]*ordov1.Class{}}
	l.doing.Add(1)
	invalid, err := d.proposalFault(ctx, c.Proposal, answer.Classes)
	if err == nil || ctx.Err() != nil {
		l.doing.Add(-1) // else the life's end is near, and this was being done
	}
	switch {
	case ctx.Err() != nil: // given up, or asked again when execution is back
	case err != nil:
		d.handleCallError(l, err)
	default:
		answer.Invalid = invalid
		d.input(answer)
	}
}

// proposalFault says what is not as the proposal says, "" when all is: hashes of transactions, fields beside what a hash covers, and
// classes, which it compiles. An error is a fault of this node.
func (d *Driver) proposalFault(ctx context.Context, p *ordov1.Proposal, classes map[mempool.Key]*ordov1.Class) (invalid string, err error) {
	definitions := map[mempool.Key][]byte{}
	for _, class := range p.Classes {
		if len(class.Hash) == felt.Size {
			definitions[mempool.Key(class.Hash)] = class.Definition
		}
	}
	var declares []int
	for i, tx := range p.Transactions {
		if invalid := d.falsified(tx); invalid != "" {
			return fmt.Sprintf("transaction %d: %s", i, invalid), nil
		}
		if tx.Type == ordov1.TransactionType_DECLARE {
			declares = append(declares, i)
		}
	}
	for _, i := range declares {
		tx := p.Transactions[i]
		hash := mempool.Key(pad(tx.ClassHash))
		if definitions[hash] == nil {
			return fmt.Sprintf("transaction %d declares a class that the proposal does not bring", i), nil
		}
		class, invalid, err := d.compiled(ctx, tx, definitions[hash])
		if invalid != "" || err != nil {
			return fmt.Sprintf("transaction %d: %s", i, invalid), err
		}
		classes[hash] = class
	}
	return "", nil
}

// falsified: a transaction must be what its hash stands for, written as this node would write it. What no hash covers and no
// account signs would otherwise be stored and served as the proposer made it up.
func (d *Driver) falsified(tx *ordov1.Transaction) string {
	parsed, err := wire.Transaction(tx)
	if err != nil {
		return err.Error()
	}
	if hash := parsed.Hash(d.chainID, false); !bytes.Equal(wire.FromFelt(hash), tx.Hash) || tx.QueryOnly {
		return fmt.Sprintf("its hash is %s, not 0x%x", hash, tx.Hash)
	}
	if d.replay {
		return "" // stored by this node
	}
	own, err := wire.FromTransaction(parsed, d.chainID, false)
	if err != nil {
		return err.Error()
	}
	own.PaidFeeOnL1 = tx.PaidFeeOnL1 // compared with the message that this node has seen
	if len(tx.Sender) != felt.Size || !within(own.ProtoReflect(), tx.ProtoReflect()) {
		return "it has no sender, or fields that a transaction of its type does not have"
	}
	return ""
}

// within says whether every field that is set in a message is set in another one, to the same value. Fields that the code
// does not know are in no other one.
func within(whole, part protoreflect.Message) bool {
	same := len(part.GetUnknown()) == 0
	part.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if field.Message() != nil && !field.IsList() && !field.IsMap() {
			same = same && whole.Has(field) && within(whole.Get(field).Message(), v.Message())
		} else {
			same = same && whole.Get(field).Equal(v)
		}
		return same
	})
	return same
}

// compiled compiles the class that a DECLARE of a proposal brings. Its hash is compared before: that costs little.
func (d *Driver) compiled(ctx context.Context, tx *ordov1.Transaction, definition []byte) (class *ordov1.Class, invalid string, err error) {
	sierra, err := gateway.DecodeClass(definition)
	if err != nil {
		return nil, fmt.Sprintf("its class is malformed: %v", err), nil
	}
	if !bytes.Equal(sierra.Hash, tx.ClassHash) {
		return nil, fmt.Sprintf("its class has the hash 0x%x, not 0x%x", sierra.Hash, tx.ClassHash), nil
	}
	limited, cancel := context.WithTimeout(ctx, d.options.CallLimit)
	defer cancel()
	answer, err := d.execution.Compile(limited, &ordov1.CompileRequest{Sierra: sierra.Definition})
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("compile: %w", err)
	case answer.Refusal != ordov1.Refusal_REFUSAL_UNSPECIFIED:
		return nil, "its class does not compile: " + answer.Reason, nil
	case !bytes.Equal(answer.Class.GetHash(), tx.ClassHash) || !bytes.Equal(answer.Class.GetCompiledClassHash(), tx.CompiledClassHash):
		return nil, "its class has other hashes than it declares", nil
	}
	answer.Class.Definition = sierra.Definition // what is stored and served is this node's own writing
	return answer.Class, "", nil
}
