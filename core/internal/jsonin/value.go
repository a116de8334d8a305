package jsonin

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Felt reads a quoted hex number below the field prime. Leading zeros and capitals are accepted, because wallets print
// addresses with them.
func Felt(raw json.RawMessage) ([]byte, error) {
	return appendFelt(make([]byte, 0, felt.Size), raw)
}

// Felts reads a list of felts.
func Felts(raw json.RawMessage) ([]byte, error) {
	q := NewFast(raw)
	if out := q.Felts(); q.Ended() {
		return out, nil
	}
	return feltsCarefully(raw)
}

func feltsCarefully(raw json.RawMessage) ([]byte, error) {
	items, err := List(raw)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, felt.Size*len(items))
	for i, item := range items {
		if out, err = appendFelt(out, item); err != nil {
			return nil, At(i, err)
		}
	}
	return out, nil
}

func appendFelt(dst []byte, raw json.RawMessage) ([]byte, error) {
	text, ok := plain(raw)
	if !ok {
		return nil, Errorf("%s where a hex felt such as \"0x1f\" is expected", kind(raw))
	}
	f, err := felt.ParseHex(text)
	if err != nil {
		return nil, Errorf("%s", strings.TrimPrefix(err.Error(), "felt: "))
	}
	return f.Append(dst), nil
}

// Uint64 reads a quoted hex number of at most 64 bits.
func Uint64(raw json.RawMessage) (uint64, error) {
	b, err := number(raw, 8)
	if err != nil {
		return 0, err
	}
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n, nil
}

// Uint128 reads a quoted hex number of at most 128 bits, as 16 bytes.
func Uint128(raw json.RawMessage) ([]byte, error) { return number(raw, 16) }

// Hex reads a quoted hex number of at most size bytes, padded to them.
func Hex(raw json.RawMessage, size int) ([]byte, error) { return number(raw, size) }

func number(raw json.RawMessage, size int) ([]byte, error) {
	text, ok := plain(raw)
	if !ok {
		return nil, Errorf("%s where a hex number such as \"0x1f\" is expected", kind(raw))
	}
	if len(text) < 3 || text[0] != '0' || text[1]|0x20 != 'x' {
		return nil, Errorf("%s: want 0x and hex digits", clip(text))
	}
	digits := strings.TrimLeft(text[2:], "0")
	if len(digits) > 2*size {
		return nil, Errorf("%s: more than %d bits", clip(text), 8*size)
	}
	out := make([]byte, size)
	if _, err := hex.Decode(out, []byte(strings.Repeat("0", 2*size-len(digits))+digits)); err != nil {
		return nil, Errorf("%s: not a hex digit", clip(text))
	}
	return out, nil
}

// Number reads a JSON integer from 0 to 2^64-1.
func Number(raw json.RawMessage) (uint64, error) {
	text := string(bytes.TrimSpace(raw))
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		if kind(raw) != "a number" {
			return 0, Errorf("%s where a number is expected", kind(raw))
		}
		return 0, Errorf("%s: want a whole number from 0 to 2^64-1", clip(text))
	}
	return n, nil
}

// String reads any JSON string.
func String(raw json.RawMessage) (string, error) {
	if text, ok := plain(raw); ok {
		return text, nil
	}
	var text string
	if kind(raw) != "a string" || json.Unmarshal(raw, &text) != nil {
		return "", Errorf("%s where a string is expected", kind(raw))
	}
	return text, nil
}

// Bool reads true or false.
func Bool(raw json.RawMessage) (bool, error) {
	switch string(bytes.TrimSpace(raw)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, Errorf("%s where true or false is expected", kind(raw))
}

// Enum reads a string that is one of the allowed, and returns which.
func Enum(raw json.RawMessage, allowed []string) (int, error) {
	text, err := String(raw)
	if err != nil {
		return 0, err
	}
	for i, name := range allowed {
		if text == name {
			return i, nil
		}
	}
	return 0, Errorf("%s: want one of %s", clip(text), strings.Join(allowed, ", "))
}

// List takes a list apart.
func List(raw json.RawMessage) ([]json.RawMessage, error) {
	if kind(raw) != "a list" {
		return nil, Errorf("%s where a list is expected", kind(raw))
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, Errorf("not a json list: %v", err)
	}
	return items, nil
}

// plain returns the inside of a JSON string that has no escapes: all hex is such.
func plain(raw json.RawMessage) (string, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return "", false
	}
	inside := raw[1 : len(raw)-1]
	if bytes.IndexByte(inside, '\\') >= 0 || bytes.IndexByte(inside, '"') >= 0 {
		return "", false
	}
	return string(inside), true
}

func kind(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// clip keeps hostile input out of logs and error texts.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
