package openrpc

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Checker compares answers with a table, and records what it saw.
type Checker struct {
	*Table
	Coverage
	// Beside allows errors of the specification that it does not list for the method; may be nil.
	Beside func(method string, code int) bool
}

// prefix begins the names of the specification's methods; others have no rows.
const prefix = "starknet_"

// JSON-RPC's errors for a request that is none, whatever its method, and for a method that is not served.
const (
	invalidRequest = -32600
	methodNotFound = -32601
)

// Answer tells how an answer differs from what the table has: failure is the error that it holds, nil when it holds a result.
func (c *Checker) Answer(method string, result, failure json.RawMessage) error {
	var e struct {
		Code    int
		Message string
		Data    json.RawMessage
	}
	if failure != nil {
		if err := json.Unmarshal(failure, &e); err != nil {
			return fmt.Errorf("%s: the error is %w", method, err)
		}
	}
	m, ok := c.Methods[method]
	switch {
	case !ok && strings.HasPrefix(method, prefix) && e.Code != methodNotFound && e.Code != invalidRequest:
		return fmt.Errorf("%s: version %s has no such method", method, c.Version)
	case !ok:
		return nil
	case failure == nil:
		c.Saw(method, Result)
		if err := c.CheckResult(method, result); err != nil {
			return fmt.Errorf("%s: the answer does not fit version %s: %w\n%s", method, c.Version, err, result)
		}
		return nil
	case e.Code <= 0: // JSON-RPC's own, and the node's
		return nil
	}
	if c.Saw(method, e.Code); !slices.Contains(m.Codes, e.Code) && (c.Beside == nil || !c.Beside(method, e.Code)) {
		return fmt.Errorf("%s: error %d is not among the method's in version %s: %v", method, e.Code, c.Version, m.Codes)
	}
	if err := c.CheckError(e.Code, e.Message, e.Data); err != nil {
		return fmt.Errorf("%s: version %s: %w", method, c.Version, err)
	}
	return nil
}

// Coverage records which answers of the specification tests have checked. Safe for concurrent use; the zero value has none.
type Coverage struct {
	mu   sync.Mutex
	seen map[string]map[int]bool
}

// Result is the code of an answer that is no error.
const Result = 0

// Saw records an answer: Result, or the code of an error.
func (c *Coverage) Saw(method string, code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = make(map[string]map[int]bool)
	}
	if c.seen[method] == nil {
		c.seen[method] = make(map[int]bool)
	}
	c.seen[method][code] = true
}

// Missing compares what was seen with the table: each method over HTTP has a result, and each error that the specification lists for it.
// What never holds is exempt, and a reason for something that was seen is wrong.
func (c *Coverage) Missing(t *Table, never Reasons) (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(t.Methods)) {
		m := t.Methods[name]
		if m.WebSocket() {
			continue
		}
		for _, code := range append([]int{Result}, m.Codes...) {
			switch why := never.Why(name, code); {
			case c.seen[name][code] && why != "":
				list = append(list, fmt.Sprintf("%s: %s was seen, and is said never to be: %s", name, what(code), why))
			case !c.seen[name][code] && why == "":
				list = append(list, fmt.Sprintf("%s: %s was never seen: provoke it, or say why it cannot be", name, what(code)))
			}
		}
	}
	return list
}

// Unasked lists the methods over HTTP that have not answered with a result; what never holds is exempt.
func (c *Coverage) Unasked(t *Table, never Reasons) (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(t.Methods)) {
		if !t.Methods[name].WebSocket() && !c.seen[name][Result] && never.Why(name, Result) == "" {
			list = append(list, name)
		}
	}
	return list
}

func what(code int) string {
	if code == Result {
		return "a result"
	}
	return fmt.Sprintf("error %d", code)
}

// Reasons say, by method and code, why an answer of the specification's cannot be provoked. The method "" stands for all.
type Reasons map[string]map[int]string

// Why is the reason for an answer; "" when there is none.
func (r Reasons) Why(method string, code int) string {
	if why := r[method][code]; why != "" {
		return why
	}
	return r[""][code]
}
