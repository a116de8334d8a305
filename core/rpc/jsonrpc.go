package rpc

import (
	"encoding/json"
	"fmt"
)

// jsonrpcVersion is the only version of JSON-RPC that is served.
const jsonrpcVersion = "2.0"

// Code is an error code of JSON-RPC, of the specification, or of this node.
type Code int32

// The codes of JSON-RPC.
const (
	ParseError     Code = -32700
	InvalidRequest Code = -32600
	MethodNotFound Code = -32601
	InvalidParams  Code = -32602
	InternalError  Code = -32603
)

// Error is what a client reads in place of a result.
type Error struct {
	Code    Code            `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("[%d] %s", e.Code, e.Message) }

// Errorf makes an Error without data.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
