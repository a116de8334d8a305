package main

import (
	"bytes"
	"math"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// mutations change an answer; false: this one has nothing that the mutation could change.
var mutations = map[string]func(frame) (frame, bool){
	// ordering
	"one score less": mutation(func(m *ordov1.ScoreResponse) bool {
		m.Hi = m.Hi[:max(0, len(m.Hi)-1)]
		return true
	}),
	"one score more":     mutation(func(m *ordov1.ScoreResponse) bool { m.Hi = append(m.Hi, 7); return true }),
	"half of the scores": mutation(func(m *ordov1.ScoreResponse) bool { m.Lo = []uint64{1, 2, 3}; return true }),
	"generations jump":   mutation(func(m *ordov1.ScoreResponse) bool { m.Generation = math.MaxUint64 - m.Generation; return true }),

	// execution: results
	"results repeated": results(func(r *ordov1.BuildResponse_Results) bool { r.Results = append(r.Results, r.Results[0]); return true }),
	"result invented": results(func(r *ordov1.BuildResponse_Results) bool {
		r.Results[0].Hash = bytes.Repeat([]byte{3}, 32)
		return true
	}),
	"result of no kind": results(func(r *ordov1.BuildResponse_Results) bool {
		r.Results[0].Status = 77
		return true
	}),
	"results from elsewhere": results(func(r *ordov1.BuildResponse_Results) bool { r.First += 5; return true }),
	"results from the end":   results(func(r *ordov1.BuildResponse_Results) bool { r.First = math.MaxUint64; return true }),
	"fee too wide": results(func(r *ordov1.BuildResponse_Results) bool {
		r.Results[0].ActualFee = bytes.Repeat([]byte{0xff}, 33)
		return true
	}),
	"fee of no felt": results(func(r *ordov1.BuildResponse_Results) bool { r.Results[0].ActualFee = []byte{1, 2, 3}; return true }),
	"gas without end": results(func(r *ordov1.BuildResponse_Results) bool {
		r.Results[0].Gas = &ordov1.Gas{L1Gas: math.MaxUint64, L2Gas: math.MaxUint64}
		return true
	}),
	"events odd": results(func(r *ordov1.BuildResponse_Results) bool {
		r.Results[0].Events = []*ordov1.Event{{FromAddress: []byte{1}, Keys: make([]byte, 31), Data: make([]byte, 33)}}
		return true
	}),
	"events above P": results(func(r *ordov1.BuildResponse_Results) bool {
		r.Results[0].Events = []*ordov1.Event{{FromAddress: above(), Keys: above(), Data: above()}}
		return true
	}),
	"delta odd": results(func(r *ordov1.BuildResponse_Results) bool {
		r.Delta = &ordov1.StateDiff{Nonces: make([]byte, 63)}
		return true
	}),

	// execution: results that are well formed, and wrong
	"a wrong fee": results(func(r *ordov1.BuildResponse_Results) bool {
		return flip(r.Results[len(r.Results)-1].ActualFee)
	}),
	"a wrong event": results(func(r *ordov1.BuildResponse_Results) bool {
		for _, one := range r.Results {
			for _, e := range one.Events {
				if flip(e.Data) {
					return true
				}
			}
		}
		return false
	}),
	"a success called a revert": results(func(r *ordov1.BuildResponse_Results) bool {
		one := r.Results[0]
		if one.Status != ordov1.TransactionResult_SUCCEEDED {
			return false
		}
		one.Status, one.Reason = ordov1.TransactionResult_REVERTED, "an injected fault"
		return true
	}),
	"a wrong balance": closed(func(c *ordov1.BuildResponse_Closed) bool {
		for _, s := range c.StateDiff.GetStorage() {
			if flip(s.Entries) { // the value of its last entry
				return true
			}
		}
		return false
	}),
	"a wrong nonce": closed(func(c *ordov1.BuildResponse_Closed) bool { return flip(c.StateDiff.Nonces) }),
	"a change left out": closed(func(c *ordov1.BuildResponse_Closed) bool {
		n := len(c.StateDiff.Nonces) - 64
		if n < 0 {
			return false
		}
		c.StateDiff.Nonces = c.StateDiff.Nonces[:n]
		return true
	}),

	// execution: the end of a block
	"closed elsewhere": closed(func(c *ordov1.BuildResponse_Closed) bool { c.N += 3; return true }),
	"no diff":          closed(func(c *ordov1.BuildResponse_Closed) bool { c.StateDiff = nil; return true }),
	"diff unsorted": closed(func(c *ordov1.BuildResponse_Closed) bool {
		s := c.StateDiff.GetStorage()
		if len(s) < 2 {
			return false
		}
		s[0], s[1] = s[1], s[0]
		return true
	}),
	"diff repeated": closed(func(c *ordov1.BuildResponse_Closed) bool {
		c.StateDiff.Nonces = append(c.StateDiff.Nonces, c.StateDiff.Nonces...)
		return len(c.StateDiff.Nonces) > 0
	}),
	"diff odd": closed(func(c *ordov1.BuildResponse_Closed) bool {
		c.StateDiff.Nonces = append(c.StateDiff.Nonces, 1)
		return true
	}),
	"diff half": closed(func(c *ordov1.BuildResponse_Closed) bool { c.StateDiff.Deployed = make([]byte, 32); return true }),
	"diff above P": closed(func(c *ordov1.BuildResponse_Closed) bool {
		c.StateDiff.Nonces = append(above(), above()...)
		return true
	}),
	"diff value above P": closed(func(c *ordov1.BuildResponse_Closed) bool {
		for _, s := range c.StateDiff.GetStorage() {
			copy(s.Entries[32:64], above())
			return true
		}
		return false
	}),
	"diff address": closed(func(c *ordov1.BuildResponse_Closed) bool { // of a contract at 2^251: a felt, but no address
		wide := make([]byte, 32)
		wide[0] = 8
		c.StateDiff.Storage = append(c.StateDiff.Storage, &ordov1.ContractStorage{Address: wide, Entries: make([]byte, 64)})
		return true
	}),
	"class invented":         closed(func(c *ordov1.BuildResponse_Closed) bool { c.Classes = append(c.Classes, &ordov1.Class{}); return true }),
	"gas in all without end": closed(func(c *ordov1.BuildResponse_Closed) bool { c.GasUsed = &ordov1.Gas{L2Gas: math.MaxUint64}; return true }),

	"full beyond": mutation(func(m *ordov1.BuildResponse) bool {
		m.Step = &ordov1.BuildResponse_Full_{Full: &ordov1.BuildResponse_Full{N: math.MaxUint64, Why: "\x1b[2J"}}
		return true
	}),
	"another tip":      mutation(func(m *ordov1.ApplyResponse) bool { m.Tip += 7; return true }),
	"no tip":           mutation(func(m *ordov1.ApplyResponse) bool { m.HasTip = false; return true }),
	"one verdict less": mutation(func(m *ordov1.ValidateResponse) bool { m.Verdicts = m.Verdicts[1:]; return true }),
	"nonce odd":        mutation(func(m *ordov1.ValidateResponse) bool { m.Verdicts[0].AccountNonce = make([]byte, 31); return true }),
	"nonce above P":    mutation(func(m *ordov1.ValidateResponse) bool { m.Verdicts[0].AccountNonce = above(); return true }),
	"call odd": mutation(func(m *ordov1.ViewResponse) bool {
		m.Result = &ordov1.ViewResponse_Call{Call: make([]byte, 33)}
		return true
	}),
	"call above P": mutation(func(m *ordov1.ViewResponse) bool { m.Result = &ordov1.ViewResponse_Call{Call: above()}; return true }),

	// storage
	"head ahead":      mutation(func(m *ordov1.HeadResponse) bool { m.Empty, m.Height = false, m.Height+1000; return true }),
	"head odd":        mutation(func(m *ordov1.HeadResponse) bool { m.Empty, m.PartialHash = false, make([]byte, 31); return true }),
	"another height":  mutation(func(m *ordov1.CommitResponse) bool { m.Height += 9; return true }),
	"root of nothing": mutation(func(m *ordov1.Root) bool { m.StateRoot = nil; return true }),
	"root odd":        mutation(func(m *ordov1.Root) bool { m.StateRoot = make([]byte, 31); return true }),
	"root above P":    mutation(func(m *ordov1.Root) bool { m.StateRoot = above(); return true }),
	"root elsewhere":  mutation(func(m *ordov1.Root) bool { m.Height += 2; return true }),
	"another hash":    mutation(func(m *ordov1.Root) bool { m.BlockHash = bytes.Repeat([]byte{2}, 32); return true }),
	"another parent":  mutation(func(m *ordov1.Root) bool { m.ParentHash = bytes.Repeat([]byte{2}, 32); return true }),
	"state short":     mutation(func(m *ordov1.StateResponse) bool { m.Storage, m.Nonces, m.ClassHashes = nil, nil, nil; return true }),
	"state odd": mutation(func(m *ordov1.StateResponse) bool {
		m.Storage, m.Nonces, m.ClassHashes = []byte{1}, []byte{1}, []byte{1}
		return true
	}),
	"state above P": mutation(func(m *ordov1.StateResponse) bool {
		m.Storage, m.Nonces, m.ClassHashes = high(m.Storage), high(m.Nonces), high(m.ClassHashes)
		return true
	}),
	"another block":        mutation(func(m *ordov1.Block) bool { m.Header.Context.Number += 11; return true }),
	"block without header": mutation(func(m *ordov1.Block) bool { m.Header = nil; return true }),
	"found beyond": mutation(func(m *ordov1.FindTransactionResponse) bool {
		m.Found, m.Number, m.Index = true, math.MaxUint64, math.MaxUint32
		return true
	}),

	// storage: proofs
	"proof bit flipped":   proofs(func(n *ordov1.ProofNodes) { n.Binary[len(n.Binary)/2] ^= 1 }),
	"proof node missing":  proofs(func(n *ordov1.ProofNodes) { n.Binary = n.Binary[96:] }),
	"proof node repeated": proofs(func(n *ordov1.ProofNodes) { n.Binary = append(n.Binary, n.Binary[:96]...) }),
	"proof node cut":      proofs(func(n *ordov1.ProofNodes) { n.Binary = n.Binary[1:] }),
	"proof without end":   proofs(func(n *ordov1.ProofNodes) { n.Binary = append(n.Binary, bytes.Repeat([]byte{1}, 96<<18)...) }),
	"proof of another root": mutation(func(m *ordov1.ProofsResponse) bool {
		m.ContractsRoot = bytes.Repeat([]byte{1}, 32)
		return !m.OutOfReach
	}),
	"proof of another leaf": mutation(func(m *ordov1.ProofsResponse) bool {
		if len(m.ContractLeaves) < 96 {
			return false
		}
		m.ContractLeaves[63] ^= 1 // the nonce
		return true
	}),
	"proof of another block": mutation(func(m *ordov1.ProofsResponse) bool { m.Height++; return !m.OutOfReach }),

	// consensus
	"another seq":     mutation(func(m *ordov1.Actions) bool { m.Seq += 1000; return true }),
	"decide nothing":  actions(&ordov1.Action{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{Attempt: 999, Value: make([]byte, 32)}}}),
	"abandon nothing": actions(&ordov1.Action{Action: &ordov1.Action_Abandon_{Abandon: &ordov1.Action_Abandon{Attempt: 999}}}),
	"seal nothing":    actions(&ordov1.Action{Action: &ordov1.Action_Seal_{Seal: &ordov1.Action_Seal{Attempt: 999}}}),
	"build for ever": actions(&ordov1.Action{Action: &ordov1.Action_Build_{Build: &ordov1.Action_Build{Attempt: math.MaxUint64, Round: math.MaxUint32,
		DeadlineMs: math.MaxUint32, ReuseAttempt: 998}}}),
	"an action of no kind": actions(&ordov1.Action{}),
	"timers without end": mutation(func(m *ordov1.Actions) bool {
		for i := range uint64(100_000) {
			m.Actions = append(m.Actions, &ordov1.Action{Action: &ordov1.Action_SetTimer_{SetTimer: &ordov1.Action_SetTimer{Id: i, AfterMs: math.MaxUint32}}})
		}
		return true
	}),
	"decide another value": mutation(func(m *ordov1.Actions) bool {
		for _, a := range m.Actions {
			if d := a.GetDecide(); d != nil {
				d.Value = bytes.Repeat([]byte{5}, 32)
				return true
			}
		}
		return false
	}),
}

func mutation[M any, P interface {
	*M
	proto.Message
}](change func(P) bool) func(frame) (frame, bool) {
	return func(f frame) (frame, bool) {
		m := P(new(M))
		if proto.Unmarshal(f, m) != nil || !change(m) {
			return f, false
		}
		out, err := proto.Marshal(m)
		return out, err == nil
	}
}

func results(change func(*ordov1.BuildResponse_Results) bool) func(frame) (frame, bool) {
	return mutation(func(m *ordov1.BuildResponse) bool {
		r := m.GetResults()
		return len(r.GetResults()) > 0 && change(r)
	})
}

func closed(change func(*ordov1.BuildResponse_Closed) bool) func(frame) (frame, bool) {
	return mutation(func(m *ordov1.BuildResponse) bool {
		c := m.GetClosed()
		return c.GetStateDiff() != nil && change(c)
	})
}

// proofs changes the nodes of the contracts trie.
func proofs(change func(*ordov1.ProofNodes)) func(frame) (frame, bool) {
	return mutation(func(m *ordov1.ProofsResponse) bool {
		if len(m.GetContracts().GetBinary()) < 96 {
			return false
		}
		change(m.Contracts)
		return true
	})
}

func actions(extra *ordov1.Action) func(frame) (frame, bool) {
	return mutation(func(m *ordov1.Actions) bool { m.Actions = append(m.Actions, extra); return true })
}

// above is the smallest number that is no felt: the prime itself.
func above() []byte {
	p := make([]byte, 32)
	p[0], p[7], p[31] = 8, 17, 1
	p[6] = 0
	return p
}

// high puts it in the place of the first felt.
func high(list []byte) []byte {
	if len(list) >= 32 {
		copy(list, above())
	}
	return list
}
