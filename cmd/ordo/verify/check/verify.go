// Package check recomputes every hash that Starknet JSON files contain, and says of each whether it is right.
//
// Files are taken together: a state update is checked against the block that names it, against the updates before it back
// to genesis, a transaction against its block, a compiled class against its declaration - wherever the other is among the
// files. What nothing covers is listed, never passed over.
package check

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ordo-sequencer/ordo/cmd/ordo/verify/feeder"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Verdict is the result of one check.
type Verdict string

const (
	OK        Verdict = "ok"
	Note      Verdict = "ok, see note" // right, but not quite as the file says
	Mismatch  Verdict = "MISMATCH"
	Unchecked Verdict = "not checked"
)

// Item is one check.
type Item struct {
	Name     string  `json:"item"`
	Expected string  `json:"expected"`
	Computed string  `json:"computed"`
	Verdict  Verdict `json:"verdict"`
	Note     string  `json:"note,omitempty"`
}

// File is one input, by name, and what came of it.
type File struct {
	Name      string       `json:"file"`
	Input     *feeder.File `json:"-"`
	Err       error        `json:"-"` // why it could not be read; Input is nil then
	Kind      string       `json:"kind,omitempty"`
	Chain     string       `json:"chain_id,omitempty"`
	Error     string       `json:"error,omitempty"`
	Items     []Item       `json:"items"`
	Uncovered []Gap        `json:"not_covered,omitempty"`
}

// Gap is a field that no check covers: an error there is not found.
type Gap struct {
	Field string `json:"field"` // path without indices: transactions[].nonce
	Why   string `json:"why,omitempty"`
}

// String is such as "status (never hashed)".
func (g Gap) String() string {
	if g.Why == "" {
		return g.Field
	}
	return g.Field + " (" + g.Why + ")"
}

func (f *File) gap(field, why string) { f.Uncovered = append(f.Uncovered, Gap{field, why}) }

// Options of a run.
type Options struct {
	ChainID  string                  // empty: found out from the transaction hashes
	Strict   bool                    // a block that verifies under another version than it prints is a mismatch
	Compiled map[felt.Felt]felt.Felt // compiled class hashes by class hash, beyond what is declared and known
	Progress func(files, of int)     // told before each file; nil: not told
}

// KnownChains are tried in this order when the chain id is not given.
var KnownChains = []string{starknet.MainChain, "SN_SEPOLIA", "SN_INTEGRATION_SEPOLIA", "SN_GOERLI", "SN_GOERLI2"}

// Run checks the files and fills in their results.
func Run(files []*File, o Options) {
	r := &run{options: o, byHash: make(map[felt.Felt]*block), compiled: make(map[felt.Felt][]felt.Felt), declared: make(map[felt.Felt]bool)}
	for _, f := range files {
		r.collect(f)
	}
	for i, f := range files {
		if o.Progress != nil {
			o.Progress(i, len(files))
		}
		if f.Input == nil {
			if f.Err != nil {
				f.Error = f.Err.Error()
			}
			continue
		}
		f.Kind = f.Input.Kind
		for _, field := range f.Input.Unread {
			f.gap(field, "")
		}
		r.file(f)
	}
	r.updateChains()
	for _, u := range r.updates {
		u.finish()
	}
}

// run is what the files say together.
type run struct {
	options  Options
	blocks   []*block
	byHash   map[felt.Felt]*block // by printed hash
	updates  []*update
	compiled map[felt.Felt][]felt.Felt // compiled class hashes that a class was declared or migrated with
	declared map[felt.Felt]bool        // class hashes
}

type block struct {
	*feeder.Block
	file  *File
	chain string // found out, or empty
}

func (r *run) collect(f *File) {
	if f.Input == nil {
		return
	}
	var own *block
	if b := f.Input.Block; b != nil {
		own = &block{Block: b, file: f}
		r.blocks = append(r.blocks, own)
		if !b.Pending {
			r.byHash[b.Hash] = own
		}
		for _, t := range b.Transactions {
			r.declaration(t.Transaction)
		}
	}
	for _, t := range f.Input.Transactions {
		r.declaration(t.Transaction)
	}
	if u := f.Input.Update; u != nil {
		now := &update{StateUpdate: u, file: f, block: own}
		for _, w := range r.updates {
			if own == nil && w.twin == nil && now.same(w) {
				now.twin = w
				break
			}
		}
		r.updates = append(r.updates, now)
		for _, list := range [][]starknet.Pair{u.Diff.Declared, u.Diff.Migrated} {
			for _, p := range list {
				r.declare(p.Key, p.Value)
			}
		}
		for _, c := range u.Diff.DeprecatedDeclared {
			r.declared[c] = true
		}
	}
}

func (r *run) declaration(t starknet.Transaction) {
	switch t := t.(type) {
	case *starknet.DeclareV2:
		r.declare(t.ClassHash, t.CompiledClassHash)
	case *starknet.DeclareV3:
		r.declare(t.ClassHash, t.CompiledClassHash)
	case *starknet.DeclareV1:
		r.declared[t.ClassHash] = true
	}
}

func (r *run) declare(class, compiled felt.Felt) {
	r.declared[class] = true
	r.compiled[class] = append(r.compiled[class], compiled)
}

func (r *run) file(f *File) {
	in := f.Input
	for _, b := range r.blocks {
		if b.file == f {
			r.block(b)
		}
	}
	if len(in.Transactions) > 0 {
		r.loose(f)
	}
	if in.Sierra != nil {
		h, err := in.Sierra.Hash()
		r.class(f, h, err)
	}
	if in.Deprecated != nil {
		h, err := in.Deprecated.Hash()
		r.class(f, h, err)
	}
	if in.Compiled != nil {
		r.compiledClass(f, in.Compiled)
	}
}

// loose checks transactions that are not in a block.
func (r *run) loose(f *File) {
	list := f.Input.Transactions
	f.Chain = r.chain(list)
	for i, h := range hashAll(list, f.Chain) {
		name := list[i].Kind().String()
		if len(list) > 1 {
			name = fmt.Sprintf("transaction %d %s", i, name)
		}
		f.transaction(name, &list[i], h)
	}
	f.signatures(r, list)
	if p := f.Input.Place; p != nil && list[0].Expected != nil {
		if b := r.byHash[p.BlockHash]; b == nil {
			f.gap("block_hash", "the block is not among the files")
			f.gap("transaction_index", "the block is not among the files")
		} else if p.Index >= uint64(len(b.Transactions)) {
			f.add(Item{Name: "index in its block", Expected: fmt.Sprintf("below %d", len(b.Transactions)), Computed: fmt.Sprint(p.Index), Verdict: Mismatch})
		} else {
			f.felts("hash in its block", b.Transactions[p.Index].Expected, list[0].Expected)
		}
	}
	if h, ok := hashInName(f.Name); ok && len(list) == 1 && list[0].Expected != nil {
		f.felts("hash in the file name", &h, list[0].Expected)
	}
}

func (f *File) add(i Item) *Item {
	f.Items = append(f.Items, i)
	return &f.Items[len(f.Items)-1]
}

// felts adds a comparison.
func (f *File) felts(name string, expected, computed *felt.Felt) *Item {
	i := Item{Name: name, Expected: expected.Hex(), Computed: computed.Hex(), Verdict: OK}
	if *expected != *computed {
		i.Verdict = Mismatch
	}
	return f.add(i)
}

func (f *File) count(v Verdict) int {
	n := 0
	for _, i := range f.Items {
		if i.Verdict == v {
			n++
		}
	}
	return n
}

// hashInName reads a hash that is the file's name or its end, as in class_0x123.json.
func hashInName(path string) (felt.Felt, bool) {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	if i := strings.LastIndex(name, "0x"); i > 0 {
		name = name[i:]
	}
	if len(name) < 50 {
		return felt.Felt{}, false // a number, not a hash
	}
	h, err := felt.ParseHex(name)
	return h, err == nil
}

// Summary counts results.
type Summary struct {
	Files      int `json:"files"`
	Unreadable int `json:"unreadable"`
	Unverified int `json:"unverified"` // readable, but nothing in them could be checked
	OK         int `json:"ok"`
	Notes      int `json:"notes"`
	Mismatches int `json:"mismatches"`
	Unchecked  int `json:"not_checked"`
}

// Summarize counts over all files.
func Summarize(files []*File) Summary {
	s := Summary{Files: len(files)}
	for _, f := range files {
		if f.Input == nil {
			s.Unreadable++
			continue
		}
		if !f.Verified() && f.count(Mismatch) == 0 {
			s.Unverified++
		}
		s.OK += f.count(OK)
		s.Notes += f.count(Note)
		s.Mismatches += f.count(Mismatch)
		s.Unchecked += f.count(Unchecked)
	}
	return s
}

// Verified reports whether something was checked and nothing was wrong.
func (f *File) Verified() bool {
	return f.Input != nil && f.count(Mismatch) == 0 && slices.ContainsFunc(f.Items, func(i Item) bool {
		return i.Verdict == OK || i.Verdict == Note
	})
}

// ExitCode is 1 on any mismatch, else 2 when a file could not be read or nothing in it could be checked, else 0.
func (s Summary) ExitCode() int {
	switch {
	case s.Mismatches > 0:
		return 1
	case s.Unreadable > 0 || s.Unverified > 0:
		return 2
	}
	return 0
}
