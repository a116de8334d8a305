package jsonin

import "bytes"

// Fast reads JSON in one pass as long as it looks the way programs write it: strings are plain ASCII without escapes. On
// anything else, wrong or only unusual, it gives up, and the caller reads the whole again with the careful functions of this
// package, which alone tell errors. What it does read is what the careful functions would have read.
type Fast struct {
	text   []byte
	at     int
	gaveUp bool
}

// NewFast starts at the beginning of the text.
func NewFast(text []byte) Fast { return Fast{text: text} }

// GiveUp ends the reading: the caller found something unusual.
func (q *Fast) GiveUp() { q.gaveUp = true }

// GaveUp reports whether something was unusual; what was read until then means nothing.
func (q *Fast) GaveUp() bool { return q.gaveUp }

// Ended reports whether all of the text was read.
func (q *Fast) Ended() bool { return q.Peek() == 0 && !q.gaveUp && q.at == len(q.text) }

// Peek shows the next byte after white space; 0 at the end.
func (q *Fast) Peek() byte {
	for q.at < len(q.text) {
		switch c := q.text[q.at]; c {
		case ' ', '\n', '\r', '\t':
			q.at++
		default:
			return c
		}
	}
	return 0
}

// Take goes over the next byte after white space if it is c.
func (q *Fast) Take(c byte) bool {
	if q.gaveUp || q.Peek() != c {
		return false
	}
	q.at++
	return true
}

func (q *Fast) must(c byte) {
	if !q.Take(c) {
		q.gaveUp = true
	}
}

// Fields reads an object: the body of the loop reads the value of each name.
func (q *Fast) Fields(yield func(name []byte) bool) {
	q.must('{')
	for more := !q.Take('}'); more && !q.gaveUp; more = !q.Take('}') && q.comma() {
		name := q.Text()
		q.must(':')
		if q.gaveUp || !yield(name) {
			return
		}
	}
}

// Items reads a list: the body of the loop reads each value.
func (q *Fast) Items(yield func(i int) bool) {
	q.must('[')
	i := 0
	for more := !q.Take(']'); more && !q.gaveUp; more = !q.Take(']') && q.comma() {
		if !yield(i) {
			return
		}
		i++
	}
}

func (q *Fast) comma() bool {
	q.must(',')
	return !q.gaveUp
}

// Text reads a string.
func (q *Fast) Text() []byte {
	q.must('"')
	if q.gaveUp {
		return nil
	}
	for i, c := range q.text[q.at:] {
		switch {
		case c == '"':
			inside := q.text[q.at : q.at+i]
			q.at += i + 1
			return inside
		case c < ' ' || c > '~' || c == '\\':
			q.gaveUp = true
			return nil
		}
	}
	q.gaveUp = true
	return nil
}

// mostDepth is what Value goes into; encoding/json stops much later.
const mostDepth = 32

// Value goes over any value and returns its text.
func (q *Fast) Value() []byte {
	q.Peek()
	start := q.at
	q.value(mostDepth)
	if q.gaveUp {
		return nil
	}
	return q.text[start:q.at:q.at]
}

func (q *Fast) value(depth int) {
	if depth == 0 {
		q.gaveUp = true
		return
	}
	switch q.Peek() {
	case '"':
		q.Text()
	case '{':
		for range q.Fields {
			q.value(depth - 1)
		}
	case '[':
		for range q.Items {
			q.value(depth - 1)
		}
	case 't':
		q.word("true")
	case 'f':
		q.word("false")
	case 'n':
		q.word("null")
	default:
		q.number()
	}
}

func (q *Fast) word(w string) {
	if !bytes.HasPrefix(q.text[q.at:], []byte(w)) {
		q.gaveUp = true
		return
	}
	q.at += len(w)
}

// number goes over a whole number; those with a fraction or an exponent are unusual.
func (q *Fast) number() {
	if q.at < len(q.text) && q.text[q.at] == '-' {
		q.at++
	}
	start := q.at
	for q.at < len(q.text) && q.text[q.at]-'0' <= 9 {
		q.at++
	}
	n := q.at - start
	if n == 0 || n > 1 && q.text[start] == '0' || q.at < len(q.text) && (q.text[q.at] == '.' || q.text[q.at]|0x20 == 'e') {
		q.gaveUp = true
	}
}

// Hex reads a quoted hex number into all of dst, big-endian.
func (q *Fast) Hex(dst []byte) {
	digits := q.Text()
	if q.gaveUp || len(digits) < 3 || digits[0] != '0' || digits[1] != 'x' {
		q.gaveUp = true
		return
	}
	digits = digits[2:]
	if len(digits) > 2*len(dst) { // some are zeros, or it is too large
		q.gaveUp = true
		return
	}
	clear(dst)
	var wrong byte
	for at, i := 2*len(dst)-1, len(digits)-1; i >= 0; at, i = at-1, i-1 {
		n := nibbles[digits[i]]
		wrong |= n
		if at&1 == 1 {
			dst[at/2] = n
		} else {
			dst[at/2] |= n << 4
		}
	}
	if wrong > 15 {
		q.gaveUp = true
	}
}

// nibbles are the values of the hex digits; what is none has 0xff.
var nibbles = func() (table [256]byte) {
	for c := range table {
		switch {
		case c >= '0' && c <= '9':
			table[c] = byte(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f' && c < 0x80:
			table[c] = byte(c|0x20) - 'a' + 10
		default:
			table[c] = 0xff
		}
	}
	return table
}()

// Felt reads a felt into dst, which has its size. The few felts from 2^251 on are unusual.
func (q *Fast) Felt(dst []byte) {
	q.Hex(dst)
	if !q.gaveUp && dst[0] > 7 {
		q.gaveUp = true
	}
}

// shortest is the length of a felt in JSON.
const shortest = len(`"0x0"`)

// Felts reads a list of felts, packed.
func (q *Fast) Felts() []byte {
	q.must('[')
	end := bytes.IndexByte(q.text[q.at:], ']')
	if q.gaveUp || end < 0 {
		q.gaveUp = true
		return nil
	}
	n := bytes.Count(q.text[q.at:q.at+end], []byte{'"'}) / 2
	if n*shortest > end {
		q.gaveUp = true
		return nil
	}
	const size = 32
	out := make([]byte, n*size)
	for i := range n {
		if i > 0 {
			q.must(',')
		}
		if q.Felt(out[i*size : (i+1)*size]); q.gaveUp {
			return nil
		}
	}
	q.must(']')
	return out
}

// Uint64 reads a quoted hex number of at most 64 bits.
func (q *Fast) Uint64() (n uint64) {
	var b [8]byte
	q.Hex(b[:])
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}
