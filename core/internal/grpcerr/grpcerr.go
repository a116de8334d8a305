// Package grpcerr recognises errors that gRPC itself makes and that share their code with errors of the other side.
// Only the text tells them apart.
package grpcerr

import (
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TooLarge tells whether gRPC rejected a message for its size, at this end or at the other: sent or received.
func TooLarge(err error) bool {
	text := status.Convert(err).Message()
	return status.Code(err) == codes.ResourceExhausted && strings.Contains(text, "message") && strings.Contains(text, "larger than max")
}

var sizes = regexp.MustCompile(`received message.* larger than max \((\d+) vs\. (\d+)\)`)

// ReceivedTooLarge tells whether the message was rejected where it was received, at this end or at the other: how large it was, and what
// the receiver takes. size is 0 when the message was compressed, and gRPC did not say.
func ReceivedTooLarge(err error) (size, limit int, ok bool) {
	if !TooLarge(err) {
		return 0, 0, false
	}
	text := status.Convert(err).Message()
	if m := sizes.FindStringSubmatch(text); m != nil {
		size, _ = strconv.Atoi(m[1])
		limit, _ = strconv.Atoi(m[2])
		return size, limit, true
	}
	return 0, 0, strings.Contains(text, "received message")
}

// Malformed tells whether a received message could not be decoded.
func Malformed(err error) bool {
	return status.Code(err) == codes.Internal && strings.Contains(status.Convert(err).Message(), "failed to unmarshal the received message")
}
