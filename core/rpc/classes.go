package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func (s *Server) classMethods() map[string]Method {
	return map[string]Method{
		"starknet_getClass":        {Params: []string{"block_id", "class_hash"}, Call: s.class},
		"starknet_getClassAt":      {Params: []string{"block_id", "contract_address"}, Call: s.classAt},
		"starknet_getCompiledCasm": {Params: []string{"class_hash"}, Call: s.compiledCasm},
	}
}

// classAtBlock returns the class if it is declared at the block; nil if not.
func (s *Server) classAtBlock(ctx context.Context, ref *BlockRef, hash []byte) (*ordov1.Class, error) {
	if ref.tip {
		if class, ok := ref.view.Class(Key(hash)); ok {
			return class, nil
		}
	}
	return s.storedClass(ctx, &ordov1.ClassesRequest{Hashes: hash, Definition: true, AtHeight: true, Height: ref.number})
}

func (s *Server) storedClass(ctx context.Context, q *ordov1.ClassesRequest) (found *ordov1.Class, err error) {
	leave, err := s.reads.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	err = s.storage.Ask(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := s.Storage.Classes(ctx, q)
		if err != nil {
			return err
		}
		if found, err = stream.Recv(); errors.Is(err, io.EOF) {
			found, err = nil, nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read classes: %w", err)
	}
	return found, nil
}

func (s *Server) class(ctx context.Context, p *jsonin.Object) (any, error) {
	hash := p.Felt("class_hash")
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	return s.definition(ctx, ref, hash)
}

func (s *Server) definition(ctx context.Context, ref *BlockRef, hash []byte) (any, error) {
	class, err := s.classAtBlock(ctx, ref, hash)
	if err != nil {
		return nil, err
	}
	if class == nil {
		return nil, errClassNotFound
	}
	return json.RawMessage(class.Definition), nil
}

func (s *Server) classAt(ctx context.Context, p *jsonin.Object) (any, error) {
	class, ref, err := s.classOf(ctx, p)
	if err != nil {
		return nil, err
	}
	return s.definition(ctx, ref, class)
}

func (s *Server) compiledCasm(ctx context.Context, p *jsonin.Object) (any, error) {
	hash := p.Felt("class_hash")
	if err := p.Err(); err != nil {
		return nil, err
	}
	class, ok := s.Chain.Snapshot().Class(Key(hash))
	if !ok {
		var err error
		if class, err = s.storedClass(ctx, &ordov1.ClassesRequest{Hashes: hash, Casm: true}); err != nil {
			return nil, err
		}
	}
	if class == nil || len(class.Casm) == 0 {
		return nil, errClassNotFound // Cairo 0 classes have none
	}
	return casmAnswer(class.Casm)
}

// casmAnswer keeps the fields of the specification; compilers write more, such as hints as Python text.
func casmAnswer(casm []byte) (any, error) {
	var c struct {
		EntryPoints json.RawMessage `json:"entry_points_by_type"`
		Bytecode    json.RawMessage `json:"bytecode"`
		Prime       json.RawMessage `json:"prime"`
		Compiler    json.RawMessage `json:"compiler_version"`
		Hints       json.RawMessage `json:"hints"`
		Segments    json.RawMessage `json:"bytecode_segment_lengths,omitempty"`
	}
	if err := json.Unmarshal(casm, &c); err != nil {
		return nil, fmt.Errorf("storage: compiled class: %w", err)
	}
	c.Hints = positive(c.Hints)
	return c, nil
}

// positive writes negative immediates, which compilers print with a sign and the specification has no form for, as the felts
// that they are.
func positive(hints []byte) []byte {
	const sign = `"-0x`
	at := bytes.Index(hints, []byte(sign))
	if at < 0 {
		return hints
	}
	out := make([]byte, 0, len(hints)+len(hints)/8)
	rest := hints
	for ; at >= 0; at = bytes.Index(rest, []byte(sign)) {
		end := at + len(sign)
		for end < len(rest) && rest[end] != '"' {
			end++
		}
		f, err := felt.ParseHex("0x" + string(rest[at+len(sign):min(end, at+len(sign)+2*felt.Size)]))
		if err != nil || end == len(rest) || end-at-len(sign) > 2*felt.Size {
			return hints // not what a compiler writes: left as it is
		}
		out = append(append(out, rest[:at+1]...), felt.Zero().Sub(f).Hex()...)
		rest = rest[end:]
	}
	return append(out, rest...)
}
