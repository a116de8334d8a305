package rpc

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestHeads: one request that gives its length twice is found, in any split of what arrives, and what stands in a body is no head.
func TestHeads(t *testing.T) {
	body := "POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s"
	trap := "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
	inBody := fmt.Sprintf(body, len(trap), trap)
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"length", fmt.Sprintf(body, 2, "{}"), false},
		{"chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"both", "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true},
		{"the other way round, other letters", "POST / HTTP/1.1\r\nTRANSFER-encoding: chunked\r\nX: y\r\ncontent-LENGTH:5\r\n\r\n", true},
		{"bare line feeds", "POST / HTTP/1.1\nContent-Length: 5\nTransfer-Encoding: chunked\n\n", true},
		{"in a body", inBody, false},
		{"behind a body", inBody + "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", true},
		{"in different requests", fmt.Sprintf(body, 2, "{}") + "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false},
		{"a length of zero", "POST / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", true},
		{"folded", "POST / HTTP/1.1\r\nX: y\r\n Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", true},
		{"no number", "POST / HTTP/1.1\r\nContent-Length: five\r\nTransfer-Encoding: chunked\r\n\r\n", true},
		{"blank lines in front", "\r\n\r\n" + fmt.Sprintf(body, 2, "{}"), false},
		{"no body", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", true},
		{"long lines", "POST / HTTP/1.1\r\nX: " + strings.Repeat("a", 5000) + "\r\nContent-Length: 2\r\n\r\n{}POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", true},
	} {
		for _, size := range []int{1, 2, 7, 64, 1 << 20} {
			var h heads
			for rest := []byte(c.text); len(rest) > 0; {
				n := min(size, len(rest))
				h.feed(rest[:n])
				rest = rest[n:]
			}
			if h.ambiguous() != c.want {
				t.Errorf("%s in parts of %d: %v", c.name, size, !c.want)
			}
		}
	}
}

// FuzzHeads: whenever net/http reads a chunked request, the watch says ambiguous if the bytes of its head have a Content-Length.
func FuzzHeads(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var h heads
		h.feed(text)
		in := bufio.NewReader(bytes.NewReader(text))
		for {
			// Between requests the server takes no line breaks but behind a POST; those in front are for it to refuse.
			at := len(text) - in.Buffered()
			if first, err := in.Peek(1); err != nil || first[0] == '\r' || first[0] == '\n' {
				return
			}
			if at == len(text) {
				at = 0
			}
			rest, _ := in.Peek(in.Buffered())
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if len(r.TransferEncoding) > 0 {
				head, _, _ := bytes.Cut(bytes.ReplaceAll(rest, []byte("\r\n"), []byte("\n")), []byte("\n\n"))
				if bytes.Contains(bytes.ToLower(head), []byte("\ncontent-length:")) && !h.ambiguous() {
					t.Errorf("not seen in %q", rest)
				}
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
		}
	})
}
