package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/spf13/pflag"
)

// TestFile shows what a file does: each case prints the settings that differ from the default, or the error.
func TestFile(t *testing.T) {
	datadriven.RunTest(t, "testdata/file", func(t *testing.T, d *datadriven.TestData) string {
		c := Default()
		if err := FromFile(&c, "ordo.toml", []byte(d.Input)); err != nil {
			return err.Error() + "\n"
		}
		if d.Cmd == "check" {
			if err := c.Validate(); err != nil {
				return err.Error() + "\n"
			}
		}
		return changes(c)
	})
}

func changes(c Config) string {
	var out strings.Builder
	for _, o := range Options() {
		if def := Default(); o.Get(&c) != o.Get(&def) {
			fmt.Fprintf(&out, "%s = %s\n", o.Key, o.Get(&c))
		}
	}
	for _, s := range []Stage{c.Ordering, c.Execution, c.Storage, c.Consensus} {
		if len(s.Settings) > 0 {
			raw, err := s.JSON(map[string]any{"from_core": true})
			fmt.Fprintf(&out, "%s takes %s %v\n", s.Plugin, raw, err)
		}
	}
	if out.Len() == 0 {
		return "(defaults)\n"
	}
	return out.String()
}

func TestPrecedence(t *testing.T) {
	c := Default()
	env := map[string]string{"PORT": "1", "ORDO_PORT": "2", "SEED": "9", "CHAIN_ID": "MAINNET", "ORDO_ORDERING": "fee", "ACCOUNTS": ""}
	if err := FromFile(&c, "f", []byte("[rpc]\nport = 7\n[genesis]\naccounts = 3\nseed = 4\n")); err != nil {
		t.Fatal(err)
	}
	if err := FromEnv(&c, func(k string) (string, bool) { v, ok := env[k]; return v, ok }); err != nil {
		t.Fatal(err)
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	Bind(flags)
	if err := flags.Parse([]string{"--seed=11"}); err != nil {
		t.Fatal(err)
	}
	if err := FromFlags(&c, flags); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%d %d %s %s %d", c.Port, c.Seed, c.ChainID, c.Ordering.Plugin, c.Accounts)
	if want := "2 11 SN_MAIN fee 3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestErrorsNameTheirSource(t *testing.T) {
	c := Default()
	err := FromEnv(&c, func(k string) (string, bool) { return "99999", k == "PORT" })
	if err == nil || !strings.Contains(err.Error(), "environment variable PORT") {
		t.Errorf("from the environment: %v", err)
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	Bind(flags)
	if err := flags.Parse([]string{"--accounts", "256"}); err != nil {
		t.Fatal(err)
	}
	if err := FromFlags(&c, flags); err == nil || !strings.Contains(err.Error(), "--accounts") {
		t.Errorf("from a flag: %v", err)
	}
}

// TestUnknownKeys: each is answered with what was probably meant, or with what there is, and never with something far away.
func TestUnknownKeys(t *testing.T) {
	for text, want := range map[string]string{
		"[rpc]\nprot = 1":                 "f.toml:2: unknown key rpc.prot: did you mean rpc.port?",
		"[rcp]\nport = 1":                 "unknown key rcp.port: did you mean rpc.port?",
		"port = 1":                        "unknown key port: did you mean rpc.port?",
		"[chain]\nport = 1":               "unknown key chain.port: did you mean rpc.port?",
		"[ordering.confg]\nvip = 1":       "unknown key ordering.confg.vip: did you mean ordering.config.vip?",
		"[ordring.config]\nvip = 1":       "unknown key ordring.config.vip: did you mean ordering.config.vip?",
		"[ordering]\nconfg = { vip = 1 }": "did you mean ordering.config.vip?",
		"[ordering.tls]\ncart = 'x'":      "unknown key ordering.tls.cart: did you mean ordering.tls.cert?",
		"[ordering]\nplugn = 'fee'":       "unknown key ordering.plugn: did you mean ordering.plugin?",
		"[node]\nn = 1":                   "unknown key node.n: known are node.data_dir, ",
		"[nonsense]\nx = 1":               "unknown key nonsense.x: ordo run --print-config shows all",
		"[storage]\nsync_writes = true":   "unknown key storage.sync_writes: known are storage.attach, ",
	} {
		c := Default()
		if err := FromFile(&c, "f.toml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q\n got %v\nwant %s", text, err, want)
		}
	}
}

// TestNotUTF8: paths are any bytes to the system, and the value is shown so that the operator can see which.
func TestNotUTF8(t *testing.T) {
	c := Default()
	for _, name := range []string{"ORDO_DATA_DIR", "ORDO_STORAGE", "ORDO_EXECUTION_ATTACH"} {
		err := FromEnv(&c, func(k string) (string, bool) { return "/tmp/odd\xff", k == name })
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), `"/tmp/odd\xff" is not valid UTF-8`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	Bind(flags)
	if err := flags.Parse([]string{"--data-dir", "/tmp/odd\xff"}); err != nil {
		t.Fatal(err)
	}
	if err := FromFlags(&c, flags); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("--data-dir: %v", err)
	}
	if err := FromFile(&c, "f", []byte("[node]\ndata_dir = \"odd\xff\"\n")); err == nil {
		t.Error("a file that is not UTF-8 was read")
	}
}

func TestSampleReadsBack(t *testing.T) {
	c := Default()
	c.Port, c.ChainID, c.Gas.L2Fri = 0, "MY_CHAIN", 1<<64-1
	c.BlockGeneration, _ = parseBlockGeneration("2.5")
	c.Consensus = Stage{Plugin: "./mine", Attach: "unix:///a b", CA: "ca", Settings: map[string]any{"peers": "a,b"}}
	got := Default()
	if err := FromFile(&got, "sample", []byte(Sample(c))); err != nil {
		t.Fatalf("%v\n%s", err, Sample(c))
	}
	if !reflect.DeepEqual(got, c) {
		t.Errorf("got %+v\nwant %+v", got, c)
	}
}

func FuzzFromFile(f *testing.F) {
	f.Add([]byte(Sample(Default())))
	f.Add([]byte("[a.b]\nc={d=1}\n[[x]]\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := Default()
		_ = FromFile(&c, "fuzz", raw) // must not panic
	})
}
