package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// TestHolders: ascending over all blocks, without repeats, felts that a key may be.
func TestHolders(t *testing.T) {
	seen := map[string]bool{}
	var before []byte
	const keys = 2*fillPart + 1000
	for block := range fillBlocks(keys) {
		part := holders(block, keys)
		for at := 0; at < len(part); at += 64 {
			key := part[at : at+32]
			if bytes.Compare(before, key) >= 0 || seen[string(key)] {
				t.Fatalf("entry %d is not above the one before, or known", at/64)
			}
			if _, err := felt.FromBytes(key); err != nil {
				t.Fatal(err)
			}
			before, seen[string(key)] = key, true
		}
	}
	if len(seen) != keys {
		t.Errorf("%d keys", len(seen))
	}
}

// TestPoolGrowth: as many are taken as are put in, whatever waits.
func TestPoolGrowth(t *testing.T) {
	o := defaultGrowth()
	o.pool, o.quiet = []int{5, 2500}, true
	var r GrowthReport
	if err := r.measurePool(t.Context(), o, newBar(-1, true, "")); err != nil {
		t.Fatal(err)
	}
	if len(r.Pool) != 2 || r.Pool[1].Admit <= 0 || r.Pool[1].Take <= 0 {
		t.Errorf("%+v", r.Pool)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if r.measurePool(ended, o, newBar(-1, true, "")) == nil {
		t.Error("goes on after the end")
	}
}

func TestGrowthRefuses(t *testing.T) {
	for _, change := range []func(*growthOptions){
		func(o *growthOptions) { o.rounds = 0 },
		func(o *growthOptions) { o.sizes = []int{1000, 0} },
		func(o *growthOptions) { o.blocks = []int{-1} },
	} {
		o := defaultGrowth()
		change(&o)
		if _, err := runGrowth(t.Context(), o); err == nil {
			t.Errorf("%+v is run", o)
		}
	}
}

func TestOnly(t *testing.T) {
	only := []string{"load", "hop"}
	for name, want := range map[string]bool{"load-open": true, "hop": true, "start": false, "loads": false} {
		if contains(only, name) != want {
			t.Errorf("%s", name)
		}
	}
}
