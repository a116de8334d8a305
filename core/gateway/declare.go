package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// declared compiles the class of a DECLARE and compares the hash that the account signed. A class takes a processor for
// seconds, and the signature covers both hashes: so nonce, balance and signature are checked before it is compiled.
func (g *Gateway) declared(ctx context.Context, b *Broadcast) (*ordov1.Class, error) {
	tx := b.Transaction
	if g.storage != nil {
		var state *ordov1.StateResponse
		err := g.reading.Ask(ctx, func(ctx context.Context) (err error) {
			state, err = g.storage.State(ctx, &ordov1.StateRequest{CompiledClassHashes: tx.ClassHash})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("declare: look up the class: %w", err)
		}
		if len(bytes.Trim(state.CompiledClassHashes, "\x00")) > 0 {
			return nil, reject(ordov1.RejectionCode_CLASS_ALREADY_DECLARED, "")
		}
	}
	class, refused := g.compile.remembered(tx.ClassHash)
	if refused != nil {
		return nil, refused
	}
	if compiled := g.compile.compiledTo(tx.ClassHash); len(compiled) > 0 && !bytes.Equal(compiled, tx.CompiledClassHash) {
		return nil, mismatch(tx, compiled)
	}
	if class == nil {
		if _, err := g.accepted(ctx, tx, nil); err != nil {
			return nil, err
		}
		var err error
		if class, err = g.compile.compile(ctx, b.Class, lane{proven: true, of: string(tx.Sender)}); err != nil {
			return nil, err
		}
	}
	if !bytes.Equal(class.CompiledClassHash, tx.CompiledClassHash) {
		return nil, mismatch(tx, class.CompiledClassHash)
	}
	return class, nil
}

func mismatch(tx *ordov1.Transaction, compiled []byte) error {
	return reject(ordov1.RejectionCode_COMPILED_CLASS_HASH_MISMATCH, "signed %s, compiled to %s: since starknet 0.14.1 the hash is over blake2s",
		felt.Reduce(tx.CompiledClassHash), felt.Reduce(compiled))
}

type clientKey struct{}

// FromClient names the place that a client calls from. Estimates of declarations take turns by it: what they claim to be the
// sender is not checked.
func FromClient(ctx context.Context, place string) context.Context {
	return context.WithValue(ctx, clientKey{}, place)
}

// Read decodes a transaction for an estimate or a simulation, with its class compiled. Only its shape and its size are
// checked.
func (g *Gateway) Read(ctx context.Context, raw json.RawMessage) (*ordov1.Transaction, *ordov1.Class, error) {
	b, err := read(raw)
	if err != nil {
		return nil, nil, err
	}
	if err := g.limits.checkSize(b); err != nil {
		return nil, nil, err
	}
	if err := b.hash(g.chainID); err != nil {
		return nil, nil, err
	}
	if b.Class == nil {
		return b.Transaction, nil, nil
	}
	place, _ := ctx.Value(clientKey{}).(string)
	class, err := g.compile.compile(ctx, b.Class, lane{of: place})
	return b.Transaction, class, err
}
