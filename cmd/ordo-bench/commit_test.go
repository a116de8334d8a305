package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	pedersenhash "github.com/consensys/gnark-crypto/ecc/stark-curve/pedersen-hash"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func TestGnarkIsGnark(t *testing.T) {
	l := newLedger(20)
	list := append(l.balances, felt.Zero(), felt.One(), felt.Zero().Sub(felt.One()), felt.FromUint64(1<<63))
	for _, a := range list {
		for _, b := range list {
			x, y := fp.Element(a), fp.Element(b)
			if got, want := loadGnark().hash(a, b), felt.Felt(pedersenhash.Pedersen(&x, &y)); got != want {
				t.Fatalf("hash(%s, %s) = %s, gnark-crypto says %s", a, b, got, want)
			}
		}
	}
}

// BenchmarkGnark tells whether our copy of its path is as fast as the package.
func BenchmarkGnark(b *testing.B) {
	l := newLedger(2)
	x, y := l.balances[0], l.balances[1]
	b.Run("copy", func(b *testing.B) {
		g := loadGnark()
		for b.Loop() {
			x = g.hash(x, y)
		}
	})
	b.Run("package", func(b *testing.B) {
		p, q := fp.Element(x), fp.Element(y)
		for b.Loop() {
			p = pedersenhash.Pedersen(&p, &q)
		}
	})
}

func TestCommit(t *testing.T) {
	fakePlugin(t, "")
	r, err := measureCommit(t.Context(), commitOptions{leaves: 300, transfers: 20, cores: 1, rounds: 2, quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Ours.Rounds) != 2 || len(r.Gnark.Rounds) != 2 || r.Hashes < 3*20 || r.Ratio <= 0 || len(r.Each) != 5 {
		t.Errorf("%+v", r)
	}
	var out bytes.Buffer
	if err := r.print(&out, ""); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"20 transfers on a state of 300 balances", "poseidon  ordo, one by one", "not measured: starknet-types-core: no ordo-execution"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q in\n%s", line, out.String())
		}
	}
}

func TestCommitRefuses(t *testing.T) {
	cmd := commitCommand()
	cmd.SetArgs([]string{"--leaves", "2000"})
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "2001 balances") {
		t.Error(err)
	}
}
