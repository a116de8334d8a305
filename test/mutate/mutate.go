// Package mutate damages JSON-RPC requests for tests, and knows which errors an answer may have.
// Most of the structure of a request stays, so that the damage reaches the decoder that lies deepest.
package mutate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Request writes a request.
func Request(method, params string) []byte {
	return []byte(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`)
}

// Body damages a valid body, which is not changed. The same r gives the same damage.
func Body(r *rand.Rand, body []byte) []byte {
	tree, err := parse(body)
	if err != nil {
		return garble(r, body)
	}
	for range 1 + r.IntN(2) {
		damage(r, tree)
	}
	switch r.IntN(20) {
	case 0:
		envelope(r, tree)
	case 1:
		return garble(r, tree.append(nil))
	case 2:
		return batch(r, tree)
	}
	return tree.append(nil)
}

// node is a JSON value whose fields keep their order, and may be there twice.
type node struct {
	text string   // of a value without parts
	kind byte     // '{', '[' or 0
	keys []string // quoted
	kids []*node
}

func parse(body []byte) (*node, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	return parseValue(d)
}

func parseValue(d *json.Decoder) (*node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		text, err := json.Marshal(token)
		return &node{text: string(text)}, err
	}
	n := &node{kind: byte(delim)}
	for d.More() {
		if n.kind == '{' {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			n.keys = append(n.keys, strconv.Quote(key.(string)))
		}
		kid, err := parseValue(d)
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, kid)
	}
	_, err = d.Token()
	return n, err
}

func (n *node) append(out []byte) []byte {
	if n.kind == 0 {
		return append(out, n.text...)
	}
	out = append(out, n.kind)
	for i, kid := range n.kids {
		if i > 0 {
			out = append(out, ',')
		}
		if n.kind == '{' {
			out = append(append(out, n.keys[i]...), ':')
		}
		out = kid.append(out)
	}
	return append(out, n.kind+2) // ] and } are two after [ and {
}

// all lists the values below the envelope, and the places where fields can go.
func (n *node) all(depth int) (list []*node) {
	for i, kid := range n.kids {
		if depth > 0 || n.keys != nil && n.keys[i] == `"params"` {
			list = append(list, kid)
		}
		list = append(list, kid.all(depth+1)...)
	}
	return list
}

func damage(r *rand.Rand, tree *node) {
	values := tree.all(0)
	if len(values) == 0 {
		envelope(r, tree)
		return
	}
	n := values[r.IntN(len(values))]
	if len(n.kids) > 0 {
		at := r.IntN(len(n.kids))
		switch r.IntN(6) {
		case 0: // drop
			n.kids = append(n.kids[:at:at], n.kids[at+1:]...)
			if n.keys != nil {
				n.keys = append(n.keys[:at:at], n.keys[at+1:]...)
			}
			return
		case 1: // twice, or many times
			for range 1 << (2 * r.IntN(6)) {
				n.kids = append(n.kids, n.kids[at])
				if n.keys != nil {
					n.keys = append(n.keys, n.keys[at])
				}
			}
			return
		case 2: // an unknown field
			if n.keys != nil {
				n.keys = append(n.keys, []string{`"x"`, `""`, `"\u0000"`, `"__proto__"`, `"type"`}[r.IntN(5)])
				n.kids = append(n.kids, values[r.IntN(len(values))].copy())
				return
			}
		case 3: // change places
			other := r.IntN(len(n.kids))
			n.kids[at], n.kids[other] = n.kids[other], n.kids[at]
			return
		}
	}
	switch r.IntN(4) {
	case 0:
		*n = *values[r.IntN(len(values))].copy()
	case 1:
		n.twist(r)
	default:
		*n = node{text: value(r)}
	}
}

func (n *node) copy() *node {
	c := &node{text: n.text, kind: n.kind, keys: append([]string(nil), n.keys...)}
	for _, kid := range n.kids {
		c.kids = append(c.kids, kid.copy())
	}
	return c
}

// twist changes a text or a number a little.
func (n *node) twist(r *rand.Rand) {
	if n.kind != 0 || len(n.text) < 2 {
		*n = node{text: value(r)}
		return
	}
	at := 1 + r.IntN(len(n.text)-1)
	n.text = n.text[:at] + []string{"0", "f", "x", "g", "-", ".", "é", `\u0000`, "e9", " "}[r.IntN(10)] + n.text[at:]
}

// value is one that a decoder may not expect.
func value(r *rand.Rand) string {
	list := []string{
		"null", "true", "false", "0", "-1", "1", "7.5", "1e400", "-1e400", "1e-400", "18446744073709551615", "18446744073709551616", "9007199254740993",
		"99999999999999999999999999999999999999999999999999999999999999999999999999999999", "-0", "1E5",
		`""`, `"0x"`, `"0x0"`, `"0X1"`, `"1"`, `"-0x1"`, `"0x800000000000011000000000000000000000000000000000000000000000000"`,
		`"0x800000000000011000000000000000000000000000000000000000000000001"`, `"0x` + strings.Repeat("f", 64) + `"`, `"0x` + strings.Repeat("0", 1000) + `1"`,
		`"0x7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff00"`, `"0x100000000000000000000000000000003"`, `"0x3"`, `"0x77"`,
		`"latest"`, `"pre_confirmed"`, `"pending"`, `"l1_accepted"`, `"LATEST"`, `{"block_number":0}`, `{"block_number":18446744073709551615}`,
		`{"block_hash":"0x0"}`, `{"block_number":1,"block_hash":"0x1"}`, `"INVOKE"`, `"L1_HANDLER"`, `"SKIP_VALIDATE"`,
		`"\ud800"`, `"\ud83d\ude00"`, `"\u0000"`, "\"\xff\xfe\"", "\"\x01\"", "\"𝒳\u202e\"", `"` + strings.Repeat("a", 10_000) + `"`,
		"[]", "{}", "[null]", `{"":null}`, "[[]]", "[{}]", `["0x1","0x1"]`, `[["0x1"],[],["0x2"]]`,
		"NaN", "Infinity", "-", "0x1", "'a'", "undefined", "01", "+1", ".5", "",
	}
	if i := r.IntN(len(list) + 4); i < len(list) {
		return list[i]
	}
	depth := 1 << r.IntN(15) // at 10,000 the reader of JSON gives up
	switch r.IntN(4) {
	case 0:
		return strings.Repeat("[", depth) + strings.Repeat("]", depth)
	case 1:
		return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
	case 2:
		return "[" + strings.TrimSuffix(strings.Repeat(`"0x1",`, depth), ",") + "]"
	}
	return "[" + strings.TrimSuffix(strings.Repeat(`1,`, depth), ",") + "]"
}

// envelope damages what is around the parameters.
func envelope(r *rand.Rand, tree *node) {
	set := func(key, value string) {
		for i, k := range tree.keys {
			if k == key {
				tree.kids[i] = &node{text: value}
			}
		}
	}
	switch r.IntN(5) {
	case 0:
		set(`"id"`, []string{"null", `"a"`, "1.5", "-7", "{}", "[]", "true", `"` + strings.Repeat("i", 5000) + `"`, "1e400"}[r.IntN(9)])
	case 1:
		set(`"jsonrpc"`, []string{`"1.0"`, "2.0", "null", `"2.00"`}[r.IntN(4)])
	case 2:
		set(`"method"`, []string{`"starknet_"`, `""`, "7", "null", `"starknet_chainId\u0000"`, `"` + strings.Repeat("m", 5000) + `"`}[r.IntN(6)])
	case 3:
		set(`"params"`, value(r))
	case 4:
		at := r.IntN(max(1, len(tree.keys)))
		if at < len(tree.keys) {
			tree.keys, tree.kids = append(tree.keys[:at:at], tree.keys[at+1:]...), append(tree.kids[:at:at], tree.kids[at+1:]...)
		}
	}
}

// garble damages the bytes.
func garble(r *rand.Rand, body []byte) []byte {
	out := append([]byte(nil), body...)
	at := r.IntN(len(out) + 1)
	switch r.IntN(5) {
	case 0:
		return out[:at]
	case 1:
		return append(out, out...)
	case 2:
		return append([]byte("\xef\xbb\xbf"), out...)
	case 3:
		return append(out[:at:at], append([]byte{byte(r.IntN(256))}, out[at:]...)...)
	}
	if at < len(out) {
		out[at] ^= 1 << r.IntN(8)
	}
	return out
}

// batch puts several into one body.
func batch(r *rand.Rand, tree *node) []byte {
	out := []byte("[")
	n := r.IntN(6)
	for i := range n {
		if i > 0 {
			out = append(out, ',')
		}
		switch r.IntN(6) {
		case 0:
			out = append(out, value(r)...)
		case 1:
			out = append(out, "[]"...)
		default:
			out = tree.append(out)
		}
	}
	return append(out, ']')
}

// Check says what is wrong with the answer to a damaged request of a method: nil when it is a JSON-RPC answer, with errors
// that the method may have.
func Check(method string, status int, answer []byte) error {
	if status == 204 && len(answer) == 0 {
		return nil // notifications
	}
	if status != 200 && status != 413 && status != 503 {
		return fmt.Errorf("status %d", status)
	}
	type reply struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  json.RawMessage `json:"result"`
		Error   *struct {
			Code    *int    `json:"code"`
			Message *string `json:"message"`
		} `json:"error"`
	}
	var many []reply
	if len(answer) > 0 && answer[0] == '[' {
		if err := json.Unmarshal(answer, &many); err != nil {
			return fmt.Errorf("not a batch of answers: %w", err)
		}
	} else {
		var one reply
		if err := json.Unmarshal(answer, &one); err != nil {
			return fmt.Errorf("not an answer: %w", err)
		}
		many = append(many, one)
	}
	for _, a := range many {
		switch {
		case a.Version != "2.0" || len(a.ID) == 0:
			return fmt.Errorf("no jsonrpc or id")
		case (a.Result == nil) == (a.Error == nil):
			return fmt.Errorf("neither result nor error, or both")
		case a.Error == nil:
		case a.Error.Code == nil || a.Error.Message == nil || *a.Error.Message == "":
			return fmt.Errorf("an error without code or message")
		default:
			may, err := mayFail(method, *a.Error.Code)
			if err != nil {
				return err
			}
			if !may {
				return fmt.Errorf("error %d (%s) is none of the method's", *a.Error.Code, *a.Error.Message)
			}
		}
	}
	return nil
}
