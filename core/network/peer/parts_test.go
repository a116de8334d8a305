package peer

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/identity"
)

// TestBudget: the burst is there at once, then as much as a second gives; the error names the setting.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Rates{Messages: 10, Bytes: 1000, Useless: 1, Requests: 1, Invalid: 1}, 2*time.Second, time.Now())
		charge := func(c Cost, n int) bool { return b.Charge(c, n, time.Now()) == nil }
		if !charge(Messages, 20) || charge(Messages, 1) {
			t.Error("not the burst")
		}
		if !charge(Bytes, 2000) {
			t.Error("a cost takes from another")
		}
		time.Sleep(time.Second) // 9 come back: one too many was taken
		if !charge(Messages, 9) || charge(Messages, 1) {
			t.Error("not the rate")
		}
		time.Sleep(time.Hour)
		if !charge(Messages, 20) {
			t.Error("not the burst again")
		}
		err := b.Charge(Invalid, 3, time.Now())
		if spent, ok := errors.AsType[*SpentError](err); !ok || spent.Key != "peer_invalid" || !strings.Contains(err.Error(), "network.peer_invalid, 1 a second") {
			t.Errorf("%v", err)
		}
	})
}

// TestKnown: the last ones are remembered, whatever came before; what is forgotten is new; memory is bounded.
func TestKnown(t *testing.T) {
	const size = 100
	k := NewKnown(maphash.MakeSeed(), size)
	digest := func(i int) uint64 { return k.Digest(fmt.Append(nil, i)) }
	for i := range 10_000 {
		if !k.Add(digest(i)) || k.Add(digest(i)) {
			t.Fatalf("%d is not new once", i)
		}
		for back := range min(i, size) {
			if !k.Has(digest(i - back)) {
				t.Fatalf("%d is forgotten at %d", i-back, i)
			}
		}
		if len(k.now)+len(k.old) > 2*size {
			t.Fatalf("%d are remembered", len(k.now)+len(k.old))
		}
	}
	k.Forget(digest(9_999))
	if !k.Add(digest(9_999)) {
		t.Error("it was forgotten, and is not new")
	}
	one, two := NewKnown(maphash.MakeSeed(), 1), NewKnown(maphash.MakeSeed(), 1)
	if one.Digest([]byte("a")) == two.Digest([]byte("a")) {
		t.Error("two seeds give one digest")
	}
}

// TestAddresses: what is written is read back; errors name the line and the form.
func TestAddresses(t *testing.T) {
	id := identity.ID{1, 2, 3}
	text := fmt.Sprintf("# peers\n\n%s@host.example:7000\n  %s@[::1]:7001 follower # one that follows\n%s\n", id, identity.ID{4}, identity.ID{5})
	list, err := ReadAddresses(strings.NewReader(text))
	if err != nil || len(list) != 3 || list[0] != (Address{id, "host.example:7000", false}) || list[1] != (Address{identity.ID{4}, "[::1]:7001", true}) || list[2].Dial != "" {
		t.Fatalf("%v, %v", list, err)
	}
	for _, a := range list {
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%v, %v", again, err)
		}
	}
	for text, want := range map[string]string{
		"\n\nabc@host:1":         "line 3: peer",
		id.String() + "@host":    "want HOST:PORT",
		id.String() + "@:1":      "want HOST:PORT",
		id.String() + " leader":  "\"follower\"",
		id.String() + "00@h:1":   "hexadecimal digits",
		fmt.Sprint(id, "\n", id): "line 2: the peer " + id.String() + " is in line 1 already",
		strings.Repeat("a", 1e5): "too long",
		manyAddresses():          "more than 1000 peers",
	} {
		if _, err := ReadAddresses(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

func manyAddresses() string {
	var b strings.Builder
	for i := range MaxPeers + 1 {
		fmt.Fprintln(&b, identity.ID{byte(i), byte(i >> 8)})
	}
	return b.String()
}

// FuzzParseAddress: any text is an address that reads back, or an error.
func FuzzParseAddress(f *testing.F) {
	f.Add(identity.ID{1}.String() + "@host:1 follower")
	f.Add("@:")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%q: %v, %v", text, again, err)
		}
	})
}
