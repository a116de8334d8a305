package badger

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk/schema"
)

// TestSchemaHasTheDefaults: what the SDK fills in from the schema is what a store without settings has.
func TestSchemaHasTheDefaults(t *testing.T) {
	rules, err := schema.Parse(Schema)
	if err != nil {
		t.Fatal(err)
	}
	whole, problems := rules.Complete(nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var c Config
	if err := json.Unmarshal(whole, &c); err != nil {
		t.Fatal(err)
	}
	for _, ephemeral := range []bool{false, true} {
		want := (&Config{}).options(ephemeral)
		got := c.options(ephemeral)
		if got.Log, want.Log = nil, nil; !reflect.DeepEqual(got, want) {
			t.Errorf("ephemeral %v:\n got %+v\nwant %+v", ephemeral, got, want)
		}
	}
	if c.MemoryMB != 320 {
		t.Errorf("memory_mb %d", c.MemoryMB)
	}
}
