// Package need says what becomes of a test that lacks something it needs: programs that make build makes, clients, tools.
package need

import (
	"os"
	"path/filepath"
	"testing"
)

// Absent ends a test that lacks something which it checks with or against. Elsewhere than on a build server the test is skipped and
// says what to do; where CI is set it fails, so that nothing is green because it did not run.
func Absent(t testing.TB, what, remedy string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s, and CI is set: %s", what, remedy)
	}
	t.Skipf("%s: %s", what, remedy)
}

// Binaries is the folder that make build fills. A test that also needs others than ordo in it names them.
func Binaries(t testing.TB, needed ...string) string {
	t.Helper()
	dir, err := BinariesDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{"ordo"}, needed...) {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			Absent(t, "no "+filepath.Join(dir, name), "run make test, or make build before go test")
		}
	}
	return dir
}

// BinariesDir is where make build puts what it builds: ORDO_E2E_BIN, or bin in the folder of the module.
func BinariesDir() (string, error) {
	if dir := os.Getenv("ORDO_E2E_BIN"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return filepath.Join(at, "bin"), nil
		}
		if at == filepath.Dir(at) {
			return filepath.Join(dir, "bin"), nil
		}
	}
}

// Env is the value of a variable that scripts/test.sh sets.
func Env(t testing.TB, variable string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		Absent(t, variable+" is not set", "run make test")
	}
	return value
}
