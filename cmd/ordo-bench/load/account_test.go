package load

import (
	"context"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

type oneCall struct{}

func (oneCall) prepare(context.Context, *setup, []identity) error { return nil }
func (oneCall) audit(context.Context, *setup, []uint64) error     { return nil }
func (oneCall) calls(account int, n uint64) []client.Call {
	return []client.Call{client.Transfer(genesis.STRKAddress(), felt.FromUint64(uint64(account)), n)}
}

// TestAccount: nonces go up by one, what is rejected is sent again as it is, and an account is queued once at most.
func TestAccount(t *testing.T) {
	s := testSigner()
	key := genesis.Accounts(0, 1)[0]
	a := &account{identity: identity{key.Address, key.PrivateKey}, first: 7}
	a.stock = s.signMany(a.transactions(oneCall{}, 0, 2))
	late := 0
	counted := func(n int) { late += n }
	if !a.want(time.Unix(1, 0)) || a.want(time.Unix(2, 0)) || a.want(time.Unix(3, 0)) {
		t.Fatal("queued at the first transaction, and only then")
	}
	list := a.next(2, oneCall{}, s, counted)
	if len(list) != 2 || list[0].tx.nonce != 7 || list[1].tx.nonce != 8 || list[1].due != time.Unix(2, 0) || late != 0 {
		t.Fatalf("%+v, %d signed late", list, late)
	}
	a.took(1) // the second is rejected
	if !a.release() || a.want(time.Unix(4, 0)) {
		t.Fatal("has something to send, and is queued once")
	}
	again := a.next(5, oneCall{}, s, counted)
	if len(again) != 3 || again[0].hash != list[1].hash || again[0].n != 1 || again[2].tx.nonce != 10 || late != 2 {
		t.Fatalf("%+v, %d signed late", again, late)
	}
	a.took(3)
	if a.release() {
		t.Error("queued with nothing to send")
	}
	for range refusalsMost - 1 {
		if !a.refused() {
			t.Fatal("gave up early")
		}
	}
	if a.refused() || a.want(time.Now()) {
		t.Error("goes on for ever")
	}
}

// TestTracker: each transaction counts once, for its own account; strangers in a block do not.
func TestTracker(t *testing.T) {
	tr := &tracker{flights: map[felt.Felt]*flight{}}
	begun := time.Unix(50, 0)
	tr.begun = begun
	one, two := &account{index: 1}, &account{index: 2}
	f := felt.FromUint64
	tr.launch([]flight{{account: one, hash: f(11), due: begun}, {account: two, hash: f(22), due: begun}, {account: two, hash: f(23), due: begun}})
	tr.recall([]flight{{hash: f(23)}})
	tr.line.add(sample{begun.Add(time.Second), 0, 2})
	freed := tr.arrive(1, []felt.Felt{f(11), f(99), f(23)}, begun.Add(4*time.Second))
	if len(freed) != 1 || freed[0] != one || tr.flying() != 1 || tr.blocks != 1 {
		t.Errorf("freed %v, %d fly", freed, tr.flying())
	}
	if again := tr.arrive(2, []felt.Felt{f(11), f(22)}, begun.Add(5*time.Second)); len(again) != 1 || again[0] != two {
		t.Errorf("freed %v", again)
	}
	if v := tr.visible.Percentiles(); v.Count != 2 || v.P50 > 1020 || v.Max != 5000 {
		t.Errorf("visible %+v", v)
	}
	if n, last := tr.progress(); n != 2 || last != begun.Add(5*time.Second) || tr.seconds[4] != 1 || tr.seconds[5] != 1 {
		t.Errorf("%d accepted, the last at %v: %v", n, last, tr.seconds)
	}
}

// TestMixed: ten in a row have all kinds, and the shares are what the documentation says.
func TestMixed(t *testing.T) {
	for account := range 10 {
		var counts [3]int
		for n := range uint64(10) {
			counts[which(account, n)]++
		}
		if counts != [3]int{7, 2, 1} {
			t.Errorf("account %d: %v", account, counts)
		}
	}
}

func TestPrice(t *testing.T) {
	b := price{felt.FromUint128(1<<10, 0)}.bound(5)
	if b.MaxAmount != 5 || b.MaxPrice.Hi != 3<<9 || b.MaxPrice.Lo != 1 {
		t.Errorf("%+v", b)
	}
}
