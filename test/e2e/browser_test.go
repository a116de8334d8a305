package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// report is what a page saw.
type report struct {
	Origin string
	Seen   map[string]string
}

// pages serves browser/page.html under whatever name it is asked for, and passes on what the page reports. All that it does not
// know goes to the node with the headers that the browser wrote: so a page looks whose name has come to point at the node.
type pages struct {
	*httptest.Server
	reports chan report
	node    *httputil.ReverseProxy
}

func newPages(t *testing.T) *pages {
	p := &pages{reports: make(chan report, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page.html", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "browser/page.html") })
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		var said report
		raw, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(raw, &said)
		}
		if err != nil {
			t.Errorf("a report of a page: %v: %s", err, raw)
		}
		p.reports <- said
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { p.node.ServeHTTP(w, r) })
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// origin of the pages under a name.
func (p *pages) origin(name string) string {
	u, err := url.Parse(p.URL)
	if err != nil {
		panic(err) // httptest's
	}
	return "http://" + name + ":" + u.Port()
}

// browse shows the page in Chromium, where every name leads to this machine, and returns what the page reports.
func (p *pages) browse(t *testing.T, name, what, node string) report {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t, patient))
	cmd := exec.CommandContext(ctx, chromium(t), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), "--host-resolver-rules=MAP *.test 127.0.0.1",
		p.origin(name)+"/page.html?"+url.Values{"what": {what}, "node": {node}}.Encode())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it starts many processes
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out := new(nodetest.Output)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, out, 10*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // it was killed
	}()
	select {
	case said := <-p.reports:
		if said.Origin != p.origin(name) {
			t.Fatalf("the page was of %s, not of %s", said.Origin, p.origin(name))
		}
		return said
	case <-ctx.Done():
		t.Fatalf("%s: no report of a page\n%s", name, out)
	}
	return report{}
}

// chromium is the browser; a machine without one skips.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("ORDO_E2E_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	need.Absent(t, "no chromium", "install it (apt-get install chromium), or name one in ORDO_E2E_CHROMIUM")
	return ""
}

// TestPagesInABrowser: a foreign page in a real browser reads the chain and sends transactions, and nothing beside: no request that
// it can make, by whatever way, reads a key or changes the node. Pages of this machine and of the operator's do all.
func TestPagesInABrowser(t *testing.T) {
	chromium(t)
	p := newPages(t)
	n := start(t, "--block-generation-on", "demand", "--allowed-origins", p.origin("app.test"))
	target, err := url.Parse(n.URL)
	if err != nil {
		t.Fatal(err)
	}
	// The Host that the browser wrote stays.
	p.node = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }}
	balance := func() string {
		var b struct{ Amount string }
		n.call(t, "devnet_getAccountBalance", map[string]any{"address": "0x123", "block_id": "pre_confirmed"}, &b)
		return b.Amount
	}
	wallet := func(t *testing.T, said report) {
		t.Helper()
		for name, want := range map[string]string{"chain": `200 {"jsonrpc":"2.0","id":1,"result":"0x534e5f5345504f4c4941"}`, "send": `"code":-32602`, "alive": "200 Alive!!!"} {
			if !strings.Contains(said.Seen[name], want) {
				t.Errorf("%s: %s", name, said.Seen[name])
			}
		}
	}
	for _, c := range []struct{ name, page, node string }{
		{"a foreign page", "evil.test", n.URL},
		{"by the name of the machine", "evil.test", strings.Replace(n.URL, "127.0.0.1", "localhost", 1)},
		{"a page whose name now points here", "rebound.test", p.origin("rebound.test")},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := p.browse(t, c.page, "foreign", c.node)
			if len(said.Seen) != 18 {
				t.Errorf("%d ways, want 18: %v", len(said.Seen), said.Seen)
			}
			for way, text := range said.Seen {
				t.Logf("%-15s %.120s", way, text)
				if strings.Contains(text, "private_key") || strings.Contains(text, "block_hash") || strings.Contains(text, `"pid"`) {
					t.Errorf("%s: the page reads %s", way, text)
				}
			}
			wallet(t, said)
			if b := n.block(t, "latest"); b.Number != 0 || balance() != "0" {
				t.Errorf("the page changed the node: block %d, balance %s", b.Number, balance())
			}
		})
	}
	for i, page := range []string{"localhost", "127.0.0.1", "app.test"} {
		t.Run(page, func(t *testing.T) {
			said := p.browse(t, page, "friend", n.URL)
			for name, want := range map[string]string{"keys": "private_key", "mint": "new_balance", "block": "block_hash"} {
				if !strings.Contains(said.Seen[name], want) {
					t.Errorf("%s: %s", name, said.Seen[name])
				}
			}
			wallet(t, said)
			if b := n.rooted(t, uint64(i+1)); b.Number != uint64(i+1) || balance() != fmt.Sprint(i+1) {
				t.Errorf("block %d, balance %s", b.Number, balance())
			}
		})
	}
}
