package driver

import (
	"bytes"
	"strings"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func TestAClosedDiffIsChecked(t *testing.T) {
	felt := func(first byte) []byte { return append([]byte{first}, make([]byte, 31)...) }
	pair := func(first byte) []byte { return append(felt(first), felt(0)...) }
	for want, c := range map[string]*ordov1.BuildResponse_Closed{
		"": {StateDiff: &ordov1.StateDiff{Declared: pair(1), DeprecatedDeclared: felt(2), Nonces: pair(7), Deployed: pair(7),
			Storage: []*ordov1.ContractStorage{{Address: felt(7), Entries: bytes.Repeat(pair(7), 2)}}},
			Classes: []*ordov1.Class{{Hash: felt(1)}, {Hash: felt(2)}}},
		"class 0 () is not among those": {Classes: []*ordov1.Class{{}}},
		"class 0 (03":                   {StateDiff: &ordov1.StateDiff{Declared: pair(1)}, Classes: []*ordov1.Class{{Hash: felt(3)}}},
		"state diff: address 08":        {StateDiff: &ordov1.StateDiff{Storage: []*ordov1.ContractStorage{{Address: felt(8)}}}},
		"state diff: storage key ff":    {StateDiff: &ordov1.StateDiff{Storage: []*ordov1.ContractStorage{{Address: felt(1), Entries: pair(0xff)}}}},
		"state diff: address 09":        {StateDiff: &ordov1.StateDiff{Nonces: append(pair(1), pair(9)...)}},
		"state diff: address 0a":        {StateDiff: &ordov1.StateDiff{Deployed: pair(10)}},
		"state diff: address 0b":        {StateDiff: &ordov1.StateDiff{Replaced: pair(11)}},
	} {
		err := checkDiff(c)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
