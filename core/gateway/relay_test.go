package gateway

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// TestRelay: what one gateway admits and tells, another one admits in the same form; it does not tell it again.
func TestRelay(t *testing.T) {
	var told []*Broadcast
	here, there := &basket{}, &basket{}
	sender := start(t, &fakestage.Questions{}, here)
	sender.admitted = func(b *Broadcast) { told = append(told, b) }
	receiver := start(t, &fakestage.Questions{}, there)
	receiver.admitted = func(*Broadcast) { t.Error("a relayed transaction is passed on") }
	if _, err := sender.Submit(t.Context(), transaction("INVOKE")); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 {
		t.Fatalf("told of %d transactions", len(told))
	}
	encoded, err := told[0].Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Relay(t.Context(), encoded); err != nil {
		t.Fatal(err)
	}
	if len(there.taken) != 1 || !proto.Equal(there.taken[0], here.taken[0]) {
		t.Fatalf("%v arrived as %v", here.taken, there.taken)
	}
}

// TestForward: what a follower brings is passed on, in the form in which this gateway admitted it.
func TestForward(t *testing.T) {
	var told, passed []*Broadcast
	sender := start(t, &fakestage.Questions{}, &basket{})
	sender.admitted = func(b *Broadcast) { told = append(told, b) }
	receiver := start(t, &fakestage.Questions{}, &basket{})
	receiver.admitted = func(b *Broadcast) { passed = append(passed, b) }
	if _, err := sender.Submit(t.Context(), transaction("INVOKE")); err != nil {
		t.Fatal(err)
	}
	encoded, err := told[0].Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Forward(t.Context(), encoded); err != nil {
		t.Fatal(err)
	}
	if len(passed) != 1 || !proto.Equal(passed[0].Transaction, told[0].Transaction) {
		t.Fatalf("passed on %v", passed)
	}
	if err := receiver.Forward(t.Context(), []byte{0xff}); err == nil || len(passed) != 1 {
		t.Errorf("what cannot be read: %v, passed on %d", err, len(passed))
	}
}

// TestRelayRejectsWhatNoNodeAdmits: the peer that sends it is to blame.
func TestRelayRejectsWhatNoNodeAdmits(t *testing.T) {
	var told *Broadcast
	sender := start(t, &fakestage.Questions{}, &basket{})
	sender.admitted = func(b *Broadcast) { told = b }
	if _, err := sender.Submit(t.Context(), transaction("INVOKE")); err != nil {
		t.Fatal(err)
	}
	refuse := func(_ context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
		r := accept(q)
		r.Verdicts[0].Rejection = ordov1.RejectionCode_VALIDATION_FAILURE
		return r, nil
	}
	for name, falsify := range map[string]func(p *ordov1.Proposal, e *fakestage.Questions){
		"another hash": func(p *ordov1.Proposal, _ *fakestage.Questions) { p.Transactions[0].Hash[31] ^= 1 },
		"another nonce": func(p *ordov1.Proposal, _ *fakestage.Questions) {
			p.Transactions[0].Nonce = make([]byte, 32)
			p.Transactions[0].Nonce[31] = 99
		},
		"a message from L1": func(p *ordov1.Proposal, _ *fakestage.Questions) {
			p.Transactions[0].Type = ordov1.TransactionType_L1_HANDLER
		},
		"no transaction":         func(p *ordov1.Proposal, _ *fakestage.Questions) { p.Transactions = nil },
		"a class without a need": func(p *ordov1.Proposal, _ *fakestage.Questions) { p.Classes = []*ordov1.Class{{}} },
		"a declaration without": func(p *ordov1.Proposal, _ *fakestage.Questions) {
			p.Transactions[0].Type = ordov1.TransactionType_DECLARE
		},
		"a wrong signature": func(_ *ordov1.Proposal, e *fakestage.Questions) { e.OnValidate = refuse },
	} {
		t.Run(name, func(t *testing.T) {
			p, e, b := &ordov1.Proposal{}, &fakestage.Questions{}, &basket{}
			encoded, err := told.Encode()
			if err == nil {
				err = proto.Unmarshal(encoded, p)
			}
			if err != nil {
				t.Fatal(err)
			}
			falsify(p, e)
			if encoded, err = proto.Marshal(p); err != nil {
				t.Fatal(err)
			}
			var invalid *InvalidError
			if err := start(t, e, b).Relay(t.Context(), encoded); !errors.As(err, &invalid) || len(b.taken) > 0 {
				t.Errorf("%v, %d admitted", err, len(b.taken))
			}
		})
	}
	var invalid *InvalidError
	if err := start(t, &fakestage.Questions{}, &basket{}).Relay(t.Context(), []byte{0xff}); !errors.As(err, &invalid) {
		t.Error(err)
	}
}
