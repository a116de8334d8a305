package rpc

import (
	"bytes"
	"strconv"
)

// heads watches the heads of the requests on a connection for one that gives the length of its body in two ways, with
// Content-Length and with Transfer-Encoding. net/http takes the latter and drops the former before a handler sees it, while a
// proxy in front may do it the other way round, and then the two differ on where the next request begins.
type heads struct {
	line    [64]byte // how the line begins that is being read
	n       int
	lines   int   // of the head that is being read
	body    int64 // bytes to come of a body whose length was given
	length  int64 // what the head says
	sized   bool  // it has a Content-Length
	chunked bool  // it has a Transfer-Encoding: nothing behind it is looked at, for the connection ends with the answer
	lost    bool  // it is written in a way that leaves doubt
}

// feed reads what arrives, in order.
func (h *heads) feed(p []byte) {
	for len(p) > 0 && !h.over() {
		if h.body > 0 {
			n := min(h.body, int64(len(p)))
			h.body -= n
			p = p[n:]
			continue
		}
		end := bytes.IndexByte(p, '\n')
		part := p
		if end >= 0 {
			part = p[:end]
		}
		h.n += copy(h.line[h.n:], part)
		if end < 0 {
			return
		}
		p = p[end+1:]
		h.endLine()
	}
}

// over reports that the rest of the connection is not looked at.
func (h *heads) over() bool { return h.lost || h.chunked && h.lines == 0 }

func (h *heads) endLine() {
	line := bytes.TrimSuffix(h.line[:h.n], []byte("\r"))
	h.n = 0
	if len(line) == 0 {
		if h.lines > 0 {
			h.lines, h.body = 0, h.length
			h.length = 0
			h.sized = h.sized && h.chunked // for ambiguous
		}
		return
	}
	if h.lines++; h.lines == 1 {
		return // the request line
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch {
	case line[0] == ' ' || line[0] == '\t': // a folded line may belong to one of the two
		h.lost = true
	case bytes.EqualFold(name, []byte("transfer-encoding")):
		h.chunked = true
	case bytes.EqualFold(name, []byte("content-length")):
		n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		h.lost = err != nil || n < 0 || len(line) == len(h.line)
		h.length, h.sized = n, true
	}
}

// ambiguous reports that the first request with a Transfer-Encoding has a Content-Length too, or may have one.
func (h *heads) ambiguous() bool { return h.lost || h.chunked && h.sized }
