package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestLimitsAreDocumented: the table of core/rpc's README has every limit with its default.
func TestLimitsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../core/rpc/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range append(sharePool(), limitOptions()...) {
		if row := fmt.Sprintf("| `%s` | %s |", o.Key, o.Default); !strings.Contains(string(page), row) {
			t.Errorf("no row that begins with %s", row)
		}
	}
}

// TestLimitsReachTheirFields: each row sets a field of its own, and reads it back.
func TestLimitsReachTheirFields(t *testing.T) {
	for _, o := range append(sharePool(), limitOptions()...) {
		c := Default()
		text := "77"
		if !o.Number {
			text = (77 * time.Second).String()
		}
		if err := o.Set(&c, text); err != nil || o.Get(&c) != text {
			t.Errorf("%s: set to %s, is %s: %v", o.Key, text, o.Get(&c), err)
		}
		d := Default()
		for _, other := range append(sharePool(), limitOptions()...) {
			if other.Key != o.Key && other.Get(&c) != other.Get(&d) {
				t.Errorf("%s changes %s", o.Key, other.Key)
			}
		}
		for _, wrong := range []string{"", "x", "-1", "0", "1e3"} {
			if o.Set(&c, wrong) == nil {
				t.Errorf("%s takes %q", o.Key, wrong)
			}
		}
	}
}
