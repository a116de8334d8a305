package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPage: what was measured is on the page with its machine and command; what was not is left out.
func TestPage(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir); err == nil {
		t.Error("a page of nothing")
	}
	result := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, "raw"), 0o755); err != nil {
			t.Fatal(err)
		}
		where := `"processor":"Test CPU","processors":2,"memory_mb":4096,"kernel":"6.1","go":"go1","load_average":3,"command":"ordo bench test"`
		if err := os.WriteFile(filepath.Join(dir, "raw", name+".json"), []byte("{"+where+","+text+"}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := `{"target":"http://a","kind":"swaps","model":"closed","depth":3,"accounts":9,"accepted_on_l2":700,"tx_per_second":350,"accepted_per_second":[300,400],` +
		`"account_class":"0x1","accepted_ms":{"p50":10,"p99":20},"processes":[{"name":"ordo","cpu_seconds":7,"rss_mb":50,"peak_rss_mb":60}]}`
	result("load-closed", `"runs":[`+run+`]`)
	result("load-open", `"runs":[`+strings.Replace(run, `"closed"`, `"open","rate":5`, 1)+`]`)
	result("load-kinds", `"runs":[`+run+`]`)
	result("exec", `"runs":[{"transactions":1000,"workers":2,"engine":"vm","plugin":{"tx_per_second":95},"bare":{"tx_per_second":100},"ratio":0.95}]`)
	commit := `"leaves":8,"transfers":2,"cores":1,"ordo":{"ms":5},"gnark":{"ms":60},"ratio":12`
	result("commit", `"busy":0.02,"run":{`+commit+`,"hashes":[{"hash":"pedersen","by":"ordo, in batches of 256","ns":3600.4,"ratio":1},{"hash":"pedersen","by":"gnark-crypto","ns":54000,"ratio":14.96}],"not_measured":["starknet-types-core: no plugin"]}`)
	result("hop", `"hops":[{"end":"go","batch":1,"us_per_call":70},{"end":"go","batch":10,"us_per_call":90},{"end":"go","tls":true,"batch":1,"us_per_call":80}],"not_measured":["python: stat /a/b/plugin: no such file"]`)
	result("start", `"cold":{"median_ms":900,"all_ms":[900],"phases":[{"until":"first answer","ms":900}]},"warm":{"median_ms":400,"all_ms":[400],"phases":[{"until":"first answer","ms":400}]}`)
	result("growth", `"state":[{"keys":1000,"tx_per_second":500},{"keys":100000,"tx_per_second":490}],"blocks":[{"transactions":10,"execute_ms":8},{"transactions":100,"execute_ms":70,"seal_ms":3}],"pool":[{"waiting":10,"admit_us":2,"take_us":1},{"waiting":1000,"admit_us":2,"take_us":1}]`)
	one := func(name string, n int, more string) string {
		return fmt.Sprintf(`{"consensus":%q,"validators":%d,"empty":{"ms":{"p50":%d,"p99":40},"cpu_ms_per_validator":6.5,"cpu_ms_per_process":{"ordo":4,"ordo-consensus-%s":2.5}},`+
			`"full":{"ms":{"p50":200,"p99":300},"cpu_ms_per_validator":80},"load":{"tx_per_second":900,"memory_mb_per_validator":250}%s}`, name, n, 3*n, name, more)
	}
	result("network", `"baseline":"solo, 1 validator","block_transactions":500,"runs":[`+one("solo", 1, `,"ratios":{"empty_p50":1,"full_p50":1,"tx_per_second":1}`)+","+
		one("comet", 4, `,"ratios":{"empty_p50":4,"full_p50":1.5,"tx_per_second":0.5,"full_allowed_ms":840}`)+","+one("comet", 7, "")+`],"not_measured":["raft: it is not built"]`)
	draw := func() string {
		t.Helper()
		if err := write(dir); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	text := draw()
	for _, want := range []string{
		"| ordo dev | swaps | closed, 3 each | 9 | 700 | **350** |", "| ordo | 7.0 s | 10.000 ms | 50 MB | 60 MB |", "open, 5 tx/s",
		"Test CPU, 2 processors, 4.0 GB, Linux 6.1", "Command: `ordo bench test`", "**The machine was busy", "| vm | 2 | 95 | 100 | **0.950** |",
		"a ratio of **12.0**", "| go | yes | 1 |", "Not measured: python; raw/hop.json says why.", "warm **400 ms**", "| 100000 | **490** |",
		"| hash | by | ns | ratio |\n|---|---|---:|---:|\n| pedersen | ordo, in batches of 256 | 3600 | **1.0** |\n| pedersen | gnark-crypto | 54000 | **15.0** |\n\nNot measured: starknet-types-core; raw/commit.json says why.\n\nTest CPU",
		"| comet | 4 | **12.0** / 40.0 | 6.5 | **200** / 300 | 840 | 80 | **900** | 250 MB |", "| comet | 4 | 4.00 | 1.50 | 0.50 |", "| comet | 7 | **21.0** / 40.0 | 6.5 | **200** / 300 | - |",
		"hold 500 transfers", "Not measured: raft; raw/network.json says why.",
		"load average at the start 3.00, 2 % of the processors in use.\nCommand: `ordo bench test`\n\n## A call", // and not busy
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, name := range []string{"load-closed", "load-open", "load-kinds", "exec", "commit", "hop", "start", "growth-state", "growth-blocks", "growth-pool",
		"network-empty", "network-full", "network-speed", "network-cpu"} {
		picture, err := os.ReadFile(svg(dir, name))
		if err != nil || !strings.Contains(string(picture), "<svg") || !strings.Contains(text, "("+name+".svg)") {
			t.Errorf("%s.svg: %v", name, err)
		}
	}
	// As it was before it had hashes.
	result("commit", `"run":{`+commit+`}`)
	if text := draw(); !strings.Contains(text, "a ratio of **12.0**") || strings.Contains(text, "| hash |") || strings.Contains(text, "types-core") {
		t.Error(text)
	}
}

// TestDisturbed: the share in use decides; the load average only where it is all there is.
func TestDisturbed(t *testing.T) {
	share := func(f float64) *float64 { return &f }
	for _, c := range []struct {
		load float64
		busy *float64
		want bool
	}{{0.9, nil, false}, {1.1, nil, true}, {9, share(0), false}, {9, share(0.15), false}, {0, share(0.16), true}} {
		if e := (&environment{Processors: 2, Load: c.load, Busy: c.busy}); e.disturbed() != c.want {
			t.Errorf("load %.1f, busy %v: not %t", c.load, c.busy, c.want)
		}
	}
}
