package need

import (
	"fmt"
	"strings"
	"testing"
)

// watched records how a test that it stands for ended.
type watched struct {
	testing.TB
	ended string
}

func (w *watched) Helper() {}
func (w *watched) Fatalf(format string, args ...any) {
	w.ended = "failed: " + fmt.Sprintf(format, args...)
	panic(w)
}
func (w *watched) Skipf(format string, args ...any) {
	w.ended = "skipped: " + fmt.Sprintf(format, args...)
	panic(w)
}

// TestAbsenceFailsWhereCIIsSet, and elsewhere is a skip that says what to do.
func TestAbsenceFailsWhereCIIsSet(t *testing.T) {
	for _, c := range []struct{ ci, want string }{{"", "skipped: "}, {"true", "failed: "}} {
		t.Setenv("CI", c.ci)
		t.Setenv("ORDO_E2E_BIN", t.TempDir())
		for name, need := range map[string]func(testing.TB){
			"binaries": func(t testing.TB) { Binaries(t) },
			"variable": func(t testing.TB) { Env(t, "ORDO_E2E_NOTHING") },
		} {
			w := &watched{TB: t}
			func() {
				defer func() { _ = recover() }()
				need(w)
			}()
			if !strings.HasPrefix(w.ended, c.want) || !strings.Contains(w.ended, "run make test") {
				t.Errorf("CI=%q, %s: %s", c.ci, name, w.ended)
			}
		}
	}
}
