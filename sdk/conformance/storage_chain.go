package conformance

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

//go:embed storage_chain.json
var storageChainJSON []byte

// storageBlock is a block with what must come out of it.
type storageBlock struct {
	commit     *ordov1.CommitRequest
	root, hash []byte
}

func (b *storageBlock) num() uint64 { return b.commit.GetHeader().GetContext().GetNumber() }

// storageChain is the chain of the tests, and a block that could have come in place of the last.
type storageChain struct {
	blocks []*storageBlock
	other  *storageBlock
}

func loadStorageChain(t *testing.T) *storageChain {
	t.Helper()
	type block struct {
		Commit json.RawMessage `json:"commit"`
		Root   string          `json:"root"`
		Hash   string          `json:"hash"`
	}
	var file struct {
		Blocks []block `json:"blocks"`
		Other  block   `json:"other"`
	}
	if err := json.Unmarshal(storageChainJSON, &file); err != nil {
		t.Fatal(err)
	}
	load := func(b block) *storageBlock {
		out := &storageBlock{commit: &ordov1.CommitRequest{}}
		if err := protojson.Unmarshal(b.Commit, out.commit); err != nil {
			t.Fatal(err)
		}
		var errs [2]error
		out.root, errs[0] = hex.DecodeString(strings.TrimPrefix(b.Root, "0x"))
		out.hash, errs[1] = hex.DecodeString(strings.TrimPrefix(b.Hash, "0x"))
		if errs != [2]error{} {
			t.Fatal(errs)
		}
		return out
	}
	c := &storageChain{other: load(file.Other)}
	for _, b := range file.Blocks {
		c.blocks = append(c.blocks, load(b))
	}
	return c
}

// storageModel is the flat state after some blocks: what every read is compared with.
type storageModel struct {
	storage, nonces, classes, compiled map[string][]byte // storage is keyed by address and key
	deprecated                         map[string]bool
	declaredAt                         map[string]uint64
}

// modelAfter applies the diffs of blocks.
func modelAfter(blocks []*storageBlock) *storageModel {
	m := &storageModel{storage: map[string][]byte{}, nonces: map[string][]byte{}, classes: map[string][]byte{}, compiled: map[string][]byte{},
		deprecated: map[string]bool{}, declaredAt: map[string]uint64{}}
	for _, b := range blocks {
		d := b.commit.GetStateDiff()
		for _, c := range d.GetStorage() {
			setPairs(m.storage, string(c.Address), c.Entries)
		}
		setPairs(m.classes, "", d.GetDeployed())
		setPairs(m.classes, "", d.GetReplaced())
		setPairs(m.nonces, "", d.GetNonces())
		setPairs(m.compiled, "", d.GetDeclared())
		setPairs(m.compiled, "", d.GetMigrated())
		for class := range slices.Chunk(d.GetDeprecatedDeclared(), 32) {
			m.deprecated[string(class)] = true
		}
		for _, c := range b.commit.GetClasses() {
			m.declaredAt[string(c.Hash)] = b.num()
		}
	}
	return m
}

// setPairs keeps zeros: a key that was removed is still worth asking for.
func setPairs(m map[string][]byte, prefix string, packed []byte) {
	for pair := range slices.Chunk(packed, 64) {
		m[prefix+string(pair[:32])] = pair[32:]
	}
}

// ask builds a request for every key that `keys` knows, and the answer that m gives.
func (m *storageModel) ask(keys *storageModel) (*ordov1.StateRequest, *ordov1.StateResponse) {
	r, want := &ordov1.StateRequest{}, &ordov1.StateResponse{}
	list := func(of, known map[string][]byte, size int, ask, answer *[]byte) {
		never := strings.Repeat("\x07", size) // a key that was never written
		for _, k := range append(slices.Sorted(maps.Keys(known)), never) {
			*ask = append(*ask, k...)
			v := of[k]
			if v == nil {
				v = make([]byte, 32)
			}
			*answer = append(*answer, v...)
		}
	}
	list(m.storage, keys.storage, 64, &r.Storage, &want.Storage)
	list(m.nonces, keys.nonces, 32, &r.Nonces, &want.Nonces)
	list(m.classes, keys.classes, 32, &r.ClassHashes, &want.ClassHashes)
	list(m.compiled, keys.compiled, 32, &r.CompiledClassHashes, &want.CompiledClassHashes)
	return r, want
}

// flat is the whole state as text, zeros left out.
func (m *storageModel) flat() string {
	var lines []string
	for name, list := range map[string]map[string][]byte{"storage": m.storage, "nonce": m.nonces, "class": m.classes, "compiled": m.compiled} {
		for k, v := range list {
			if !bytes.Equal(v, make([]byte, 32)) {
				lines = append(lines, fmt.Sprintf("%s %x = %x", name, k, v))
			}
		}
	}
	for k := range m.deprecated {
		lines = append(lines, fmt.Sprintf("deprecated %x", k))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
