package badger

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
)

// TestForeignMark: a mark of another chain is refused as that, not taken for lost blocks; one of an earlier version, which
// names no chain, is taken and bound.
func TestForeignMark(t *testing.T) {
	build := func(seed uint64, blocks int) string {
		dir := t.TempDir()
		s := open(t, dir, testOptions())
		c := newTestChain(seed)
		for range blocks {
			commitAll(t, s, c.grow())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	mine, other := build(1, 3), build(2, 6)
	own := must(os.ReadFile(filepath.Join(mine, markName)))
	for _, blocks := range []string{"more", "fewer"} {
		from, to := other, mine
		if blocks == "fewer" {
			from, to = mine, other
		}
		before := must(os.ReadFile(filepath.Join(to, markName)))
		if err := os.WriteFile(filepath.Join(to, markName), must(os.ReadFile(filepath.Join(from, markName))), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(to, testOptions()); !errors.Is(err, errForeignMark) {
			t.Errorf("a mark of another chain with %s blocks: %v", blocks, err)
		}
		if err := os.WriteFile(filepath.Join(to, markName), before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	last, found := peekMark(mine)
	if !found || last.chain == 0 {
		t.Fatalf("%+v", last)
	}

	// As an earlier version wrote it.
	old := append([]byte(oldMarkMagic), own[markSlot*int(last.seq%2)+8:][:5*8]...)
	old = binary.BigEndian.AppendUint32(old, crc32.ChecksumIEEE(old))
	if err := os.WriteFile(filepath.Join(mine, markName), old, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, found := peekMark(mine); !found || got.blocks != last.blocks || got.chain != 0 || !got.clean {
		t.Fatalf("an old mark reads as %+v, %v", got, found)
	}
	s := open(t, mine, testOptions())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := peekMark(mine); got.chain != last.chain || got.blocks != last.blocks {
		t.Errorf("after a start of this version: %+v, want %+v", got, last)
	}
}
