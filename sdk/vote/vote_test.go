package vote_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/vote"
)

// set makes validators with powers.
func set(powers ...uint64) *vote.Set {
	s := &vote.Set{Chain: "C", Scheme: sdk.SchemeTest}
	for i, p := range powers {
		s.Validators = append(s.Validators, &ordov1.Validator{Key: bytes.Repeat([]byte{byte(i + 1)}, 32), Power: p})
	}
	return s
}

// cast makes a signed vote.
func cast(s *vote.Set, signer int, kind, round uint32, text string) *vote.Vote {
	v := &vote.Vote{Kind: kind, Signer: signer, Height: 7, Round: round, Text: text}
	v.Signature = sdk.TestSignature(s.Validators[signer].Key, sdk.SignedBytes(s.Chain, 7, kind, round, []byte(text)))
	return v
}

// TestThirds: more than two thirds is more than that, whatever the remainder, and near the largest numbers too.
func TestThirds(t *testing.T) {
	for total := uint64(1); total < 50; total++ {
		s := set(total)
		for power := range total + 1 {
			if got, want := s.TwoThirds(power), 3*power > 2*total; got != want {
				t.Errorf("%d of %d: more than two thirds %v", power, total, got)
			}
			if got, want := s.OneThird(power), 3*power > total; got != want {
				t.Errorf("%d of %d: more than one third %v", power, total, got)
			}
		}
	}
	if s := set(1<<63, 1<<62); s.TwoThirds(1<<63) || !s.TwoThirds(1<<63+1) {
		t.Error("two thirds of a large power")
	}
}

// TestCertificates: a certificate proves one text in one round of one height, by validators that are counted once.
func TestCertificates(t *testing.T) {
	s := set(1, 1, 1, 1)
	good := []*vote.Vote{cast(s, 0, 3, 2, "x"), cast(s, 1, 3, 2, "x"), cast(s, 3, 3, 2, "x")}
	if text, err := s.Certifies(good, 3, 7); err != nil || text != "x" {
		t.Fatal(text, err)
	}
	stranger, forged := cast(s, 2, 3, 2, "x"), cast(s, 2, 3, 2, "x")
	stranger.Signer, forged.Signature = 4, cast(s, 1, 3, 2, "x").Signature
	for name, list := range map[string][]*vote.Vote{
		"nothing":       nil,
		"two of four":   good[:2],
		"counted twice": {good[0], good[1], good[1]},
		"another text":  {good[0], good[1], cast(s, 2, 3, 2, "y")},
		"another round": {good[0], good[1], cast(s, 2, 3, 1, "x")},
		"another kind":  {good[0], good[1], cast(s, 2, 2, 2, "x")},
		"a stranger":    {good[0], good[1], stranger},
		"forged":        {good[0], good[1], forged},
	} {
		if _, err := s.Certifies(list, 3, 7); err == nil {
			t.Errorf("%s: it certifies", name)
		}
	}
	if _, err := s.Certifies(good, 3, 8); err == nil {
		t.Error("it certifies another height")
	}
}

// TestDoubleVotes: the second different vote is evidence, once; both count, and a validator counts once.
func TestDoubleVotes(t *testing.T) {
	s := set(1, 1, 1, 1)
	b := vote.NewBook(s)
	first, second := cast(s, 0, 2, 0, "x"), cast(s, 0, 2, 0, "y")
	if b.Add(first, 0) != nil || !b.Has(first) || b.Add(second, 0) != first {
		t.Fatal("a double vote is not found")
	}
	for k := range 10 {
		if b.Add(cast(s, 0, 2, 0, fmt.Sprint(k)), 0) != nil {
			t.Error("evidence twice")
		}
	}
	if n := len(b.All()); n != vote.Different {
		t.Errorf("%d votes of one validator are kept", n)
	}
	b.Add(cast(s, 1, 2, 0, "y"), 0)
	if b.Quorum(2, 0, nil) {
		t.Error("two validators are a quorum of four")
	}
	b.Add(cast(s, 2, 2, 0, "y"), 0)
	if text, ok := b.Majority(2, 0); !ok || text != "y" || len(b.For(2, 0, "y")) != 3 {
		t.Errorf("majority %q, %v", text, ok)
	}
}

// TestRoundsAhead: votes of rounds far ahead take no memory, but tell where their validators are.
func TestRoundsAhead(t *testing.T) {
	s := set(1, 1, 1, 1)
	b := vote.NewBook(s)
	b.Add(cast(s, 0, 2, 1000, "x"), 0)
	if len(b.All()) != 0 || b.Ahead() != 0 {
		t.Fatalf("%d votes, ahead %d: one validator of four", len(b.All()), b.Ahead())
	}
	b.Add(cast(s, 1, 2, 900, "x"), 0)
	b.Add(cast(s, 1, 2, ^uint32(0), "x"), 0)
	if b.Ahead() != 900 {
		t.Errorf("ahead %d, two validators have reached 900", b.Ahead())
	}
}

// FuzzRead: what cannot be read is an error, and what can be is written the same way.
func FuzzRead(f *testing.F) {
	s := set(1, 1)
	f.Add(vote.Append(nil, []*vote.Vote{cast(s, 0, 2, 1, "x"), cast(s, 1, 3, 0, "")}))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := vote.Read(b); err == nil && !bytes.Equal(vote.Append(nil, list), b) {
			t.Errorf("%x was written as %x", b, vote.Append(nil, list))
		}
	})
}
