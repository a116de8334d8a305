package starknet

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a protocol version: "0.13.2.1" is {0, 13, 2, 1}.
type Version [4]uint8

// Versions at which a rule changed.
var (
	V0_11_1 = Version{0, 11, 1} // all signatures are in the transaction commitment
	V0_13_2 = Version{0, 13, 2} // block hash over Poseidon commitments
	V0_13_4 = Version{0, 13, 4} // gas prices hashed apart; empty signatures hashed as nothing; three resource bounds
	V0_14_0 = Version{0, 14, 0} // state root always combines both tries
	V0_14_1 = Version{0, 14, 1} // compiled class hash is Blake2s
)

// LatestVersion is the newest protocol version that is known here; new blocks carry it.
const LatestVersion = "0.14.4"

// ParseVersion reads two to four numbers with dots between.
func ParseVersion(s string) (Version, error) {
	var v Version
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > len(v) {
		return v, fmt.Errorf("starknet version %.40q: want numbers with dots, such as 0.14.1", s)
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil || (len(p) > 1 && p[0] == '0') {
			return Version{}, fmt.Errorf("starknet version %.40q: want numbers with dots, such as 0.14.1", s)
		}
		v[i] = uint8(n)
	}
	return v, nil
}

// Before orders versions.
func (v Version) Before(w Version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

// String omits a fourth number that is 0.
func (v Version) String() string {
	s := fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
	if v[3] != 0 {
		s += fmt.Sprintf(".%d", v[3])
	}
	return s
}
