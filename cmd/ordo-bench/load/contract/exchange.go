// Package contract carries the class that benchmarks declare: a market of two tokens.
package contract

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// exchange.class.gz is made of exchange.cairo by compile/.
//
//go:embed exchange.class.gz
var exchange []byte

// Exchange is the class, with its definition and without its casm.
func Exchange() (*ordov1.Class, error) {
	r, err := gzip.NewReader(bytes.NewReader(exchange))
	if err != nil {
		return nil, fmt.Errorf("exchange.class.gz: %w", err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("exchange.class.gz: %w", err)
	}
	class := new(ordov1.Class)
	if err := proto.Unmarshal(raw, class); err != nil {
		return nil, fmt.Errorf("exchange.class.gz: %w", err)
	}
	return class, nil
}
