package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestStaleRunFoldersAreRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	exists := func(path string) bool { _, err := os.Stat(path); return err == nil }
	dead, held, err := ownDir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead, "chain"), []byte("of a killed node"), 0o600); err != nil {
		t.Fatal(err)
	}
	alive, heldAlive, err := ownDir()
	if err != nil {
		t.Fatal(err)
	}
	defer heldAlive.Close()
	if !exists(dead) {
		t.Fatal("the folder of a running node was removed")
	}
	// Not ours, or not finished yet.
	foreign, young := filepath.Join(os.TempDir(), "ordo-else"), filepath.Join(os.TempDir(), ownPrefix+"1")
	half := filepath.Join(os.TempDir(), ownPrefix+"2") // its remover was killed
	for _, dir := range []string{foreign, young, half} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(foreign, "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	old := time.Now().Add(-2 * unlockedAge)
	if err := os.Chtimes(half, old, old); err != nil {
		t.Fatal(err)
	}

	held.Close() // as the kernel does when the process ends
	_, heldNew, err := ownDir()
	if err != nil {
		t.Fatal(err)
	}
	defer heldNew.Close()
	if exists(dead) {
		t.Error("the folder of a node that has ended is still there")
	}
	if exists(half) {
		t.Error("a folder that was removed by half is still there")
	}
	for _, dir := range []string{alive, foreign, young} {
		if !exists(dir) {
			t.Errorf("%s is gone", dir)
		}
	}
}
