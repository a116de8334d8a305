package feeder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDecodeVectors(t *testing.T) {
	root := "../../../../shared/vectors"
	if _, err := os.Stat(root); err != nil {
		t.Skip("shared vectors are not here")
	}
	filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".json") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		t.Logf("%s: %s, not read: %s", path, f.Kind, strings.Join(f.Unread, " "))
		return nil
	})
}
