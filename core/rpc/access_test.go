package rpc

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// posted is a request as programs on this machine send it.
func posted(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://localhost:5050/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

const (
	keysRequest = `{"jsonrpc":"2.0","id":1,"method":"test_getKeys"}`
	timeRequest = `{"jsonrpc":"2.0","id":1,"method":"test_setTime","params":[253402300799]}`
)

// TestForeignPages: what a page in a browser can send reaches only the specification's methods; what programs and the pages of
// this machine send reaches all. The headers are those that browsers were seen to send.
func TestForeignPages(t *testing.T) {
	w, _ := extendedWorld(t)
	w.server.Access = Access{Origins: []string{"https://app.example", "chrome-extension://abc"}, Hosts: []string{"node.example"}, Listen: "192.0.2.7"}
	const jsonType, plain, form = "application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name               string
		origin, host, kind string
		body               string
		status             int
		allow              string // Access-Control-Allow-Origin
	}{
		{"a program", "", "localhost:5050", jsonType, keysRequest, 200, ""},
		{"with a charset", "", "127.0.0.1:5050", "Application/JSON; charset=utf-8", keysRequest, 200, ""},
		{"over IPv6", "", "[::1]:5050", jsonType, keysRequest, 200, ""},
		{"in another container", "", "ordo:5050", jsonType, keysRequest, 200, ""},
		{"from a container to its machine", "", "host.docker.internal:5050", jsonType, keysRequest, 200, ""},
		{"by an address of the network", "", "192.168.1.2:5050", jsonType, keysRequest, 200, ""},
		{"by a name of the operator", "", "NODE.example.", jsonType, keysRequest, 200, ""},
		{"a page of this machine", "http://localhost:5173", "localhost:5050", jsonType, keysRequest, 200, "http://localhost:5173"},
		{"by address", "http://127.0.0.1", "localhost:5050", jsonType, keysRequest, 200, "http://127.0.0.1"},
		{"below localhost", "https://app.localhost:8443", "localhost:5050", jsonType, keysRequest, 200, "https://app.localhost:8443"},
		{"a page of the address listened at", "http://192.0.2.7:3000", "192.0.2.7:5050", jsonType, keysRequest, 200, "http://192.0.2.7:3000"},
		{"a page of the operator", "https://app.example", "localhost:5050", jsonType, keysRequest, 200, "https://app.example"},
		{"an extension of the operator", "chrome-extension://abc", "localhost:5050", jsonType, keysRequest, 200, "chrome-extension://abc"},

		{"curl -d", "", "localhost:5050", form, keysRequest, 415, ""},
		{"no type", "", "localhost:5050", "", keysRequest, 415, ""},
		{"two types in one", "", "localhost:5050", "text/plain, application/json", keysRequest, 415, ""},
		{"a foreign page after a preflight", "https://evil.example", "localhost:5050", jsonType, keysRequest, 403, ""},
		{"without one", "https://evil.example", "localhost:5050", plain, timeRequest, 403, ""},
		{"its form", "https://evil.example", "localhost:5050", plain, keysRequest, 403, ""},
		{"an old browser's form", "", "localhost:5050", plain, keysRequest, 415, ""},
		{"a form of this machine", "http://localhost:5173", "localhost:5050", plain, keysRequest, 415, ""},
		{"another port of the operator's page", "https://app.example:444", "localhost:5050", jsonType, keysRequest, 403, ""},
		{"another extension", "chrome-extension://def", "localhost:5050", jsonType, keysRequest, 403, ""},
		{"a name that begins well", "http://localhost.evil.example", "localhost:5050", jsonType, keysRequest, 403, ""},
		{"an address that begins well", "http://127.0.0.1.evil.example", "localhost:5050", jsonType, keysRequest, 403, ""},
		{"a user in front", "http://localhost@evil.example", "localhost:5050", jsonType, keysRequest, 403, ""},
		{"a file or a sandbox", "null", "localhost:5050", jsonType, keysRequest, 403, ""},
		{"an empty origin", " ", "localhost:5050", jsonType, keysRequest, 403, ""},
		{"a page whose name now points here", "http://evil.example:5050", "evil.example:5050", jsonType, keysRequest, 403, ""},
		{"that sends no origin", "", "evil.example:5050", jsonType, keysRequest, 403, ""},
		{"a host that begins well", "", "localhost.evil.example", jsonType, keysRequest, 403, ""},
		{"no host", "", "", jsonType, keysRequest, 403, ""},
		{"in a batch", "https://evil.example", "localhost:5050", jsonType, "[" + chainIDRequest + "," + keysRequest + "]", 403, ""},
		{"a notification", "https://evil.example", "localhost:5050", plain, `{"jsonrpc":"2.0","method":"test_getKeys"}`, 403, ""},
		{"the plugins", "https://evil.example", "localhost:5050", jsonType, `{"jsonrpc":"2.0","id":1,"method":"ordo_plugins"}`, 403, ""},
		{"a name for the careful reader", "https://evil.example", "localhost:5050", plain, `{"jsonrpc":"2.0","id":1,"method":"test\u005fgetKeys"}`, 403, ""},

		{"a read", "https://evil.example", "localhost:5050", plain, chainIDRequest, 200, "*"},
		{"a read under any name", "", "evil.example", form, chainIDRequest, 200, ""},
		{"a batch of reads", "null", "evil.example", "", "[" + chainIDRequest + "]", 200, "*"},
		{"an open method of an extension", "https://evil.example", "localhost:5050", plain, `{"jsonrpc":"2.0","id":1,"method":"test_open"}`, 200, "*"},
		{"a method that there is not", "https://evil.example", "localhost:5050", plain, `{"jsonrpc":"2.0","id":1,"method":"test_dump"}`, 200, "*"},
	} {
		q := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body))
		if q.Host = c.host; c.origin != "" {
			q.Header.Set("Origin", c.origin)
		}
		if c.kind != "" {
			q.Header.Set("Content-Type", c.kind)
		}
		r := httptest.NewRecorder()
		w.server.ServeHTTP(r, q)
		if got := r.Header().Get(allowOrigin); r.Code != c.status || got != c.allow {
			t.Errorf("%s: status %d, for origin %q: %s", c.name, r.Code, got, r.Body)
		}
		if secret := strings.Contains(r.Body.String(), "private_key"); secret != (r.Code == 200 && strings.Contains(c.body, "getKeys")) {
			t.Errorf("%s: %s", c.name, r.Body)
		}
		if r.Code != 200 && !strings.Contains(r.Body.String(), "-32600") {
			t.Errorf("%s: no reason: %s", c.name, r.Body)
		}
	}
}

// TestAnyPage: an operator can open everything.
func TestAnyPage(t *testing.T) {
	w, _ := extendedWorld(t)
	w.server.Access = Access{Origins: []string{"*"}, Hosts: []string{"*"}}
	q := posted(keysRequest)
	q.Host = "any.example"
	q.Header.Set("Origin", "null")
	r := httptest.NewRecorder()
	if w.server.ServeHTTP(r, q); r.Code != 200 || r.Header().Get(allowOrigin) != "null" || r.Header().Get("Vary") != "Origin" {
		t.Errorf("%d %v %s", r.Code, r.Header(), r.Body)
	}
}

// TestPrivateNetwork: a browser that asks a node on this machine first, for a page of the web, hears that reads are open.
func TestPrivateNetwork(t *testing.T) {
	w, _ := extendedWorld(t)
	for _, asks := range []bool{false, true} {
		q := httptest.NewRequest(http.MethodOptions, "/", nil)
		want := ""
		if asks {
			q.Header.Set("Access-Control-Request-Private-Network", "true")
			want = "true"
		}
		r := httptest.NewRecorder()
		if w.server.ServeHTTP(r, q); r.Header().Get("Access-Control-Allow-Private-Network") != want {
			t.Errorf("asks %v: %v", asks, r.Header())
		}
	}
}

// TestListsOfOrigins: what an operator writes is what browsers send, or is refused.
func TestListsOfOrigins(t *testing.T) {
	for _, c := range []struct {
		read func(string) ([]string, error)
		text string
		want string // joined, or the error's beginning
	}{
		{ParseOrigins, "", ""},
		{ParseOrigins, "https://App.example, http://b.example:8080\tnull *", "https://app.example|http://b.example:8080|null|*"},
		{ParseOrigins, "app.example", `"app.example": choose origins`},
		{ParseOrigins, "https://app.example/", `"https://app.example/": choose origins`},
		{ParseHosts, "Node.example,n2.example", "node.example|n2.example"},
		{ParseHosts, "node.example:5050", `"node.example:5050": choose names`},
		{ParseHosts, "https://node.example", `"https://node.example": choose names`},
	} {
		list, err := c.read(c.text)
		got := strings.Join(list, "|")
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%q: %s", c.text, got)
		}
	}
}

// TestFormerPaths: what was once posted to a path of its own is answered with the method's name, where that is served.
func TestFormerPaths(t *testing.T) {
	extended, _ := extendedWorld(t)
	plain := newWorld(t).server
	for path, want := range map[string]string{"/balance": "test_balance", "/keys": "test_getKeys", "/set_time": "test_setTime", "/chain_id": "", "/load": "", "/x_": ""} {
		r := httptest.NewRecorder()
		extended.server.ServeHTTP(r, httptest.NewRequest(http.MethodPost, path, nil))
		if text := r.Body.String(); r.Code != 404 || !strings.Contains(text, "post json-rpc") || strings.Contains(text, "the method is") != (want != "") || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", path, r.Code, text)
		}
		r = httptest.NewRecorder()
		plain.ServeHTTP(r, httptest.NewRequest(http.MethodPost, path, nil))
		if r.Code != 404 || strings.Contains(r.Body.String(), "the method is") {
			t.Errorf("%s of a server without an extension: %d %s", path, r.Code, r.Body)
		}
	}
}
