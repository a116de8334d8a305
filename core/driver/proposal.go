package driver

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// proposals checks the proposals of peers, one at a time.
type proposals struct {
	port    port
	client  ordov1.ExecutionClient
	chainID felt.Felt
	replay  bool          // the proposals are blocks of a stored chain
	limit   time.Duration // of a call

	checking context.CancelFunc // ends the last check; nil: there was none
}

// start begins the check of a proposal, which execution's instance compiles. The check before is given up: a machine waits for one
// at a time, and a proposer must not keep the compiler busy with what was abandoned.
func (p *proposals) start(i *instance, c pipeline.Check) {
	ctx, cancel := context.WithCancel(i.ctx)
	if p.checking != nil {
		p.checking()
	}
	p.checking = cancel
	i.run(func() {
		defer cancel()
		p.check(ctx, i, c)
	})
}

// check recomputes what a proposal claims about itself, and tells the machine.
func (p *proposals) check(ctx context.Context, i *instance, c pipeline.Check) {
	answer := pipeline.Checked{Build: c.Build, Classes: map[mempool.Key]*ordov1.Class{}}
	i.doing.Add(1)
	invalid, err := p.invalid(ctx, c.Proposal, answer.Classes)
	if err == nil || ctx.Err() != nil { // else doing stays up: the instance is about to end, and this check was in hand
		i.doing.Add(-1)
	}
	switch {
	case ctx.Err() != nil: // given up, or asked again when execution is back
	case err != nil:
		i.callFailed(err)
	default:
		answer.Invalid = invalid
		p.port.post(answer)
	}
}

// invalid tells what is not as the proposal says, "" when all is: hashes of transactions, fields beside what a hash covers, and
// classes, which it compiles. An error is a fault of this node.
func (p *proposals) invalid(ctx context.Context, proposal *ordov1.Proposal, classes map[mempool.Key]*ordov1.Class) (invalid string, err error) {
	definitions := map[mempool.Key][]byte{}
	for _, class := range proposal.Classes {
		if len(class.Hash) == felt.Size {
			definitions[mempool.Key(class.Hash)] = class.Definition
		}
	}
	var declares []int
	for i, tx := range proposal.Transactions {
		if invalid := p.falsified(tx); invalid != "" {
			return fmt.Sprintf("transaction %d: %s", i, invalid), nil
		}
		if tx.Type == ordov1.TransactionType_DECLARE {
			declares = append(declares, i)
		}
	}
	for _, i := range declares {
		tx := proposal.Transactions[i]
		hash := mempool.Key(pad(tx.ClassHash))
		if definitions[hash] == nil {
			return fmt.Sprintf("transaction %d declares a class that the proposal does not bring", i), nil
		}
		class, invalid, err := p.compiled(ctx, tx, definitions[hash])
		if invalid != "" || err != nil {
			return fmt.Sprintf("transaction %d: %s", i, invalid), err
		}
		classes[hash] = class
	}
	return "", nil
}

// falsified tells in what a transaction is not what its hash stands for, written as this node would write it. What no hash covers
// and no account signs would otherwise be stored and served as the proposer made it up.
func (p *proposals) falsified(tx *ordov1.Transaction) string {
	parsed, err := wire.Transaction(tx)
	if err != nil {
		return err.Error()
	}
	if hash := parsed.Hash(p.chainID, false); !bytes.Equal(wire.FromFelt(hash), tx.Hash) || tx.QueryOnly {
		return fmt.Sprintf("its hash is %s, not 0x%x", hash, tx.Hash)
	}
	if p.replay {
		return "" // stored by this node
	}
	own, err := wire.FromTransaction(parsed, p.chainID, false)
	if err != nil {
		return err.Error()
	}
	own.PaidFeeOnL1 = tx.PaidFeeOnL1 // compared with the message that this node has seen
	if len(tx.Sender) != felt.Size || !within(own.ProtoReflect(), tx.ProtoReflect()) {
		return "it has no sender, or fields that a transaction of its type does not have"
	}
	return ""
}

// within tells whether every field that is set in a message is set in another one, to the same value. Fields that the code
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
func (p *proposals) compiled(ctx context.Context, tx *ordov1.Transaction, definition []byte) (class *ordov1.Class, invalid string, err error) {
	sierra, err := gateway.DecodeClass(definition)
	if err != nil {
		return nil, fmt.Sprintf("its class is malformed: %v", err), nil
	}
	if !bytes.Equal(sierra.Hash, tx.ClassHash) {
		return nil, fmt.Sprintf("its class has the hash 0x%x, not 0x%x", sierra.Hash, tx.ClassHash), nil
	}
	limited, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	answer, err := p.client.Compile(limited, &ordov1.CompileRequest{Sierra: sierra.Definition})
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("compile: %w", err)
	case answer.Rejection != ordov1.RejectionCode_REJECTION_CODE_UNSPECIFIED:
		return nil, "its class does not compile: " + answer.Reason, nil
	case !bytes.Equal(answer.Class.GetHash(), tx.ClassHash) || !bytes.Equal(answer.Class.GetCompiledClassHash(), tx.CompiledClassHash):
		return nil, "its class has other hashes than it declares", nil
	}
	answer.Class.Definition = sierra.Definition // what is stored and served is this node's own writing
	return answer.Class, "", nil
}
