package rpc

import (
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Access is where requests for guarded methods may come from. Such methods make blocks and reveal keys and processes, and a
// node on a developer's machine is within reach of every page that its browser shows. The specification's methods are open to
// all.
type Access struct {
	Origins []string // of pages, beside those of this machine: scheme://host[:port], or "*"
	Hosts   []string // names that the node is reached under, beside those that cannot be made to point at it, or "*"
	Listen  string   // the address that the node listens at
}

// checkAccess refuses a request for a guarded method that a foreign page could have made. Browsers send Origin with every
// POST, so it tells pages apart. Host tells a page that was loaded under a name which now points here: for the browser it is
// this node's own page. The content type keeps out what a browser sends to any address without asking there first, in case it
// sends no Origin.
func (s *Server) checkAccess(r *http.Request, method string) *httpError {
	if refused := s.checkPage(r, method); refused != nil {
		return refused
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" || len(r.Header["Content-Type"]) != 1 {
		return &httpError{http.StatusUnsupportedMediaType, Errorf(InvalidRequest,
			"content type %q: %s takes application/json only (curl: -H 'Content-Type: application/json')", clip(r.Header.Get("Content-Type")), method)}
	}
	return nil
}

// checkPage is the part of checkAccess that holds for sockets, too: a browser sends Origin with the request for a socket, and lets pages of
// every origin open one.
func (s *Server) checkPage(r *http.Request, method string) *httpError {
	for _, origin := range r.Header["Origin"] {
		if !s.Access.originAllowed(origin) {
			return &httpError{http.StatusForbidden, Errorf(InvalidRequest,
				"origin %q: pages of this origin may not call %s: name it in rpc.allowed_origins", clip(origin), method)}
		}
	}
	if !s.Access.HostAllowed(r.Host) {
		return &httpError{http.StatusForbidden, Errorf(InvalidRequest,
			"host %q: %s is not served under this name: name it in rpc.allowed_hosts", clip(r.Host), method)}
	}
	return nil
}

// guardedMethod returns the first guarded method that a list calls, "" when there is none. One decides for the whole body, so
// no batch carries it in.
func (s *Server) guardedMethod(list []request) string {
	for i := range list {
		name := list[i].method
		if strings.HasPrefix(name, specPrefix) {
			continue
		}
		if m, served := s.methods[name]; served && m.Class == Guarded {
			return name
		}
	}
	return ""
}

// specPrefix begins the names of the specification's methods.
const specPrefix = "starknet_"

// originAllowed takes pages of this machine, of the address that the node listens at, and those that the operator names.
// "null" is what a page without an origin of its own sends, such as one from a file or in a sandbox: any page can make one.
func (a Access) originAllowed(origin string) bool {
	if slices.Contains(a.Origins, "*") || slices.Contains(a.Origins, strings.ToLower(origin)) {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	name := canonicalName(u.Host)
	return isLoopback(name) || name != "" && name == a.listenAddress()
}

// HostAllowed takes a Host header with what no foreign page can have been loaded under: an address, a name of this machine, a
// name that no public name server answers for, or what the operator names.
func (a Access) HostAllowed(host string) bool {
	if slices.Contains(a.Hosts, "*") {
		return true
	}
	name := canonicalName(host)
	if name == "" {
		return false
	}
	if _, err := netip.ParseAddr(name); err == nil || isLoopback(name) || slices.Contains(a.Hosts, name) {
		return true
	}
	return !strings.Contains(name, ".") || strings.HasSuffix(name, ".internal") // of containers, and Docker's for the machine
}

// listenAddress is the address that the node listens at; "" when it listens at all of them.
func (a Access) listenAddress() string {
	if addr, err := netip.ParseAddr(a.Listen); err == nil && addr.IsUnspecified() {
		return ""
	}
	return canonicalName(a.Listen)
}

// canonicalName is the host of a URL or a header without port and brackets, in lower case; "" when the text is no host.
func canonicalName(host string) string {
	name := strings.ToLower(host)
	if inside, rest, ok := strings.Cut(strings.TrimPrefix(name, "["), "]"); ok && strings.HasPrefix(name, "[") {
		if rest != "" && !strings.HasPrefix(rest, ":") {
			return ""
		}
		name = inside
	} else if at := strings.LastIndexByte(name, ':'); at >= 0 && strings.IndexByte(name, ':') == at {
		name = name[:at]
	}
	return strings.TrimSuffix(name, ".")
}

// isLoopback reports a name of this machine: browsers resolve localhost and all below it so, whatever a name server says.
func isLoopback(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}

// ParseOrigins reads a list of origins as an operator writes it, separated by commas or spaces.
func ParseOrigins(text string) ([]string, error) {
	list := fields(text)
	for i, entry := range list {
		if entry == "*" || entry == "null" {
			continue
		}
		u, err := url.Parse(entry)
		if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("%q: choose origins as browsers send them, such as https://app.example or http://app.example:8080, or *", entry)
		}
		list[i] = strings.ToLower(entry)
	}
	return list, nil
}

// ParseHosts reads a list of host names as an operator writes it, separated by commas or spaces.
func ParseHosts(text string) ([]string, error) {
	list := fields(text)
	for i, entry := range list {
		if entry != "*" && (entry != strings.Trim(entry, ".:") || strings.ContainsAny(entry, "/:@*[]")) {
			return nil, fmt.Errorf("%q: choose names without a port, such as node.example, or *", entry)
		}
		list[i] = strings.ToLower(entry)
	}
	return list, nil
}

func fields(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
}
