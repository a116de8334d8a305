package files

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	lib "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// database makes a small one with Badger, and returns a copy as a killed process would leave it, and the folder closed.
func database(t testing.TB) (killed, closed string) {
	t.Helper()
	closed, killed = t.TempDir(), t.TempDir()
	o := lib.DefaultOptions(closed).WithMemTableSize(8 << 20).WithNumMemtables(2).WithNumCompactors(2).WithCompression(options.None).
		WithBlockCacheSize(0).WithValueLogFileSize(1 << 20).WithLogger(nil)
	db, err := lib.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 60 {
		txn := db.NewTransaction(true)
		for range 5 {
			key, value := make([]byte, 20), make([]byte, 200)
			for i := range key {
				key[i] = byte(r.Uint32())
			}
			if err := txn.Set(key, value[:1+r.IntN(199)]); err != nil {
				t.Fatal(err)
			}
		}
		if err := txn.Commit(); err != nil {
			t.Fatal(err)
		}
		if n == 40 {
			for _, name := range must(filepath.Glob(filepath.Join(closed, "*"))) {
				data := must(os.ReadFile(name))
				if err := os.WriteFile(filepath.Join(killed, filepath.Base(name)), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return killed, closed
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestLook(t *testing.T) {
	killed, closed := database(t)
	s := must(Look(killed, 1<<40, Watch{}))
	if s.Damaged() != nil || len(s.Logs) != 1 || s.Logs[0].Transactions != 41 || s.Logs[0].Torn() || len(s.Tables) != 0 {
		t.Fatalf("%+v %+v", s, s.Logs)
	}
	s = must(Look(closed, 1<<40, Watch{}))
	if s.Damaged() != nil || len(s.Logs) != 0 || len(s.Tables) != 1 || s.Tables[0].Keys != 300 {
		t.Fatalf("%+v", s)
	}
	if s = must(Look(closed, 0, Watch{})); s.Damaged() != nil {
		t.Fatal(s.Damaged())
	}
	if s = must(Look(t.TempDir(), 0, Watch{})); !s.New {
		t.Fatalf("%+v", s)
	}
	if err := os.Remove(filepath.Join(closed, ManifestName)); err != nil {
		t.Fatal(err)
	}
	if s = must(Look(closed, 0, Watch{})); s.Damaged() == nil {
		t.Fatal("a database without a manifest is fine")
	}
}

// Every flipped bit of a table and of a manifest is found.
func TestEveryByte(t *testing.T) {
	_, closed := database(t)
	s := must(Look(closed, 1<<40, Watch{}))
	data := must(os.ReadFile(filepath.Join(closed, s.Tables[0].Name)))
	whole, keys := tableContent(t, data)
	harmless := 0
	for at := 0; at < len(data); at++ {
		if at < len(data)-3000 && at%7 != 0 && testing.Short() {
			continue
		}
		data[at] ^= 1 << (at % 8)
		if _, err := CheckTable(bytes.NewReader(data), int64(len(data))); err == nil {
			// Protobuf says some numbers in more than one way.
			if now, n := tableContent(t, data); !bytes.Equal(now, whole) || n != keys {
				t.Fatalf("byte %d of %d: the damage is not found", at, len(data))
			}
			harmless++
		}
		data[at] ^= 1 << (at % 8)
	}
	t.Logf("%d bytes, %d without meaning", len(data), harmless)
	manifest := must(os.ReadFile(filepath.Join(closed, ManifestName)))
	for at := range manifest {
		for bit := range 8 {
			manifest[at] ^= 1 << bit
			if m, err := ReadManifest(manifest); err == nil && m.End == m.Size {
				t.Fatalf("byte %d of %d: the damage is not found", at, len(manifest))
			}
			manifest[at] ^= 1 << bit
		}
	}
}

// tableContent is what the blocks of a table hold.
func tableContent(t *testing.T, data []byte) ([]byte, uint32) {
	blocks, keys, err := tableIndex(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, b := range blocks {
		body := data[b.offset : b.offset+b.length]
		out = append(out, body[:len(body)-16]...)
	}
	return out, keys
}

// However a log is damaged, what is read is a beginning of what was written.
func TestLogPrefix(t *testing.T) {
	killed, _ := database(t)
	data := must(os.ReadFile(filepath.Join(killed, must(filepath.Glob(filepath.Join(killed, "*.mem")))[0][len(killed)+1:])))
	var whole [][]byte
	data = data[:len(trimZeros(data))+1000]
	full := ReadLog("x", data, func(k, v []byte, _ bool) { whole = append(whole, append(bytes.Clone(k), v...)) })
	r := rand.New(rand.NewPCG(4, 4))
	behind := 0
	for range 2000 {
		at, old := 20+r.IntN(int(full.End)-20), byte(0)
		old, data[at] = data[at], data[at]^(1<<r.IntN(8))
		n := 0
		l := ReadLog("x", data, func(k, v []byte, _ bool) {
			if n >= len(whole) || !bytes.Equal(append(bytes.Clone(k), v...), whole[n]) {
				t.Fatalf("flip at %d: entry %d is not what was written", at, n)
			}
			n++
		})
		if l.End > int64(at) || !l.Torn() {
			t.Fatalf("flip at %d: %+v", at, l)
		}
		if l.Behind > 0 {
			behind++
		}
		data[at] = old
	}
	if behind < 1800 {
		t.Errorf("of 2000 breaks only %d are seen to have transactions behind them", behind)
	}
}

func FuzzLog(f *testing.F) {
	killed, _ := database(f)
	data := must(os.ReadFile(must(filepath.Glob(filepath.Join(killed, "*.mem")))[0]))
	f.Add(data[:700])
	f.Add(data[:20])
	f.Fuzz(func(t *testing.T, data []byte) {
		l := ReadLog("x", data, func(k, v []byte, _ bool) { _ = len(k) + len(v) })
		if l.End > l.Size || l.Used < l.End {
			t.Fatalf("%+v", l)
		}
		if len(data) >= logHead {
			if again := ReadLog("x", data[:l.End], nil); again.End != l.End || again.Transactions != l.Transactions || again.Torn() {
				t.Fatalf("cut at its end it is another: %+v, %+v", l, again)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add(must(encodeManifest(map[uint64]int{1: 0, 2: 6})))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ReadManifest(data)
		if err != nil {
			return
		}
		again, err := ReadManifest(must(encodeManifest(m.Tables)))
		if err != nil || len(again.Tables) != len(m.Tables) || m.End > m.Size {
			t.Fatalf("%+v, %+v, %v", m, again, err)
		}
	})
}

func FuzzTable(f *testing.F) {
	_, closed := database(f)
	s := must(Look(closed, 1<<40, Watch{}))
	data := must(os.ReadFile(filepath.Join(closed, s.Tables[0].Name)))
	f.Add(data[len(data)-900:])
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = CheckTable(bytes.NewReader(data), int64(len(data)))
	})
}
