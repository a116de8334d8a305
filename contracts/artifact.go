package contracts

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Definition turns a compiler's artifact into the shape of the JSON-RPC, which is what class hashes are made of: the ABI
// of a Sierra class as text, the program of a Cairo 0 class zipped.
func Definition(kind ordov1.Class_Kind, artifact []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(artifact, &fields); err != nil {
		return nil, fmt.Errorf("contract artifact: %w", err)
	}
	keep := []string{"sierra_program", "contract_class_version", "entry_points_by_type", "abi"}
	if kind == ordov1.Class_CAIRO0 {
		keep = []string{"program", "entry_points_by_type", "abi"}
	}
	out := make(map[string]json.RawMessage, len(keep))
	for _, key := range keep {
		if fields[key] == nil {
			return nil, fmt.Errorf("contract artifact: no %s: not a compiled %s class", key, kind)
		}
		out[key] = fields[key]
	}
	if kind == ordov1.Class_CAIRO0 {
		packed, err := zip(out["program"])
		if err != nil {
			return nil, fmt.Errorf("contract artifact: program: %w", err)
		}
		out["program"] = quote(packed)
	} else if out["abi"][0] != '"' {
		text, err := Spaced(out["abi"])
		if err != nil {
			return nil, fmt.Errorf("contract artifact: abi: %w", err)
		}
		out["abi"] = quote(text)
	}
	return json.Marshal(out)
}

func quote(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string always encodes
	return b
}

// zip packs a program without its debug info, which no hash covers and which compilers wrote in several shapes.
func zip(program []byte) (string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(program, &fields); err != nil {
		return "", err
	}
	fields["debug_info"] = json.RawMessage("null")
	stripped, err := json.Marshal(fields)
	if err != nil {
		return "", err
	}
	var plain, packed bytes.Buffer
	if err := json.Compact(&plain, stripped); err != nil {
		return "", err
	}
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(plain.Bytes()); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(packed.Bytes()), nil
}

// Spaced rewrites JSON the way Python prints it, with a space behind each comma and colon and everything beyond ASCII
// escaped. The ABI is hashed in this form, and the order of keys matters, so it goes token by token.
func Spaced(raw []byte) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var out bytes.Buffer
	if err := spaced(&out, dec); err != nil {
		return "", err
	}
	if _, err := dec.Token(); err != io.EOF {
		return "", fmt.Errorf("more than one JSON value")
	}
	return out.String(), nil
}

func spaced(out *bytes.Buffer, dec *json.Decoder) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case json.Delim:
		out.WriteRune(rune(t))
		for first := true; dec.More(); first = false {
			if !first {
				out.WriteString(", ")
			}
			if t == '{' {
				if err := spaced(out, dec); err != nil { // the key
					return err
				}
				out.WriteString(": ")
			}
			if err := spaced(out, dec); err != nil {
				return err
			}
		}
		end, err := dec.Token()
		if err != nil {
			return err
		}
		out.WriteRune(rune(end.(json.Delim)))
	case string:
		escape(out, t)
	case json.Number:
		out.WriteString(t.String())
	case bool:
		out.WriteString(strconv.FormatBool(t))
	case nil:
		out.WriteString("null")
	}
	return nil
}

func escape(out *bytes.Buffer, s string) {
	out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == '\b':
			out.WriteString(`\b`)
		case r == '\f':
			out.WriteString(`\f`)
		case r >= 0x20 && r < 0x7f:
			out.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(out, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(out, `\u%04x`, r)
		}
	}
	out.WriteByte('"')
}
