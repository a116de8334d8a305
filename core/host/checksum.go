package host

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

// verifyChecksums compares every named file, with a fresh hash for each launch. It guards against a wrong or half-copied
// file; between the check and the start a file can still be exchanged by a process that may write it.
func verifyChecksums(sums map[string]string) error {
	paths := make([]string, 0, len(sums))
	for path := range sums {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	for _, path := range paths {
		found, err := checksum(path)
		if err != nil {
			return fmt.Errorf("checksum: %w", err)
		}
		if expected := strings.ToLower(strings.TrimSpace(sums[path])); found != expected {
			return fmt.Errorf("checksum of %s: expected sha256 %s, found %s: install the right file or update the checksum",
				path, expected, found)
		}
	}
	return nil
}

func checksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
