package rpc

import (
	"bytes"
	"math/big"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestOverallFee is the sum of gas times price, whatever execution counts on top, and never more than a u128.
func TestOverallFee(t *testing.T) {
	most := bytes.Repeat([]byte{0xff}, 16)
	for _, c := range []struct {
		name string
		fee  *ordov1.FeeEstimate
		want string
	}{
		{"nothing", &ordov1.FeeEstimate{}, "0"},
		{"a tip", &ordov1.FeeEstimate{Gas: &ordov1.Gas{L1Gas: 2, L1DataGas: 128, L2Gas: 1_000_000}, L1GasPrice: u128(1e9), L1DataGasPrice: u128(7),
			L2GasPrice: u128(3), OverallFee: u128(1e18)}, "2003000896"},
		{"nothing but a tip", &ordov1.FeeEstimate{Gas: &ordov1.Gas{L2Gas: 5}, L2GasPrice: u128(0), OverallFee: u128(50)}, "0"},
		{"beyond 64 bits", &ordov1.FeeEstimate{Gas: &ordov1.Gas{L2Gas: 1 << 40}, L2GasPrice: u128(1 << 60)}, "1267650600228229401496703205376"},
		{"beyond 128 bits", &ordov1.FeeEstimate{Gas: &ordov1.Gas{L2Gas: 1<<64 - 1}, L2GasPrice: most}, "340282366920938463463374607431768211455"},
	} {
		if got := new(big.Int).SetBytes(overallFee(c.fee)).String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
