// Package socket keeps the WebSocket connections of clients, and bounds what each of them holds.
//
// A Conn has one reader, which runs the messages of the client side by side, and one writer, which sends what waits in the queue of
// the connection. Nothing that is queued waits for the client: a client that does not take what it is told is cut off, with a close
// code and a reason that names the limit. What messages and notifications say is not known here.
package socket
