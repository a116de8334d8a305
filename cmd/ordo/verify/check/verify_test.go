package check

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/cmd/ordo/verify/feeder"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/facts"
)

var (
	vectors = flag.String("vectors", "", "folder of complete files of the feeder gateway, from which testdata/*.facts were made")
	rewrite = flag.Bool("rewrite-facts", false, "write testdata/*.facts anew from the files in -vectors")
	seed    = flag.Uint64("seed", 7, "which digits are flipped, and to what")
)

// sets are files that are verified together.
var sets = map[string][]string{
	"mainnet-genesis": {"juno/mainnet/state_update/0.json", "juno/mainnet/state_update/1.json", "juno/mainnet/state_update/2.json"},
	"sepolia-genesis": {"juno/sepolia/state_update/0.json", "juno/sepolia/state_update/1.json", "juno/sepolia/state_update/2.json", "juno/sepolia/state_update/3.json", "juno/sepolia/state_update/4.json", "juno/sepolia/state_update/5.json"},
	"0.13.2":          {"juno/sepolia-integration/block/35748.json", "juno/sepolia-integration/state_update/35748.json", "juno/sepolia-integration/block/35749.json", "juno/sepolia-integration/state_update/35749.json"},
	"0.13.3":          {"juno/sepolia/block/469719.json", "juno/sepolia/transaction/0x304c78cccf0569159d4b2aff2117f060509b7c6d590ae740d2031d1eb507b10.json"},
	"0.13.4":          {"juno/sepolia-integration/block/64164.json", "juno/sepolia-integration/state_update/64164.json"},
	"0.14.0":          {"juno/sepolia-integration/block/1164607.json", "juno/sepolia-integration/block/1164608.json"},
	"0.13.2-sepolia":  {"madara/sepolia.block_100000.json"},
	"0.13.4-katana":   {"katana/0.13.4/block/sepolia_integration_63881.json", "katana/0.13.4/state_update/sepolia_integration_63881.json"},
	"0.14.0-events":   {"juno/sepolia-integration/block/1164609.json"},
	"0.14.0-update":   {"juno/sepolia-integration/state_update_with_block/1164618.json"},
	"0.14.0-mainnet":  {"katana/0.14.0/block/mainnet_2238855.json"},
	"0.14.2":          {"sequencer/block_post_0_14_2.json"},
	"blake-class":     {"juno/sepolia-integration/compiled_class/0x941a2dc3ab607819fdc929bea95831a2e0c1aab2f2f34b3a23c55cebc8a040.json"},
	"0.14.1":          {"juno/sepolia/state_update_with_block/4072139.json"},
	"transactions":    {"sequencer/transaction_hash.json", "juno/sepolia/transaction/0x30c852c522274765e1d681bc8a84ce7c41118370ef2ba7d18a427ed29f5b155.json", "juno/sepolia/transaction/0x32413f8cee053089d6d7026a72e4108262ca3cfe868dd9159bc1dd160aec975.json", "juno/sepolia/transaction/0x435f87f1eecd5968ba8190744fee1f3ef69f17471f8902ce1e7d444c4e0c8cb.json"},
	"proof-facts":     {"madara/broadcasted_invoke_v3_hash_vectors.json"},
	"class":           {"juno/integration/class/0xc6c634d10e2cc7b1db6b4403b477f05e39cb4900fd5ea0156d1721dbb6c59b.json"},
	"compiled-class":  {"juno/integration/compiled_class/0x6d8ede036bb4720e6f348643221d8672bf4f0895622c32c11e57460b3b7dffc.json"},
}

// oldSets are in testdata only: blocks from before 0.13.2 and one that is not closed.
var oldSets = []string{"pre-0.7", "0.7", "0.13.1", "pending"}

func allSets() []string { return append(slices.Sorted(maps.Keys(sets)), oldSets...) }

// needVectors lets a test run that the facts in testdata stand for: they hold every field of these files that a hash covers.
func needVectors(t testing.TB) {
	if *vectors == "" {
		t.Skip("optional: -vectors names a folder with the complete files, for a change of package feeder or of the facts")
	}
}

func generic(t testing.TB, data []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestRewriteFacts keeps of each complete file what a verifier reads, in the project's own layout.
func TestRewriteFacts(t *testing.T) {
	if !*rewrite {
		t.Skip("only with -rewrite-facts")
	}
	needVectors(t)
	for set, names := range sets {
		var b strings.Builder
		fmt.Fprintf(&b, "# public chain data: the fields that hashes cover, in the layout of package facts\n")
		for _, name := range names {
			data, err := os.ReadFile(filepath.Join(*vectors, name))
			if err != nil {
				t.Fatal(err)
			}
			f, err := feeder.Decode(data)
			if err != nil {
				t.Fatal(name, err)
			}
			b.WriteString(facts.Text(strings.ReplaceAll(strings.TrimPrefix(name, "juno/"), "/", ":"), generic(t, data),
				func(path string) bool { return slices.Contains(f.Unread, path) }))
		}
		if err := os.WriteFile(filepath.Join("testdata", set+".facts"), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// loadFacts returns the files of a set by name.
func loadFacts(t testing.TB, set string) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", set+".facts"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := facts.JSON(string(text))
	if err != nil {
		t.Fatal(set, err)
	}
	return files
}

func check(inputs map[string][]byte) []*File {
	var files []*File
	names := make([]string, 0, len(inputs))
	for name := range inputs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f := &File{Name: strings.ReplaceAll(name, ":", "/")}
		if f.Input, f.Err = feeder.Decode(inputs[name]); f.Err != nil {
			f.Input = nil
		}
		files = append(files, f)
	}
	Run(files, Options{})
	return files
}

func report(t testing.TB, files []*File) {
	t.Helper()
	for _, f := range files {
		if f.Err != nil {
			t.Errorf("%s: %v", f.Name, f.Err)
		}
		for _, i := range f.Items {
			if i.Verdict != OK {
				t.Errorf("%s: %s: %s, expected %s, computed %s (%s)", f.Name, i.Name, i.Verdict, i.Expected, i.Computed, i.Note)
			}
		}
	}
}

func TestFacts(t *testing.T) {
	for _, set := range allSets() {
		t.Run(set, func(t *testing.T) {
			files := check(loadFacts(t, set))
			want := 0
			if set == "0.14.2" {
				want = 1 // the file was published with the version 0.14.4, and a note says so
			}
			if s := Summarize(files); s.ExitCode() != 0 || s.Notes != want || s.OK < len(files) {
				t.Errorf("%+v", s)
				report(t, files)
			}
		})
	}
}

// TestFlippedDigits changes one digit of one field at a time. Every change must be found, save in the fields that the
// result itself names as not covered.
func TestFlippedDigits(t *testing.T) {
	for _, set := range allSets() {
		t.Run(set, func(t *testing.T) { flip(t, loadFacts(t, set), 2) })
	}
}

// TestFlippedDigitsInVectors does the same with the full files.
func TestFlippedDigitsInVectors(t *testing.T) {
	needVectors(t)
	done := make(map[string]bool)
	for set, names := range sets {
		if set == "compiled-class" {
			continue // every flip hashes 5,000 felts; the facts cover it
		}
		inputs := make(map[string][]byte)
		for _, name := range names {
			inputs[strings.TrimPrefix(name, "juno/")] = readVector(t, name)
			done[name] = true
		}
		t.Run(set, func(t *testing.T) { flip(t, inputs, 1) })
	}
	for _, name := range vectorFiles(t) {
		if !done[name] && !strings.Contains(name, "compiled_class") {
			t.Run(name, func(t *testing.T) { flip(t, map[string][]byte{name: readVector(t, name)}, 1) })
		}
	}
}

// TestVectors verifies all complete files in one run.
func TestVectors(t *testing.T) {
	needVectors(t)
	inputs := make(map[string][]byte)
	for _, name := range vectorFiles(t) {
		inputs[name] = readVector(t, name)
	}
	files := check(inputs)
	if s := Summarize(files); s.ExitCode() != 0 || s.Files < 35 || s.Unchecked > 0 || s.Notes != 1 {
		t.Errorf("%+v", s)
		report(t, files)
	}
	for _, f := range files {
		if !f.Verified() {
			t.Errorf("%s is not verified", f.Name)
		}
	}
}

func readVector(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(*vectors, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func vectorFiles(t testing.TB) (names []string) {
	err := filepath.WalkDir(*vectors, func(path string, e os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".json") {
			name, _ := filepath.Rel(*vectors, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestOldForms looks at what is said of old blocks: which form fits, and what it leaves open.
func TestOldForms(t *testing.T) {
	for set, want := range map[string]string{"pre-0.7": "form before 0.7", "0.7": "form of 0.7 to 0.13.1", "0.13.1": "form of 0.7 to 0.13.1"} {
		found, gap := false, false
		for _, f := range check(loadFacts(t, set)) {
			for _, i := range f.Items {
				found = found || i.Name == "block hash" && i.Note == want
			}
			for _, g := range f.Uncovered {
				gap = gap || strings.HasSuffix(g.Field, "actual_fee") && g.Why == "hashed since 0.13.2"
			}
		}
		if !found || !gap {
			t.Errorf("%s: form named %v, fees named as not covered %v", set, found, gap)
		}
	}
	// A wrong printed commitment is a mismatch, but the block hash covers the content, not what is printed.
	for name, data := range loadFacts(t, "0.13.1") {
		doc := generic(t, data)
		doc.(map[string]any)["block"].(map[string]any)["event_commitment"] = "0x1234"
		data, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range check(map[string][]byte{name: data})[0].Items {
			if bad := i.Name == "event commitment"; bad != (i.Verdict == Mismatch) {
				t.Errorf("%+v", i)
			}
		}
	}
}

func TestNothingChecked(t *testing.T) {
	facts := loadFacts(t, "0.13.4")
	for name, data := range facts {
		if !strings.Contains(name, "state_update") {
			continue
		}
		files := check(map[string][]byte{name: data})
		if s := Summarize(files); s.ExitCode() != 2 || s.Unverified != 1 || s.Unchecked != 1 {
			t.Errorf("a state update alone: %+v", s)
		}
	}
}

// TestTwice gives every file twice.
func TestTwice(t *testing.T) {
	for _, set := range []string{"sepolia-genesis", "mainnet-genesis", "0.13.2"} {
		inputs := loadFacts(t, set)
		for name, data := range loadFacts(t, set) {
			inputs["again-"+name] = data
		}
		files := check(inputs)
		if s := Summarize(files); s.ExitCode() != 0 || s.Files != len(inputs) {
			t.Errorf("%s: %+v", set, s)
			report(t, files)
		}
	}
}

func TestUnreadable(t *testing.T) {
	for _, bad := range []string{"", "{", "[]", "{}", "1", "null", `{"a":1}`, `{"transactions":[],"block_hash":"0x1"}`, `{"state_diff":{},"new_root":"0x0"}`,
		`[{"transaction":{}}]`, `{} {}`, `{"a":1,"\u0061":1}`, `{"block_hash":"0x1","block_hash":"0x1","transactions":[]}`, `{"transactions":[],"new_root":"0x1","block_hash":"0x1"}`, `{"sierra_program":"AAAA"}`, `{"bytecode":[],"entry_points_by_type":1}`} {
		files := check(map[string][]byte{"x.json": []byte(bad)})
		if s := Summarize(files); s.ExitCode() != 2 || s.Unreadable != 1 {
			t.Errorf("%q: %+v", bad, s)
		}
	}
}

func TestChainID(t *testing.T) {
	inputs := loadFacts(t, "0.13.3")
	files := check(inputs)
	if files[0].Chain != "SN_SEPOLIA" {
		t.Errorf("found chain %q", files[0].Chain)
	}
	for _, f := range files {
		f.Items = nil
	}
	Run(files, Options{ChainID: "SN_MAIN"})
	if Summarize(files).ExitCode() != 1 {
		t.Error("a wrong chain id is not found")
	}
}

func TestVersionNote(t *testing.T) {
	inputs := loadFacts(t, "0.14.1")
	for name, data := range inputs {
		inputs[name] = bytes.Replace(data, []byte(`"0.14.1"`), []byte(`"0.14.3"`), 1)
	}
	files := check(inputs)
	if s := Summarize(files); s.ExitCode() != 0 || s.Notes != 1 {
		t.Errorf("%+v", s)
	}
	for _, f := range files {
		f.Items = nil
	}
	Run(files, Options{Strict: true})
	if s := Summarize(files); s.ExitCode() != 1 {
		t.Errorf("strict: %+v", s)
	}
}

func TestHashInName(t *testing.T) {
	const hash = "0x1234567890123456789012345678901234567890123456789012345"
	for name, want := range map[string]bool{"a/" + hash + ".json": true, "class_7_" + hash + ".gz": true, hash + "_abi.json": false, "0x12.json": false, "7.json": false} {
		if h, ok := hashInName(name); ok != want || ok && h.Hex() != hash {
			t.Errorf("%s: %s %v", name, h, ok)
		}
	}
}

func TestCompiledClassOption(t *testing.T) {
	inputs := loadFacts(t, "compiled-class")
	for _, data := range inputs {
		for _, c := range []struct {
			class, hash string
			want        int
		}{
			{"0x1234567890123456789012345678901234567890123456789012345", "0x18f95714044fd5408d3bf812bcd249ddec098ab3cd201b7916170cfbfa59e05", 0},
			{"0x1234567890123456789012345678901234567890123456789012345", "0x1", 1},
			{"0x1", "0x1", 2}, // not this file's class
		} {
			f := &File{Name: "0x1234567890123456789012345678901234567890123456789012345.json"}
			f.Input, f.Err = feeder.Decode(data)
			Run([]*File{f}, Options{Compiled: map[felt.Felt]felt.Felt{felt.MustHex(c.class): felt.MustHex(c.hash)}})
			if got := Summarize([]*File{f}).ExitCode(); got != c.want {
				t.Errorf("%v: exit %d", c, got)
			}
		}
	}
}
