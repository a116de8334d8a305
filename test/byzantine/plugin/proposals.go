package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// falseProposals change what the core gives to consensus as its own proposal, as a validator does that breaks the rules; false: there is
// nothing in this one that the mutation could change.
var falseProposals = map[string]func(p *proxy, b *ordov1.ConsensusEvent_Built) bool{
	"garbage": func(_ *proxy, b *ordov1.ConsensusEvent_Built) bool {
		b.Proposal = bytes.Repeat([]byte{0xff}, len(b.Proposal))
		return true
	},
	"cut in the middle": func(_ *proxy, b *ordov1.ConsensusEvent_Built) bool {
		b.Proposal = b.Proposal[:len(b.Proposal)-7]
		return true
	},
	"another value":      func(_ *proxy, b *ordov1.ConsensusEvent_Built) bool { b.Value[31] ^= 1; return true },
	"no context":         inProposal(func(p *ordov1.Proposal) bool { p.Context = nil; return true }),
	"another height":     inProposal(func(p *ordov1.Proposal) bool { p.Context.Number++; return true }),
	"a time of the past": inProposal(func(p *ordov1.Proposal) bool { p.Context.Timestamp = 1; return true }),
	"a time to come":     inProposal(func(p *ordov1.Proposal) bool { p.Context.Timestamp += 3600; return true }),
	"another sequencer":  inProposal(func(p *ordov1.Proposal) bool { p.Context.Sequencer[31] ^= 1; return true }),
	"another version":    inProposal(func(p *ordov1.Proposal) bool { p.Context.StarknetVersion = "0.1.2"; return true }),
	"another DA mode":    inProposal(func(p *ordov1.Proposal) bool { p.Context.BlobDa = !p.Context.BlobDa; return true }),
	"another L2 price":   inProposal(func(p *ordov1.Proposal) bool { return dearer(p.Context.L2Gas) }),
	"another L1 price":   inProposal(func(p *ordov1.Proposal) bool { return dearer(p.Context.L1Gas) }),
	"another data price": inProposal(func(p *ordov1.Proposal) bool { return dearer(p.Context.L1DataGas) }),
	"another old hash":   inProposal(func(p *ordov1.Proposal) bool { return flip(p.Context.OldBlockHash) }),
	"a count beyond":     inProposal(func(p *ordov1.Proposal) bool { p.N += 7; return true }),
	"no transactions":    inTransactions(func(p *ordov1.Proposal) bool { p.Transactions, p.N = nil, 0; return true }),
	"a stripped signature": inTransactions(func(p *ordov1.Proposal) bool {
		p.Transactions[0].Signature = nil
		return true
	}),
	"another signature": inTransactions(func(p *ordov1.Proposal) bool { return flip(p.Transactions[0].Signature) }),
	"another hash":      inTransactions(func(p *ordov1.Proposal) bool { return flip(p.Transactions[0].Hash) }),
	"a transaction twice": inTransactions(func(p *ordov1.Proposal) bool {
		p.Transactions, p.N = append(p.Transactions, p.Transactions[0]), p.N+1
		return true
	}),
	"a field of another type": inTransactions(func(p *ordov1.Proposal) bool {
		p.Transactions[0].ContractAddressSalt = bytes.Repeat([]byte{1}, felt.Size)
		return true
	}),
	"an invented message from L1": inTransactions(func(p *ordov1.Proposal) bool {
		tx := p.Transactions[0]
		tx.Type, tx.Signature = ordov1.TransactionType_L1_HANDLER, nil
		return true
	}),
	"a transfer that its account did not sign": func(x *proxy, b *ordov1.ConsensusEvent_Built) bool {
		return inTransactions(func(p *ordov1.Proposal) bool {
			tx := p.Transactions[0]
			if !flip(tx.Calldata) {
				return false
			}
			parsed, err := wire.Transaction(tx)
			if err != nil {
				return false
			}
			tx.Hash = wire.FromFelt(parsed.Hash(x.chainID, false))
			return true
		})(x, b)
	},
}

// flip changes the last byte of something.
func flip(data []byte) bool {
	if len(data) == 0 {
		return false
	}
	data[len(data)-1] ^= 1
	return true
}

// dearer makes a price much higher.
func dearer(price *ordov1.GasPrice) bool {
	if price == nil {
		return false
	}
	for _, one := range [][]byte{price.Wei, price.Fri} {
		if len(one) > 5 {
			one[len(one)-6]++ // 2^40 more
		}
	}
	return true
}

func inProposal(change func(*ordov1.Proposal) bool) func(*proxy, *ordov1.ConsensusEvent_Built) bool {
	return func(_ *proxy, b *ordov1.ConsensusEvent_Built) bool {
		p := &ordov1.Proposal{}
		if proto.Unmarshal(b.Proposal, p) != nil || p.Context == nil || !change(p) {
			return false
		}
		body, err := proto.Marshal(p)
		b.Proposal = body
		return err == nil
	}
}

func inTransactions(change func(*ordov1.Proposal) bool) func(*proxy, *ordov1.ConsensusEvent_Built) bool {
	return inProposal(func(p *ordov1.Proposal) bool { return p.N > 0 && len(p.Transactions) > 0 && change(p) })
}

// propose changes an event of the core in which it gives its proposal, by the next of the mutations that can change it. The marker gets the
// height, the hash of the body, and the name.
func (p *proxy) propose(m frame) frame {
	event := &ordov1.ConsensusEvent{}
	if proto.Unmarshal(m, event) != nil || len(event.GetBuilt().GetProposal()) == 0 {
		return m
	}
	built, honest := event.GetBuilt(), &ordov1.Proposal{}
	if proto.Unmarshal(built.Proposal, honest) != nil {
		return m
	}
	for range p.fault.Built {
		kind := p.fault.Built[0]
		p.fault.Built = append(p.fault.Built[1:], kind)
		change := falseProposals[kind]
		if change == nil {
			fail(fmt.Errorf("no such mutation: %s", kind))
		}
		if !change(p, built) {
			continue
		}
		if err := p.note(fmt.Sprintf("%d %x %s", honest.GetContext().GetNumber(), sha256.Sum256(built.Proposal), kind)); err != nil {
			fail(err)
		}
		changed, err := proto.Marshal(event)
		if err != nil {
			fail(err)
		}
		return changed
	}
	return m
}

// note adds a line to the marker.
func (p *proxy) note(line string) error {
	f, err := os.OpenFile(p.fault.Marker, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, line)
	return err
}

// learn keeps what the mutations need of the configuration.
func (p *proxy) learn(req *ordov1.ConfigureRequest) {
	chainID, err := felt.FromShortString(req.GetChain().GetChainId())
	if err != nil {
		fail(err)
	}
	p.chainID = chainID
}
