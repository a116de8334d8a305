package gateway

import (
	"errors"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// ErrUnsupportedVersion rejects a transaction that is not of version 3.
var ErrUnsupportedVersion = errors.New("transaction version is not supported: send version 0x3")

// ErrQueryVersion rejects a transaction that was signed for an estimate and must never be in a block.
var ErrQueryVersion = fmt.Errorf("query version is for estimates and simulations only: %w", ErrUnsupportedVersion)

// Rejection is a transaction that cannot enter, and why. It is an outcome, not a fault of the node.
type Rejection struct {
	Code   ordov1.RejectionCode
	Reason string
}

func (r *Rejection) Error() string {
	if r.Reason == "" {
		return r.Code.String()
	}
	return r.Code.String() + ": " + r.Reason
}

func reject(code ordov1.RejectionCode, format string, args ...any) error {
	return &Rejection{Code: code, Reason: fmt.Sprintf(format, args...)}
}
