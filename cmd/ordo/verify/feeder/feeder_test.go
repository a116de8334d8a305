package feeder

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/facts"
)

func seeds(t testing.TB) (out [][]byte) {
	t.Helper()
	names, err := filepath.Glob("../check/testdata/*.facts")
	if err != nil || len(names) == 0 {
		t.Fatal("no facts", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files, err := facts.JSON(string(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range files {
			out = append(out, data)
		}
	}
	return out
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data)
	z.Close()
	return b.Bytes()
}

func TestGzippedFile(t *testing.T) {
	for _, data := range seeds(t) {
		plain, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := Decode(gzipped(data))
		if err != nil || packed.Kind != plain.Kind {
			t.Fatal(packed, err)
		}
	}
	if _, err := Decode(gzipped([]byte("{}"))[:15]); err == nil {
		t.Error("a cut gzip file is accepted")
	}
}

func TestGzippedSierra(t *testing.T) {
	const shape = `{"contract_class_version":"0.1.0","abi":"[]","sierra_program":%s,"entry_points_by_type":{"EXTERNAL":[],"L1_HANDLER":[],"CONSTRUCTOR":[{"selector":"0x1","function_idx":3}]}}`
	plain, err := Decode([]byte(fmt.Sprintf(shape, `["0x1","0x2"]`)))
	if err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(gzipped([]byte(`["0x1","0x2"]`)))
	packed, err := Decode([]byte(fmt.Sprintf(shape, `"`+text+`"`)))
	if err != nil {
		t.Fatal(err)
	}
	a, err := plain.Sierra.Hash()
	b, err2 := packed.Sierra.Hash()
	if err != nil || err2 != nil || a != b {
		t.Fatal(a, b, err, err2)
	}
}

// TestErrorsNameTheField spoils one field at a time.
func TestErrorsNameTheField(t *testing.T) {
	const tx = `{"transaction_hash":"0x1","type":"L1_HANDLER","version":"0x0","contract_address":"0x2","entry_point_selector":"0x3","nonce":"0x4","calldata":["0x5"]}`
	if _, err := Decode([]byte(tx)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"contract_address":"0x2",`, ``, "contract_address: missing"},
		{`"contract_address":"0x2"`, `"contract_address":null`, "contract_address: missing"},
		{`"nonce":"0x4"`, `"nonce":4`, "nonce: "},
		{`["0x5"]`, `["0x5",7]`, "calldata: "},
		{`["0x5"]`, `{}`, "calldata: "},
		{`"0x0"`, `"0x9"`, "version: unknown"},
		{`L1_HANDLER`, `L9_HANDLER`, "unknown kind of transaction"},
		{`"0x2"`, `"0x` + strings.Repeat("f", 64) + `"`, "contract_address: "},
	} {
		if _, err := Decode([]byte(strings.Replace(tx, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.new, err, c.want)
		}
	}
}

// TestPythonJSON compares with what json.dumps(x, sort_keys=True) printed for the same value.
func TestPythonJSON(t *testing.T) {
	got, err := hintedText([]byte(`[{"b":1,"a":"é\u0007\"\\/\n😀"}]`),
		[]byte(`{"prime":"0x1","debug_info":{"x":1},"attributes":[],"data":["0x1"],"identifiers":{"m.T":{"cairo_type":"(a: felt, b : felt)"}},"reference_manager":{}}`))
	want := `{"abi": [{"a": "\u00e9\u0007\"\\/\n\ud83d\ude00", "b": 1}], "program": {"data": ["0x1"], "debug_info": null, ` +
		`"identifiers": {"m.T": {"cairo_type": "(a : felt, b : felt)"}}, "prime": "0x1", "reference_manager": {}}}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	// A compiler that names its version needs no spaces, and its attributes lose only empty fields.
	got, err = hintedText([]byte(`[]`), []byte(`{"compiler_version":"0.10.0","attributes":[{"name":"n","accessible_scopes":[],"flow_tracking_data":null,"value":"a: b"}],"identifiers":{"cairo_type":"a: b"}}`))
	want = `{"abi": [], "program": {"attributes": [{"name": "n", "value": "a: b"}], "compiler_version": "0.10.0", "debug_info": null, "identifiers": {"cairo_type": "a: b"}}}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range seeds(f) {
		if len(data) < 10_000 {
			f.Add(data)
		}
	}
	f.Add([]byte(`{"program":{"data":[],"builtins":[]},"entry_points_by_type":{"EXTERNAL":[],"L1_HANDLER":[],"CONSTRUCTOR":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Decode(data)
		if err != nil {
			return
		}
		for _, tx := range file.Transactions {
			tx.Hash(felt.One(), false) // what was accepted can be hashed
		}
		if b := file.Block; b != nil {
			for _, tx := range b.Transactions {
				tx.Hash(felt.One(), false)
			}
		}
	})
}
