package gateway

import (
	"encoding/json"
	"strconv"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// SierraClass is a class that a client declares.
type SierraClass struct {
	Hash       []byte // nil until hash
	Definition []byte // CONTRACT_CLASS, written anew: only the known fields, felts in canonical form
	Felts      int    // length of the program

	read *starknet.SierraClass // until it is hashed
}

// DecodeClass reads a CONTRACT_CLASS and computes its hash.
func DecodeClass(raw json.RawMessage) (*SierraClass, error) {
	c, err := readClass(raw)
	if err != nil {
		return nil, err
	}
	return c, c.hash()
}

// hash computes the class hash, which costs more than all the rest of reading a class.
func (c *SierraClass) hash() error {
	if c.Hash != nil {
		return nil
	}
	hash, err := c.read.Hash()
	if err != nil {
		return jsonin.In("contract_class_version", err)
	}
	c.Hash, c.read = hash.Append(nil), nil
	return nil
}

// readClass is DecodeClass without the hash.
func readClass(raw json.RawMessage) (*SierraClass, error) {
	o, err := jsonin.ParseObject(raw)
	if err != nil {
		return nil, err
	}
	program, err := felt.Unpack(o.Felts("sierra_program"))
	if err != nil {
		return nil, jsonin.In("sierra_program", err)
	}
	c := starknet.SierraClass{Program: program, Version: o.String("contract_class_version")}
	entries := o.Object("entry_points_by_type")
	c.Constructor = entryPoints(entries, "CONSTRUCTOR")
	c.External = entryPoints(entries, "EXTERNAL")
	c.L1Handler = entryPoints(entries, "L1_HANDLER")
	o.Fail("entry_points_by_type", entries.Done())
	hasABI := o.Has("abi")
	if hasABI {
		c.ABI = o.String("abi")
	}
	o.Has("sierra_program_debug_info") // written by compilers, no part of the class: dropped
	if err := o.Done(); err != nil {
		return nil, err
	}
	definition, err := writeClass(&c, hasABI)
	if err != nil {
		return nil, err
	}
	return &SierraClass{Definition: definition, Felts: len(c.Program), read: &c}, nil
}

// entryPoints reads one list; selectors must rise, which the protocol asks for and which makes them unique.
func entryPoints(o *jsonin.Object, name string) []starknet.SierraEntryPoint {
	items := o.List(name)
	out := make([]starknet.SierraEntryPoint, 0, len(items))
	for i, item := range items {
		e, err := entryPoint(item)
		if err == nil && i > 0 && out[i-1].Selector.Cmp(e.Selector) >= 0 {
			err = jsonin.In("selector", jsonin.Errorf("not above the one before: entry points must be sorted and unique"))
		}
		if err != nil {
			o.Fail(name, jsonin.At(i, err))
			return nil
		}
		out = append(out, e)
	}
	return out
}

func entryPoint(raw json.RawMessage) (e starknet.SierraEntryPoint, err error) {
	o, err := jsonin.ParseObject(raw)
	if err != nil {
		return e, err
	}
	selector, function := o.Felt("selector"), o.Number("function_idx")
	if err := o.Done(); err != nil {
		return e, err
	}
	e.Selector, err = felt.FromBytes(selector)
	e.Function = function
	return e, err
}

func writeClass(c *starknet.SierraClass, abi bool) ([]byte, error) {
	out := make([]byte, 0, 40*len(c.Program)+len(c.ABI)+1024)
	out = append(out, `{"sierra_program":[`...)
	for i, f := range c.Program {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendQuoted(out, f)
	}
	version, err := json.Marshal(c.Version)
	if err != nil {
		return nil, err
	}
	out = append(append(append(out, `],"contract_class_version":`...), version...), `,"entry_points_by_type":{`...)
	out = append(writeEntryPoints(out, "CONSTRUCTOR", c.Constructor), ',')
	out = append(writeEntryPoints(out, "EXTERNAL", c.External), ',')
	out = append(writeEntryPoints(out, "L1_HANDLER", c.L1Handler), '}')
	if abi {
		text, err := json.Marshal(c.ABI)
		if err != nil {
			return nil, err
		}
		out = append(append(out, `,"abi":`...), text...)
	}
	return append(out, '}'), nil
}

func writeEntryPoints(out []byte, name string, list []starknet.SierraEntryPoint) []byte {
	out = append(append(append(out, '"'), name...), `":[`...)
	for i, e := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendQuoted(append(out, `{"selector":`...), e.Selector)
		out = strconv.AppendUint(append(out, `,"function_idx":`...), e.Function, 10)
		out = append(out, '}')
	}
	return append(out, ']')
}

func appendQuoted(out []byte, f felt.Felt) []byte {
	out = append(out, '"')
	out = append(out, f.Hex()...)
	return append(out, '"')
}
