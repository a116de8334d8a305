package contracts

import (
	"encoding/json"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func TestSpaced(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`[]`, `[]`},
		{`{"b":1,"a":[true,null,{}]}`, `{"b": 1, "a": [true, null, {}]}`},
		{`"q\"\\ é 😀 \u0001\n"`, `"q\"\\ \u00e9 \ud83d\ude00 \u0001\n"`},
		{` [ 1.50 , 0x ]`, ``},
		{`[] []`, ``},
	} {
		got, err := Spaced([]byte(c.in))
		if (err != nil) != (c.want == "") || got != c.want && err == nil {
			t.Errorf("Spaced(%s) = %s, %v; want %s", c.in, got, err, c.want)
		}
	}
}

func TestDefinition(t *testing.T) {
	got, err := Definition(ordov1.Class_SIERRA, []byte(`{"abi":[{"type":"x"}],"sierra_program":["0x1"],
		"sierra_program_debug_info":{},"contract_class_version":"0.1.0","entry_points_by_type":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(got, &fields); err != nil {
		t.Fatal(err)
	}
	if fields["abi"] != `[{"type": "x"}]` || fields["sierra_program_debug_info"] != nil || len(fields) != 4 {
		t.Errorf("got %s", got)
	}
	if _, err := Definition(ordov1.Class_CAIRO0, got); err == nil {
		t.Error("a Sierra class passed as Cairo 0")
	}
}

func FuzzSpaced(f *testing.F) {
	f.Add([]byte(`{"a":[1,"b",{"c":null}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := Spaced(in)
		if err != nil {
			return
		}
		again, err := Spaced([]byte(out))
		if err != nil || again != out {
			t.Fatalf("%q -> %q -> %q, %v", in, out, again, err)
		}
	})
}
