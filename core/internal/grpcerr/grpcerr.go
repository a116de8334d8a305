// Package grpcerr recognises errors that gRPC itself makes and that share their code with errors of the other side.
// Only the text tells them apart.
package grpcerr

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TooLarge tells whether gRPC rejected a message for its size, at this end or at the other: sent or received.
func TooLarge(err error) bool {
	text := status.Convert(err).Message()
	return status.Code(err) == codes.ResourceExhausted && strings.Contains(text, "message") && strings.Contains(text, "larger than max")
}

// ReceivedTooLarge tells whether the message was rejected where it was received.
func ReceivedTooLarge(err error) bool {
	return TooLarge(err) && strings.Contains(status.Convert(err).Message(), "received message")
}

// Malformed tells whether a received message could not be decoded.
func Malformed(err error) bool {
	return status.Code(err) == codes.Internal && strings.Contains(status.Convert(err).Message(), "failed to unmarshal the received message")
}
