package pipeline

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// FuzzProposal: whatever a proposer sends is a verdict, never a fault of this node and never a panic.
func FuzzProposal(f *testing.F) {
	good, _ := proto.Marshal(&ordov1.Proposal{Context: &ordov1.BlockContext{Number: 1, Timestamp: 1, StarknetVersion: "0.14.4"}, N: 1,
		Transactions: []*ordov1.Transaction{{Hash: key("a/0"), Sender: key("a"), Type: ordov1.TransactionType_DECLARE, ClassHash: key("c")}}})
	f.Add(good)
	f.Add([]byte("\xff\xff"))
	f.Add([]byte{}) // its body is fetched
	f.Fuzz(func(t *testing.T, proposal []byte) {
		m, _ := New(Options{Template: template}, mempool.New(mempool.Options{}), 1000, Head{})
		out, err := m.Step(1000, Answered{&ordov1.Actions{Seq: 1, Actions: []*ordov1.Action{{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{Attempt: 1, Proposal: proposal}}}}}})
		if err != nil {
			t.Fatal(err)
		}
		checks, verdicts, fetches := 0, 0, 0
		for _, c := range out {
			switch c := c.(type) {
			case Check:
				checks++
				if c.Proposal.N > uint64(len(c.Proposal.Transactions)) {
					t.Fatal("more counted than brought")
				}
			case Fetch:
				fetches++
			case Tell:
				if v := c.Event.GetVerdict(); v != nil && !v.Valid {
					verdicts++
				}
			}
		}
		if checks+verdicts+fetches != 1 || (fetches == 1) != (len(proposal) == 0) {
			t.Fatalf("%d checks, %d verdicts and %d fetches", checks, verdicts, fetches)
		}
		if checks == 1 {
			if _, err := m.Step(1000, Checked{Build: 1}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
