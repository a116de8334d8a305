package verify

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/cmd/ordo/verify/check"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// rootOfProof is the state root in the header of the block that testdata/proof.json is about.
const rootOfProof = "0x651d11a1cf2835874b27c5a49996ed61ae1a9468d6f480d82b5b8f360af1050"

func readProof(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("testdata/proof.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestProofIsVerified: by position, by name, and without the request; the values that it proves are printed.
func TestProofIsVerified(t *testing.T) {
	out, code := run("--proof", "--state-root", rootOfProof, "testdata/proof.json")
	for _, want := range []string{"contract 0x99 ", "class 0xc5 ", "ok (absent)", "storage 0x99 0x1 ", " 0x65 ", "mismatches: 0", "global_roots.block_hash"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Fatalf("exit %d, no %q in\n%s", code, want, out)
		}
	}
	var file struct{ Params, Result json.RawMessage }
	if err := json.Unmarshal([]byte(readProof(t)), &file); err != nil {
		t.Fatal(err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(file.Params, &list); err != nil {
		t.Fatal(err)
	}
	named, err := json.Marshal(map[string]any{"result": file.Result, "params": map[string]any{"block_id": list[0], "class_hashes": list[1], "contract_addresses": list[2], "contracts_storage_keys": list[3]}})
	if err != nil {
		t.Fatal(err)
	}
	if f := check.Proof("named", named, nil); f.Err != nil || len(f.Items) != 9 || check.Summarize([]*check.File{f}).ExitCode() != 0 {
		t.Errorf("%v %+v", f.Err, f.Items)
	}
	if f := check.Proof("alone", file.Result, nil); f.Err != nil || len(f.Items) != 5 || check.Summarize([]*check.File{f}).ExitCode() != 0 {
		t.Errorf("%v %+v", f.Err, f.Items)
	}
	if out, code := run("--state-root", rootOfProof, "testdata/proof.json"); code != 2 {
		t.Errorf("exit %d\n%s", code, out)
	}
	if out, code := run("--proof", "testdata/verify.txt"); code != 2 || !strings.Contains(out, "unreadable") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// TestCommandFindsAFlippedBit: the command, on a file in which one bit of a node is another, names the node and ends with 1.
func TestCommandFindsAFlippedBit(t *testing.T) {
	text := readProof(t)
	r := rand.New(rand.NewPCG(11, 3))
	digits := regexp.MustCompile(`"(?:left|right|child)": "0x([0-9a-f]{20,})"`).FindAllStringSubmatchIndex(text, -1)
	for range 20 {
		at := digits[r.IntN(len(digits))]
		i := at[2] + 1 + r.IntN(at[3]-at[2]-1) // not the highest digit: the number stays a felt
		digit, err := strconv.ParseUint(text[i:i+1], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "proof.json")
		bad := text[:i] + strconv.FormatUint(digit^(1<<r.IntN(4)), 16) + text[i+1:]
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := run("--proof", "--state-root", rootOfProof, file); code != 1 || !strings.Contains(out, "hashes to") {
			t.Errorf("exit %d for %q changed to %q:\n%s", code, text[at[0]:at[1]], bad[at[0]:at[1]], out)
		}
	}
}

// TestFlippedBitsOfProofs: any digit of any number in the answer, but for the block hash, is found when it is another.
func TestFlippedBitsOfProofs(t *testing.T) {
	root, err := felt.ParseHex(rootOfProof)
	if err != nil {
		t.Fatal(err)
	}
	text := readProof(t)
	from := strings.Index(text, `"result"`)
	tried := 0
	for _, at := range regexp.MustCompile(`": ("0x[0-9a-f]+|[0-9]+)`).FindAllStringSubmatchIndex(text[from:], -1) {
		line := text[:from+at[0]]
		if strings.HasSuffix(line, `"block_hash`) {
			continue
		}
		lo, hi := from+at[2], from+at[3]
		for _, i := range []int{lo, (lo + hi) / 2, hi - 1} {
			if text[i] == '"' || text[i] == 'x' || strings.HasSuffix(text[:i], `"`) {
				i = hi - 1 // the quote, or the 0 of 0x
			}
			other := byte('1')
			if text[i] == '1' {
				other = '2'
			}
			bad := text[:i] + string(other) + text[i+1:]
			tried++
			f := check.Proof("bad", []byte(bad), &root)
			if check.Summarize([]*check.File{f}).ExitCode() == 0 {
				t.Errorf("not found: %q changed to %q", text[max(0, i-40):i+1], bad[max(0, i-40):i+1])
			}
		}
	}
	if tried < 100 {
		t.Errorf("%d changes", tried)
	}
}
