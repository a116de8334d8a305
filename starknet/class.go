package starknet

import (
	"fmt"

	"github.com/ordo-sequencer/ordo/starknet/blake"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// SierraClass is a class as it is declared.
type SierraClass struct {
	Version                          string // contract class version, "0.1.0"
	Program                          []felt.Felt
	External, L1Handler, Constructor []SierraEntryPoint
	ABI                              string // hashed byte for byte
}

// SierraEntryPoint names a function of the program.
type SierraEntryPoint struct {
	Selector felt.Felt
	Function uint64
}

// Hash is the class hash.
func (c *SierraClass) Hash() (felt.Felt, error) {
	version, err := felt.FromShortString("CONTRACT_CLASS_V" + c.Version)
	if err != nil {
		return felt.Felt{}, fmt.Errorf("class hash: contract class version: %w", err)
	}
	entries := func(list []SierraEntryPoint) felt.Felt {
		var s poseidon.Sponge
		for _, e := range list {
			s.Write(e.Selector, num(e.Function))
		}
		return s.Sum()
	}
	h := poseidonMany(version, entries(c.External), entries(c.L1Handler), entries(c.Constructor), keccak.Sum([]byte(c.ABI)),
		poseidonMany(c.Program...))
	if h.Cmp(addressBound) >= 0 {
		h = h.Sub(addressBound)
	}
	return h, nil
}

// CompiledClass is what a Sierra class compiles to; hints are not hashed.
type CompiledClass struct {
	Bytecode                         []felt.Felt
	Segments                         *Segment // nil: the bytecode is hashed whole
	External, L1Handler, Constructor []CompiledEntryPoint
}

// CompiledEntryPoint is an offset into the bytecode.
type CompiledEntryPoint struct {
	Selector felt.Felt
	Offset   uint64
	Builtins []string
}

// Segment is a stretch of bytecode, or a row of them: a leaf has Length, a node has Parts.
type Segment struct {
	Length uint64
	Parts  []Segment
}

// HashV1 is the compiled class hash over Poseidon, in use before 0.14.1.
func (c *CompiledClass) HashV1() (felt.Felt, error) { return c.hash(poseidon.HashMany) }

// HashV2 is the compiled class hash over Blake2s, in use since 0.14.1.
func (c *CompiledClass) HashV2() (felt.Felt, error) { return c.hash(blake.HashMany) }

func (c *CompiledClass) hash(x func(...felt.Felt) felt.Felt) (felt.Felt, error) {
	list := []felt.Felt{text("COMPILED_CLASS_V1")}
	for _, entries := range [][]CompiledEntryPoint{c.External, c.L1Handler, c.Constructor} {
		flat := make([]felt.Felt, 0, 3*len(entries))
		for _, e := range entries {
			builtins := make([]felt.Felt, len(e.Builtins))
			for i, name := range e.Builtins {
				f, err := felt.FromShortString(name)
				if err != nil {
					return felt.Felt{}, fmt.Errorf("compiled class hash: builtin: %w", err)
				}
				builtins[i] = f
			}
			flat = append(flat, e.Selector, num(e.Offset), x(builtins...))
		}
		list = append(list, x(flat...))
	}
	if c.Segments == nil {
		return x(append(list, x(c.Bytecode...))...), nil
	}
	code, rest, _, err := c.Segments.hash(c.Bytecode, x, 0)
	if err != nil {
		return felt.Felt{}, fmt.Errorf("compiled class hash: %w", err)
	}
	if len(rest) > 0 {
		return felt.Felt{}, fmt.Errorf("compiled class hash: segments leave %d felts of the bytecode uncovered", len(rest))
	}
	return x(append(list, code)...), nil
}

// hash returns the segment's hash, the bytecode behind it, and how much it covers.
func (s *Segment) hash(code []felt.Felt, x func(...felt.Felt) felt.Felt, depth int) (h felt.Felt, rest []felt.Felt, covered uint64, err error) {
	if depth > 100 {
		return h, nil, 0, fmt.Errorf("segments nested deeper than 100")
	}
	if s.Parts == nil {
		if s.Length > uint64(len(code)) {
			return h, nil, 0, fmt.Errorf("a segment of %d felts at the last %d of the bytecode", s.Length, len(code))
		}
		return x(code[:s.Length]...), code[s.Length:], s.Length, nil
	}
	list := make([]felt.Felt, 0, 2*len(s.Parts))
	for i := range s.Parts {
		part, after, n, err := s.Parts[i].hash(code, x, depth+1)
		if err != nil {
			return h, nil, 0, err
		}
		list = append(list, num(n), part)
		code, covered = after, covered+n
	}
	return x(list...).Add(felt.One()), code, covered, nil
}
