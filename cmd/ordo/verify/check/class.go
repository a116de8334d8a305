package check

import (
	"slices"

	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// class checks a class hash against the file's name, or else against the declarations in the run.
func (r *run) class(f *File, got felt.Felt, err error) {
	const name = "class hash"
	want, named := hashInName(f.Name)
	switch {
	case err != nil:
		f.add(Item{Name: name, Verdict: Unchecked, Note: err.Error()})
	case named:
		f.felts(name, &want, &got).Note = "expected: the file's name"
	case r.declared[got]:
		f.felts(name, &got, &got).Note = "declared among the files"
	default:
		f.add(Item{Name: name, Computed: got.Hex(), Verdict: Unchecked, Note: "name the file by its class hash, or add the block that declares it"})
	}
}

// knownCompiled holds compiled class hashes of classes on public networks whose compiled form circulates as test data, so
// that the file alone can be checked.
func knownCompiled(class felt.Felt) (felt.Felt, bool) {
	known := map[string]string{
		// ERC-20 of the first Cairo 1 releases, integration network
		"0x6d8ede036bb4720e6f348643221d8672bf4f0895622c32c11e57460b3b7dffc": "0x18f95714044fd5408d3bf812bcd249ddec098ab3cd201b7916170cfbfa59e05",
		// migrated to the Blake2s form, sepolia integration
		"0x941a2dc3ab607819fdc929bea95831a2e0c1aab2f2f34b3a23c55cebc8a040": "0x6c1f99f23865abe822bd9690f8d6cd181d43b1ff5535842aa973363aa7c7bb3",
	}
	h, ok := known[class.Hex()]
	if !ok {
		return felt.Felt{}, false
	}
	return felt.MustHex(h), true
}

// compiledClass checks a compiled class against what its class, which names the file, was declared or migrated with.
func (r *run) compiledClass(f *File, c *starknet.CompiledClass) {
	const name = "compiled class hash"
	v1, err := c.HashV1()
	var v2 felt.Felt
	if err == nil {
		v2, err = c.HashV2()
	}
	if err != nil {
		f.add(Item{Name: name, Verdict: Unchecked, Note: err.Error()})
		return
	}
	class, named := hashInName(f.Name)
	want := r.compiled[class]
	from := "expected: declared among the files"
	if h, ok := r.options.Compiled[class]; ok {
		want, from = []felt.Felt{h}, "expected: given with --compiled"
	} else if h, ok := knownCompiled(class); ok && len(want) == 0 {
		want, from = []felt.Felt{h}, "expected: known of this class"
	}
	if !named || len(want) == 0 {
		f.add(Item{Name: name + " (Poseidon)", Computed: v1.Hex(), Verdict: Unchecked, Note: "give --compiled CLASS=HASH and name the file by its class hash, or add the block that declares it"})
		f.add(Item{Name: name + " (Blake2s)", Computed: v2.Hex(), Verdict: Unchecked})
		return
	}
	switch {
	case slices.Contains(want, v2):
		f.felts(name+" (Blake2s)", &v2, &v2).Note = from
	case slices.Contains(want, v1):
		f.felts(name+" (Poseidon)", &v1, &v1).Note = from
	default:
		f.felts(name+" (Poseidon)", &want[0], &v1).Note = from + "; neither form gives it"
		f.add(Item{Name: name + " (Blake2s)", Expected: want[0].Hex(), Computed: v2.Hex(), Verdict: Mismatch})
	}
}
